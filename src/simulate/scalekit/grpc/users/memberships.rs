//! The calls of `UserService` about one membership.

use std::collections::BTreeMap;

use axum::http::Method;
use prost::Message;
use serde::{Deserialize, Serialize};

use super::{
    super::{
        Call, Identity, Rest, segment,
        words::{Moment, Nothing, Role},
    },
    One,
};
use crate::simulate::scalekit::{Scalekit, failure::Failure};

#[derive(Clone, PartialEq, Message, Serialize)]
pub(super) struct Wanted {
    #[prost(message, repeated, tag = "4")]
    roles: Vec<Role>,
    #[prost(btree_map = "string, string", tag = "7")]
    metadata: BTreeMap<String, String>,
    #[prost(string, optional, tag = "8")]
    inviter_email: Option<String>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Create {
    #[prost(string, tag = "1")]
    organization_id: String,
    #[prost(message, optional, tag = "2")]
    membership: Option<Wanted>,
    #[prost(string, optional, tag = "3")]
    id: Option<String>,
    #[prost(string, optional, tag = "4")]
    external_id: Option<String>,
    #[prost(bool, optional, tag = "5")]
    send_invitation_email: Option<bool>,
}

impl Call for Create {
    type Answer = One;

    fn to_rest(&self, _: &Scalekit) -> Result<Rest, Failure> {
        let identity = Identity::of(self.id.as_ref(), self.external_id.as_ref())?;
        Rest::new(Method::POST, path(&self.organization_id, &identity))
            .with("send_invitation_email", self.send_invitation_email)
            .sending(self.membership.as_ref())
    }
}

#[derive(Clone, PartialEq, Message, Serialize)]
pub(super) struct Changes {
    #[prost(message, repeated, tag = "4")]
    roles: Vec<Role>,
    #[prost(btree_map = "string, string", tag = "7")]
    metadata: BTreeMap<String, String>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Update {
    #[prost(string, tag = "1")]
    organization_id: String,
    #[prost(string, optional, tag = "2")]
    id: Option<String>,
    #[prost(string, optional, tag = "3")]
    external_id: Option<String>,
    #[prost(message, optional, tag = "5")]
    membership: Option<Changes>,
}

impl Call for Update {
    type Answer = One;

    fn to_rest(&self, _: &Scalekit) -> Result<Rest, Failure> {
        let identity = Identity::of(self.id.as_ref(), self.external_id.as_ref())?;
        Rest::new(Method::PATCH, path(&self.organization_id, &identity)).sending(self.membership.as_ref())
    }
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Delete {
    #[prost(string, tag = "1")]
    organization_id: String,
    #[prost(string, optional, tag = "2")]
    id: Option<String>,
    #[prost(string, optional, tag = "3")]
    external_id: Option<String>,
}

impl Call for Delete {
    type Answer = Nothing;

    fn to_rest(&self, _: &Scalekit) -> Result<Rest, Failure> {
        let identity = Identity::of(self.id.as_ref(), self.external_id.as_ref())?;
        Ok(Rest::new(Method::DELETE, path(&self.organization_id, &identity)))
    }
}

fn path(organization: &str, identity: &Identity<'_>) -> String {
    format!("/memberships/organizations/{}/users{}", segment(organization), identity.path())
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Resend {
    #[prost(string, tag = "1")]
    organization_id: String,
    #[prost(string, tag = "2")]
    id: String,
}

#[derive(Clone, PartialEq, Message, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Resent {
    #[prost(message, optional, tag = "1")]
    invite: Option<Invite>,
}

#[derive(Clone, PartialEq, Message, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Invite {
    #[prost(string, tag = "1")]
    organization_id: String,
    #[prost(string, tag = "2")]
    user_id: String,
    #[prost(string, optional, tag = "3")]
    inviter_email: Option<String>,
    #[prost(string, tag = "4")]
    status: String,
    #[prost(message, optional, tag = "5")]
    created_at: Option<Moment>,
    #[prost(message, optional, tag = "6")]
    expires_at: Option<Moment>,
    #[prost(message, optional, tag = "7")]
    resent_at: Option<Moment>,
    #[prost(int32, tag = "8")]
    resent_count: i32,
}

impl Call for Resend {
    type Answer = Resent;

    fn to_rest(&self, _: &Scalekit) -> Result<Rest, Failure> {
        let (organization, user) = (segment(&self.organization_id), segment(&self.id));
        Rest::new(Method::PATCH, format!("/invites/organizations/{organization}/users/{user}/resend"))
            .sending(Some(&serde_json::json!({})))
    }
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Roles {
    #[prost(string, tag = "1")]
    organization_id: String,
    #[prost(string, tag = "2")]
    user_id: String,
}

#[derive(Clone, PartialEq, Message, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RolesFound {
    #[prost(message, repeated, tag = "1")]
    roles: Vec<Role>,
}

impl Call for Roles {
    type Answer = RolesFound;

    fn to_rest(&self, _: &Scalekit) -> Result<Rest, Failure> {
        let (organization, user) = (segment(&self.organization_id), segment(&self.user_id));
        Ok(Rest::get(format!("/organizations/{organization}/users/{user}/roles")))
    }
}
