//! Organizations.

use std::sync::Arc;

use axum::{
    body::Bytes,
    extract::{Path, RawQuery, State},
};
use serde_json::json;

use super::{Answer, SEARCH_SIZES, made, ok, parsed, search_text};
use crate::simulate::{
    backstage::locked,
    scalekit::{
        Scalekit,
        failure::{Code, Failure},
        paging::page,
        reader::{Pairs, Query, Reader},
        records::Organization,
        settings::{MetadataPatch, SearchMode},
        world::World,
    },
};

/// What a create or an update names.
struct Wanted {
    display_name: Option<String>,
    external_id: Option<String>,
    metadata: Option<Pairs>,
    slug: Option<String>,
    logo_url: Option<String>,
}

/// `POST /api/v1/organizations`
pub(super) async fn create(State(scalekit): State<Arc<Scalekit>>, body: Bytes) -> Answer {
    let wanted = read(&scalekit, &body)?;
    let Some(display_name) = wanted.display_name else {
        return Err(Failure::field("display_name", "is required"));
    };
    let now = scalekit.now();
    let mut world = locked(&scalekit.world);
    unique(&world, "", wanted.external_id.as_deref(), wanted.slug.as_deref())?;
    let id = world.id("org_");
    let organization = Organization {
        id: id.clone(),
        display_name,
        external_id: wanted.external_id,
        metadata: wanted.metadata.unwrap_or_default(),
        slug: wanted.slug,
        logo_url: wanted.logo_url,
        created: now,
        updated: now,
    };
    let shown = organization.to_json();
    world.organizations.insert(id, organization);
    made(json!({ "organization": shown }))
}

/// `GET /api/v1/organizations/{id}`
pub(super) async fn one(State(scalekit): State<Arc<Scalekit>>, Path(id): Path<String>) -> Answer {
    if id.len() > 32 {
        return Err(Failure::field("id", "must have 1 to 32 characters"));
    }
    let world = locked(&scalekit.world);
    ok(json!({ "organization": world.organization(&id)?.to_json() }))
}

/// `GET /api/v1/organizations:external/{external_id}`
pub(super) async fn by_external_id(
    State(scalekit): State<Arc<Scalekit>>,
    Path(external): Path<String>,
    RawQuery(query): RawQuery,
) -> Answer {
    if Query::of(query.as_deref()).get("id").is_some() {
        return Err(Failure::new(Code::InvalidArgument, "ExternalId is required"));
    }
    let world = locked(&scalekit.world);
    ok(json!({ "organization": world.organization_by_external_id(&external)?.to_json() }))
}

/// `GET /api/v1/organizations`
pub(super) async fn list(State(scalekit): State<Arc<Scalekit>>, RawQuery(query): RawQuery) -> Answer {
    let query = Query::of(query.as_deref());
    let size = query.page_size(&(10..=100), 10)?;
    let external = query.get("external_id");
    let world = locked(&scalekit.world);
    let wanted = |org: &&Organization| external.is_none() || org.external_id.as_deref() == external;
    let items: Vec<&Organization> = world.organizations.values().filter(wanted).collect();
    ok(page(&query, size, "organizations", &items, |org| org.to_json())?)
}

/// `GET /api/v1/organizations:search`
pub(super) async fn search(State(scalekit): State<Arc<Scalekit>>, RawQuery(query): RawQuery) -> Answer {
    let query = Query::of(query.as_deref());
    let (text, size) = (search_text(&query)?, query.page_size(&SEARCH_SIZES, 10)?);
    let mode = scalekit.settings().search;
    let world = locked(&scalekit.world);
    let found = |org: &&Organization| {
        let texts = [Some(org.id.as_str()), Some(org.display_name.as_str()), org.external_id.as_deref()];
        texts.into_iter().flatten().any(|value| mode.finds(&text, value))
    };
    let items: Vec<&Organization> = world.organizations.values().filter(found).collect();
    ok(page(&query, size, "organizations", &items, |org| org.to_json())?)
}

