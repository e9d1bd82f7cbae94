//! `scalekit.v1.users.UserService`: users, their memberships and invitations.

mod memberships;

use std::{collections::BTreeMap, sync::Arc};

use axum::{Router, http::Method};
use prost::Message;
use serde::{Deserialize, Serialize, Serializer};

use super::{
    Call, Identity, Rest, call, segment,
    words::{Membership, Moment, Nothing, Profile},
};
use crate::simulate::scalekit::{Scalekit, failure::Failure};

pub(super) fn routes(api: &Router) -> Router<Arc<Scalekit>> {
    let at = |name: &str| format!("/scalekit.v1.users.UserService/{name}");
    Router::new()
        .route(&at("CreateUserAndMembership"), call::<Create>(api))
        .route(&at("GetUser"), call::<Get>(api))
        .route(&at("ListUsers"), call::<List>(api))
        .route(&at("ListOrganizationUsers"), call::<ListIn>(api))
        .route(&at("SearchUsers"), call::<Search>(api))
        .route(&at("SearchOrganizationUsers"), call::<SearchIn>(api))
        .route(&at("UpdateUser"), call::<Update>(api))
        .route(&at("DeleteUser"), call::<Delete>(api))
        .route(&at("CreateMembership"), call::<memberships::Create>(api))
        .route(&at("UpdateMembership"), call::<memberships::Update>(api))
        .route(&at("DeleteMembership"), call::<memberships::Delete>(api))
        .route(&at("ResendInvite"), call::<memberships::Resend>(api))
        .route(&at("ListUserRoles"), call::<memberships::Roles>(api))
}

#[derive(Clone, PartialEq, Message, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct User {
    #[prost(string, tag = "1")]
    id: String,
    #[prost(message, optional, tag = "3")]
    create_time: Option<Moment>,
    #[prost(message, optional, tag = "4")]
    update_time: Option<Moment>,
    #[prost(string, tag = "5")]
    email: String,
    #[prost(string, optional, tag = "6")]
    external_id: Option<String>,
    #[prost(message, repeated, tag = "7")]
    memberships: Vec<Membership>,
    #[prost(message, optional, tag = "8")]
    user_profile: Option<Profile>,
    #[prost(btree_map = "string, string", tag = "9")]
    metadata: BTreeMap<String, String>,
    #[prost(message, optional, tag = "10")]
    last_login_time: Option<Moment>,
}

/// The answer of every call about one user.
#[derive(Clone, PartialEq, Message, Deserialize)]
#[serde(deny_unknown_fields)]
struct One {
    #[prost(message, optional, tag = "1")]
    user: Option<User>,
}

/// The answer of a list of all users. Its numbers are not those of [`Page`].
#[derive(Clone, PartialEq, Message, Deserialize)]
#[serde(deny_unknown_fields)]
struct PageOfAll {
    #[prost(message, repeated, tag = "1")]
    users: Vec<User>,
    #[prost(string, tag = "2")]
    next_page_token: String,
    #[prost(uint32, tag = "3")]
    total_size: u32,
    #[prost(string, tag = "4")]
    prev_page_token: String,
}

/// The answer of a search and of a list within one organization.
#[derive(Clone, PartialEq, Message, Deserialize)]
#[serde(deny_unknown_fields)]
struct Page {
    #[prost(string, tag = "1")]
    next_page_token: String,
    #[prost(uint32, tag = "2")]
    total_size: u32,
    #[prost(message, repeated, tag = "3")]
    users: Vec<User>,
    #[prost(string, tag = "4")]
    prev_page_token: String,
}

/// A profile as a create and an update name it; their fields have the same numbers.
///
/// The SDK for Node sends only the two last ones. The `OpenAPI` document does not have them, so they go on under
/// the names that it has.
#[derive(Clone, PartialEq, Message, Serialize)]
struct WantedProfile {
    #[prost(string, optional, tag = "2")]
    given_name: Option<String>,
    #[prost(string, optional, tag = "3")]
    family_name: Option<String>,
    #[prost(string, optional, tag = "4")]
    name: Option<String>,
    #[prost(string, optional, tag = "5")]
    locale: Option<String>,
    #[prost(string, optional, tag = "7")]
    phone_number: Option<String>,
    #[prost(btree_map = "string, string", tag = "8")]
    metadata: BTreeMap<String, String>,
    #[prost(btree_map = "string, string", tag = "9")]
    custom_attributes: BTreeMap<String, String>,
    #[prost(string, optional, tag = "10")]
    preferred_username: Option<String>,
    #[prost(string, optional, tag = "11")]
    picture: Option<String>,
    #[prost(string, optional, tag = "12")]
    gender: Option<String>,
    #[prost(string, repeated, tag = "13")]
    groups: Vec<String>,
    #[prost(string, optional, tag = "21")]
    #[serde(skip)]
    first_name: Option<String>,
    #[prost(string, optional, tag = "22")]
    #[serde(skip)]
    last_name: Option<String>,
}

/// Serialises a profile with the older names in place of newer ones that are absent.
#[expect(clippy::ref_option, reason = "serde's signature")]
fn under_new_names<S: Serializer>(profile: &Option<WantedProfile>, serializer: S) -> Result<S::Ok, S::Error> {
    let renamed = profile.clone().map(|mut profile| {
        profile.given_name = profile.given_name.or(profile.first_name.take());
        profile.family_name = profile.family_name.or(profile.last_name.take());
        profile
    });
    renamed.serialize(serializer)
}

