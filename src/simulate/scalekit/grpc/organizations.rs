//! `scalekit.v1.organizations.OrganizationService`.

use std::{collections::BTreeMap, sync::Arc};

use axum::{Router, http::Method};
use prost::Message;
use serde::{Deserialize, Serialize};

use super::{
    Call, Identity, Rest, call, segment,
    words::{Moment, Nothing, region},
};
use crate::simulate::{
    backstage::locked,
    scalekit::{Scalekit, failure::Failure},
};

pub(super) fn routes(api: &Router) -> Router<Arc<Scalekit>> {
    let at = |name: &str| format!("/scalekit.v1.organizations.OrganizationService/{name}");
    Router::new()
        .route(&at("CreateOrganization"), call::<Create>(api))
        .route(&at("GetOrganization"), call::<Get>(api))
        .route(&at("GetOrganizationByExternalId"), call::<Get>(api))
        .route(&at("ListOrganization"), call::<List>(api))
        .route(&at("SearchOrganization"), call::<Search>(api))
        .route(&at("UpdateOrganization"), call::<Update>(api))
        .route(&at("DeleteOrganization"), call::<Delete>(api))
}

#[derive(Clone, PartialEq, Message, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Organization {
    #[prost(string, tag = "1")]
    id: String,
    #[prost(message, optional, tag = "2")]
    create_time: Option<Moment>,
    #[prost(message, optional, tag = "3")]
    update_time: Option<Moment>,
    #[prost(string, tag = "4")]
    display_name: String,
    #[prost(int32, tag = "5")]
    #[serde(deserialize_with = "region")]
    region_code: i32,
    #[prost(string, optional, tag = "6")]
    external_id: Option<String>,
    #[prost(btree_map = "string, string", tag = "7")]
    metadata: BTreeMap<String, String>,
    #[prost(message, optional, tag = "8")]
    settings: Option<Settings>,
    #[prost(string, optional, tag = "9")]
    slug: Option<String>,
    #[prost(string, optional, tag = "10")]
    logo_url: Option<String>,
}

#[derive(Clone, PartialEq, Message, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Settings {
    #[prost(message, repeated, tag = "1")]
    features: Vec<Feature>,
}

#[derive(Clone, PartialEq, Message, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Feature {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(bool, tag = "2")]
    enabled: bool,
}

/// The answer of a create, a get and an update.
#[derive(Clone, PartialEq, Message, Deserialize)]
#[serde(deny_unknown_fields)]
struct One {
    #[prost(message, optional, tag = "1")]
    organization: Option<Organization>,
}

/// The answer of a list and a search.
#[derive(Clone, PartialEq, Message, Deserialize)]
#[serde(deny_unknown_fields)]
struct Page {
    #[prost(string, tag = "1")]
    next_page_token: String,
    #[prost(uint32, tag = "2")]
    total_size: u32,
    #[prost(message, repeated, tag = "3")]
    organizations: Vec<Organization>,
    #[prost(string, tag = "4")]
    prev_page_token: String,
}

/// What a create and an update name; their fields have the same numbers.
#[derive(Clone, PartialEq, Message, Serialize)]
struct Wanted {
    #[prost(string, optional, tag = "4")]
    display_name: Option<String>,
    #[prost(string, optional, tag = "6")]
    external_id: Option<String>,
    #[prost(btree_map = "string, string", tag = "7")]
    metadata: BTreeMap<String, String>,
    #[prost(string, optional, tag = "9")]
    slug: Option<String>,
    #[prost(string, optional, tag = "10")]
    logo_url: Option<String>,
}

#[derive(Clone, PartialEq, Message)]
struct Create {
    #[prost(message, optional, tag = "1")]
    organization: Option<Wanted>,
}

impl Call for Create {
    type Answer = One;

    fn to_rest(&self, _: &Scalekit) -> Result<Rest, Failure> {
        Rest::new(Method::POST, "/organizations".into()).sending(self.organization.as_ref())
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
        Ok(Rest::get(format!("/organizations{}", identity.path())))
    }
}

#[derive(Clone, PartialEq, Message)]
struct List {
    #[prost(uint32, optional, tag = "1")]
    page_size: Option<u32>,
    #[prost(string, optional, tag = "2")]
    page_token: Option<String>,
    #[prost(string, optional, tag = "3")]
    external_id: Option<String>,
}

impl Call for List {
    type Answer = Page;

    fn to_rest(&self, _: &Scalekit) -> Result<Rest, Failure> {
        Ok(Rest::get("/organizations".into())
            .with("page_size", self.page_size)
            .with("page_token", self.page_token.as_ref())
            .with("external_id", self.external_id.as_ref()))
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
        Ok(Rest::get("/organizations:search".into())
            .with("query", self.query.as_ref())
            .with("page_size", self.page_size)
            .with("page_token", self.page_token.as_ref()))
    }
}

#[derive(Clone, PartialEq, Message)]
struct Update {
    #[prost(string, optional, tag = "1")]
    id: Option<String>,
    #[prost(string, optional, tag = "2")]
    external_id: Option<String>,
    #[prost(message, optional, tag = "3")]
    organization: Option<Wanted>,
}

impl Call for Update {
    type Answer = One;

    fn to_rest(&self, scalekit: &Scalekit) -> Result<Rest, Failure> {
        let path = only_by_id(scalekit, self.id.as_ref(), self.external_id.as_ref())?;
        Rest::new(Method::PATCH, path).sending(self.organization.as_ref())
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

    fn to_rest(&self, scalekit: &Scalekit) -> Result<Rest, Failure> {
        Ok(Rest::new(Method::DELETE, only_by_id(scalekit, self.id.as_ref(), self.external_id.as_ref())?))
    }
}

/// REST changes an organization by its id alone.
fn only_by_id(
    scalekit: &Scalekit,
    id: Option<&String>,
    external: Option<&String>,
) -> Result<String, Failure> {
    let id = match Identity::of(id, external)? {
        Identity::Id(id) => id.to_owned(),
        Identity::External(external) => {
            locked(&scalekit.world).organization_by_external_id(external)?.id.clone()
        }
    };
    Ok(format!("/organizations/{}", segment(&id)))
}
