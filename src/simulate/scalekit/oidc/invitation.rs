//! The link of an invitation.

use std::sync::Arc;

use axum::{
    extract::{RawQuery, State},
    http::StatusCode,
    response::Response,
};

use super::pages;
use crate::simulate::{
    backstage::locked,
    scalekit::{Scalekit, reader::Query, records::Standing},
};

/// `GET /hosted/invitation`: who has the mail has the mailbox, so the address is verified with it.
pub(super) async fn accept(State(scalekit): State<Arc<Scalekit>>, RawQuery(query): RawQuery) -> Response {
    let query = Query::of(query.as_deref());
    let token = query.get("token").unwrap_or_default();
    let now = scalekit.now();
    let mut world = locked(&scalekit.world);
    for user in world.people.all_mut() {
        let invited = user.memberships.iter_mut().find(|membership| {
            let open =
                membership.invitation.as_ref().is_some_and(|one| one.token == token && now < one.expires);
            open && membership.standing == Standing::PendingInvite
        });
        if let Some(membership) = invited {
            membership.standing = Standing::Active;
            membership.accepted = Some(now);
            user.email_verified = true;
            user.updated = now;
            return pages::notice("Invitation accepted", "You are a member now. Sign in to the application.");
        }
    }
    pages::refused(
        StatusCode::BAD_REQUEST,
        "invalid_invitation",
        "This invitation is unknown, used or too old.",
    )
}