#[derive(Clone, PartialEq, Message, Serialize)]
struct NewUser {
    #[prost(string, optional, tag = "5")]
    email: Option<String>,
    #[prost(string, optional, tag = "6")]
    external_id: Option<String>,
    #[prost(message, optional, tag = "7")]
    membership: Option<memberships::Wanted>,
    #[prost(message, optional, tag = "8")]
    #[serde(serialize_with = "under_new_names")]
    user_profile: Option<WantedProfile>,
    #[prost(btree_map = "string, string", tag = "9")]
    metadata: BTreeMap<String, String>,
}

#[derive(Clone, PartialEq, Message)]
struct Create {
    #[prost(string, tag = "1")]
    organization_id: String,
    #[prost(message, optional, tag = "2")]
    user: Option<NewUser>,
    #[prost(bool, optional, tag = "3")]
    send_invitation_email: Option<bool>,
}

impl Call for Create {
    type Answer = One;

    fn to_rest(&self, _: &Scalekit) -> Result<Rest, Failure> {
        Rest::new(Method::POST, format!("/organizations/{}/users", segment(&self.organization_id)))
            .with("send_invitation_email", self.send_invitation_email)
            .sending(self.user.as_ref())
    }
}

#[derive(Clone, PartialEq, Message)]
struct Get {
    #[prost(string, optional, tag = "1")]
    id: Option<String>,
    #[prost(string, optional, tag = "2")]
    external_id: Option<String>,
}

impl Call for Get {
    type Answer = One;

    fn to_rest(&self, _: &Scalekit) -> Result<Rest, Failure> {
        let identity = Identity::of(self.id.as_ref(), self.external_id.as_ref())?;
        Ok(Rest::get(format!("/users{}", identity.path())))
    }
}

#[derive(Clone, PartialEq, Message)]
struct List {
    #[prost(uint32, optional, tag = "1")]
    page_size: Option<u32>,
    #[prost(string, optional, tag = "2")]
    page_token: Option<String>,
}

impl Call for List {
    type Answer = PageOfAll;

    fn to_rest(&self, _: &Scalekit) -> Result<Rest, Failure> {
        Ok(Rest::get("/users".into())
            .with("page_size", self.page_size)
            .with("page_token", self.page_token.as_ref()))
    }
}

#[derive(Clone, PartialEq, Message)]
struct ListIn {
    #[prost(string, tag = "1")]
    organization_id: String,
    #[prost(uint32, optional, tag = "2")]
    page_size: Option<u32>,
    #[prost(string, optional, tag = "3")]
    page_token: Option<String>,
}

impl Call for ListIn {
    type Answer = Page;

    fn to_rest(&self, _: &Scalekit) -> Result<Rest, Failure> {
        Ok(Rest::get(format!("/organizations/{}/users", segment(&self.organization_id)))
            .with("page_size", self.page_size)
            .with("page_token", self.page_token.as_ref()))
    }
}

#[derive(Clone, PartialEq, Message)]
struct Search {
    #[prost(string, optional, tag = "1")]
    query: Option<String>,
    #[prost(uint32, optional, tag = "2")]
    page_size: Option<u32>,
    #[prost(string, optional, tag = "3")]
    page_token: Option<String>,
}

impl Call for Search {
    type Answer = Page;

    fn to_rest(&self, _: &Scalekit) -> Result<Rest, Failure> {
        Ok(Rest::get("/users:search".into())
            .with("query", self.query.as_ref())
            .with("page_size", self.page_size)
            .with("page_token", self.page_token.as_ref()))
    }
}

#[derive(Clone, PartialEq, Message)]
struct SearchIn {
    #[prost(string, tag = "1")]
    organization_id: String,
    #[prost(string, optional, tag = "2")]
    query: Option<String>,
    #[prost(uint32, optional, tag = "3")]
    page_size: Option<u32>,
    #[prost(string, optional, tag = "4")]
    page_token: Option<String>,
}

impl Call for SearchIn {
    type Answer = Page;

    fn to_rest(&self, _: &Scalekit) -> Result<Rest, Failure> {
        Ok(Rest::get(format!("/organizations/{}/users:search", segment(&self.organization_id)))
            .with("query", self.query.as_ref())
            .with("page_size", self.page_size)
            .with("page_token", self.page_token.as_ref()))
    }
}

#[derive(Clone, PartialEq, Message, Serialize)]
struct Changes {
    #[prost(string, optional, tag = "6")]
    external_id: Option<String>,
    #[prost(message, optional, tag = "8")]
    #[serde(serialize_with = "under_new_names")]
    user_profile: Option<WantedProfile>,
    #[prost(btree_map = "string, string", tag = "9")]
    metadata: BTreeMap<String, String>,
}

#[derive(Clone, PartialEq, Message)]
struct Update {
    #[prost(string, optional, tag = "1")]
    id: Option<String>,
    #[prost(string, optional, tag = "2")]
    external_id: Option<String>,
    #[prost(message, optional, tag = "3")]
    user: Option<Changes>,
}

impl Call for Update {
    type Answer = One;

    fn to_rest(&self, _: &Scalekit) -> Result<Rest, Failure> {
        let identity = Identity::of(self.id.as_ref(), self.external_id.as_ref())?;
        Rest::new(Method::PATCH, format!("/users{}", identity.path())).sending(self.user.as_ref())
    }
}

#[derive(Clone, PartialEq, Message)]
struct Delete {
    #[prost(string, optional, tag = "1")]
    id: Option<String>,
    #[prost(string, optional, tag = "2")]
    external_id: Option<String>,
}

impl Call for Delete {
    type Answer = Nothing;

    fn to_rest(&self, _: &Scalekit) -> Result<Rest, Failure> {
        let identity = Identity::of(self.id.as_ref(), self.external_id.as_ref())?;
        Ok(Rest::new(Method::DELETE, format!("/users{}", identity.path())))
    }
}