/// `PATCH /api/v1/organizations/{id}`
pub(super) async fn update(
    State(scalekit): State<Arc<Scalekit>>,
    Path(id): Path<String>,
    body: Bytes,
) -> Answer {
    let wanted = read(&scalekit, &body)?;
    let (now, settings) = (scalekit.now(), scalekit.settings());
    let mut world = locked(&scalekit.world);
    world.organization(&id)?;
    unique(&world, &id, wanted.external_id.as_deref(), wanted.slug.as_deref())?;
    let organization = world.organizations.get_mut(&id).ok_or_else(|| Failure::not_found("organization"))?;
    if let Some(name) = wanted.display_name {
        organization.display_name = name;
    }
    organization.external_id = wanted.external_id.or(organization.external_id.take());
    organization.slug = wanted.slug.or(organization.slug.take());
    organization.logo_url = wanted.logo_url.or(organization.logo_url.take());
    settings.metadata_patch.apply(&mut organization.metadata, wanted.metadata);
    organization.updated = now;
    ok(json!({ "organization": organization.to_json() }))
}

/// `DELETE /api/v1/organizations/{id}`
pub(super) async fn remove(State(scalekit): State<Arc<Scalekit>>, Path(id): Path<String>) -> Answer {
    let now = scalekit.now();
    locked(&scalekit.world).delete_organization(&id, now)?;
    ok(json!({}))
}

fn read(scalekit: &Scalekit, body: &Bytes) -> Result<Wanted, Failure> {
    let body = parsed(body)?;
    let mut reader = Reader::of(&body, scalekit.settings().unknown_body_keys)?;
    let wanted = Wanted {
        display_name: reader.text("display_name", &(1..=200)),
        external_id: reader.text("external_id", &(1..=255)),
        metadata: reader.pairs("metadata", 10),
        slug: reader.text("slug", &(1..=253)),
        logo_url: reader.text("logo_url", &(0..=1024)),
    };
    if wanted.slug.as_deref().is_some_and(|slug| !slug.split('.').all(is_label)) {
        reader.problem("slug", "must be a DNS name in lower case");
    }
    if wanted.logo_url.as_deref().is_some_and(|url| !url.starts_with("https://")) {
        reader.problem("logo_url", "must be https");
    }
    reader.finish(wanted)
}

/// A DNS label in lower case (RFC 1123 §2.1).
fn is_label(label: &str) -> bool {
    let letters = label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    letters && (1..=63).contains(&label.len()) && !label.starts_with('-') && !label.ends_with('-')
}

fn unique(world: &World, own: &str, external: Option<&str>, slug: Option<&str>) -> Result<(), Failure> {
    let others = || world.organizations.values().filter(|org| org.id != own);
    if external.is_some() && others().any(|org| org.external_id.as_deref() == external) {
        return Err(Failure::new(
            Code::AlreadyExists,
            "an organization with this external_id already exists",
        ));
    }
    if slug.is_some() && others().any(|org| org.slug.as_deref() == slug) {
        return Err(Failure::new(Code::AlreadyExists, "an organization with this slug already exists"));
    }
    Ok(())
}

impl SearchMode {
    /// Whether a search for `text`, which is folded, finds `value`.
    pub(super) fn finds(self, text: &str, value: &str) -> bool {
        let value = value.to_lowercase();
        match self {
            Self::Substring => value.contains(text),
            Self::Prefix => value.starts_with(text),
            Self::Exact => value == text,
        }
    }
}

impl MetadataPatch {
    /// Changes stored metadata as a PATCH that names `changes` does.
    pub(super) fn apply(self, stored: &mut Pairs, changes: Option<Pairs>) {
        let Some(changes) = changes else { return };
        match self {
            Self::Merge => stored.extend(changes),
            Self::Replace => *stored = changes,
        }
    }
}
