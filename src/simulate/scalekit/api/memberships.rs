//! Memberships and invitations.

use std::sync::Arc;

use axum::{
    body::Bytes,
    extract::{Path, RawQuery, State},
};
use serde_json::json;

use super::{Answer, made, ok, organization_id, parsed, user_id, users::external_user};
use crate::simulate::{
    backstage::locked,
    scalekit::{
        Scalekit,
        failure::Failure,
        reader::{Query, Reader},
        world::{Entry, NewMembership, RoleName, World},
    },
};

type Ids = Path<(String, String)>;

/// Which body is read: only the one that adds may name who invited.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Call {
    Add,
    Update,
}

/// `POST /api/v1/memberships/organizations/{organization}/users/{id}`
pub(super) async fn add(
    State(scalekit): State<Arc<Scalekit>>,
    Path((organization, user)): Ids,
    RawQuery(query): RawQuery,
    body: Bytes,
) -> Answer {
    user_id(&user)?;
    added(&scalekit, &mut locked(&scalekit.world), &organization, &user, query.as_deref(), &body)
}

/// The same by external id.
pub(super) async fn add_external(
    State(scalekit): State<Arc<Scalekit>>,
    Path((organization, external)): Ids,
    RawQuery(query): RawQuery,
    body: Bytes,
) -> Answer {
    let mut world = locked(&scalekit.world);
    let user = external_user(&scalekit, &world, &external)?;
    added(&scalekit, &mut world, &organization, &user, query.as_deref(), &body)
}

/// `PATCH /api/v1/memberships/organizations/{organization}/users/{id}`
pub(super) async fn update(
    State(scalekit): State<Arc<Scalekit>>,
    Path((organization, user)): Ids,
    body: Bytes,
) -> Answer {
    user_id(&user)?;
    updated(&scalekit, &mut locked(&scalekit.world), &organization, &user, &body)
}

/// The same by external id.
pub(super) async fn update_external(
    State(scalekit): State<Arc<Scalekit>>,
    Path((organization, external)): Ids,
    body: Bytes,
) -> Answer {
    let mut world = locked(&scalekit.world);
    let user = external_user(&scalekit, &world, &external)?;
    updated(&scalekit, &mut world, &organization, &user, &body)
}

/// `DELETE /api/v1/memberships/organizations/{organization}/users/{id}`
pub(super) async fn remove(State(scalekit): State<Arc<Scalekit>>, Path((organization, user)): Ids) -> Answer {
    let now = scalekit.now();
    let organization = organization_id(&organization)?;
    locked(&scalekit.world).remove_membership(user_id(&user)?, organization, now)?;
    ok(json!({}))
}

/// The same by external id.
pub(super) async fn remove_external(
    State(scalekit): State<Arc<Scalekit>>,
    Path((organization, external)): Ids,
) -> Answer {
    let now = scalekit.now();
    let mut world = locked(&scalekit.world);
    let user = external_user(&scalekit, &world, &external)?;
    world.remove_membership(&user, organization_id(&organization)?, now)?;
    ok(json!({}))
}

/// `PATCH /api/v1/invites/organizations/{organization}/users/{id}/resend`
pub(super) async fn resend(State(scalekit): State<Arc<Scalekit>>, Path((organization, user)): Ids) -> Answer {
    let now = scalekit.now();
    let organization = organization_id(&organization)?;
    let membership = locked(&scalekit.world).resend_invitation(user_id(&user)?, organization, now)?;
    let invitation = membership.invitation.as_ref();
    ok(json!({ "invite": {
        "organization_id": organization,
        "user_id": user,
        "inviter_email": membership.inviter_email.as_deref().unwrap_or_default(),
        "status": membership.standing,
        "created_at": membership.created.to_string(),
        "expires_at": invitation.map_or(now, |invitation| invitation.expires).to_string(),
        "resent_at": invitation.and_then(|invitation| invitation.resent).unwrap_or(now).to_string(),
        "resent_count": invitation.map_or(0, |invitation| invitation.resent_count),
    } }))
}

fn added(
    scalekit: &Scalekit,
    world: &mut World,
    organization: &str,
    user: &str,
    query: Option<&str>,
    body: &Bytes,
) -> Answer {
    organization_id(organization)?;
    let invite = Query::of(query).flag("send_invitation_email", true)?;
    let entry = if invite { Entry::Invited } else { Entry::Direct };
    let settings = scalekit.settings();
    let new = body_of(scalekit, body, Call::Add)?;
    world.add_membership(user, organization, new, entry, &settings, scalekit.now())?;
    made(json!({ "user": world.user(user)?.to_json(world) }))
}

fn updated(scalekit: &Scalekit, world: &mut World, organization: &str, user: &str, body: &Bytes) -> Answer {
    organization_id(organization)?;
    let (settings, now) = (scalekit.settings(), scalekit.now());
    let new = body_of(scalekit, body, Call::Update)?;
    let roles = match &new.roles {
        Some(roles) => Some(world.roles_for(organization, Some(roles), &settings)?),
        None => None,
    };
    let person = world.people.get_mut(user).ok_or_else(|| Failure::not_found("user"))?;
    let membership = person.membership_mut(organization).ok_or_else(|| Failure::not_found("membership"))?;
    membership.roles = roles.unwrap_or(std::mem::take(&mut membership.roles));
    settings.metadata_patch.apply(&mut membership.metadata, new.metadata);
    person.updated = now;
    ok(json!({ "user": world.user(user)?.to_json(world) }))
}

fn body_of(scalekit: &Scalekit, body: &Bytes, call: Call) -> Result<NewMembership, Failure> {
    let body = parsed(body)?;
    let mut reader = Reader::of(&body, scalekit.settings().unknown_body_keys)?;
    let membership = read(&mut reader, call);
    reader.finish(membership)
}

/// The membership object, which stands bare in these bodies and under `membership` in a create.
pub(super) fn read(reader: &mut Reader<'_>, call: Call) -> NewMembership {
    let roles = reader.items("roles").map(|items| {
        let mut roles = Vec::new();
        for item in items {
            let role = reader.object("roles", item, |role| {
                let (id, name) = (role.text("id", &(0..=32)), role.text("name", &(0..=64)));
                // A role as the API shows it can be sent back.
                role.text("display_name", &(0..=100));
                id.filter(|id| !id.is_empty()).map(RoleName::Id).or(name.map(RoleName::Name))
            });
            match role {
                Some(Some(role)) => roles.push(role),
                Some(None) => reader.problem("roles", "must have a name or an id"),
                None => {}
            }
        }
        roles
    });
    NewMembership {
        roles,
        metadata: reader.pairs("metadata", 20),
        inviter_email: (call == Call::Add).then(|| reader.text("inviter_email", &(5..=254))).flatten(),
    }
}
