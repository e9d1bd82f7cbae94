//! Users: create with the first membership, read, search, change, delete.

use std::sync::Arc;

use axum::{
    body::Bytes,
    extract::{Path, RawQuery, State},
};
use serde_json::json;

use super::{
    Answer, EXTERNAL_ID, LIST_SIZES, SEARCH_SIZES, made, memberships, ok, organization_id, parsed,
    search_text, user_id,
};
use crate::simulate::{
    backstage::locked,
    scalekit::{
        Scalekit,
        failure::{Code, Failure},
        paging::page,
        reader::{Pairs, Query, Reader},
        records::{PROFILE_TEXTS, Profile, User},
        settings::Settings,
        world::{Created, Entry, NewUser, World},
    },
};

/// `POST /api/v1/organizations/{id}/users`
pub(super) async fn create(
    State(scalekit): State<Arc<Scalekit>>,
    Path(organization): Path<String>,
    RawQuery(query): RawQuery,
    body: Bytes,
) -> Answer {
    scalekit.backstage.tally("creates_received");
    organization_id(&organization)?;
    let invite = Query::of(query.as_deref()).flag("send_invitation_email", true)?;
    let entry = if invite { Entry::Invited } else { Entry::Direct };
    let settings = scalekit.settings();
    let new = new_user(&body, &settings)?;
    let now = scalekit.now();
    let mut world = locked(&scalekit.world);
    let id = match world.create_user(&organization, new, entry, &settings, now)? {
        Created::Existing(id) => {
            scalekit.backstage.tally("creates_answered_with_existing");
            id
        }
        Created::New(id) => {
            scalekit.backstage.tally("creates_accepted");
            id
        }
        Created::Duplicate(id) => {
            scalekit.backstage.tally("creates_accepted");
            scalekit.backstage.tally("duplicates_made");
            id
        }
    };
    made(json!({ "user": world.user(&id)?.to_json(&world) }))
}

/// `GET /api/v1/users/{id}`
pub(super) async fn one(State(scalekit): State<Arc<Scalekit>>, Path(id): Path<String>) -> Answer {
    if id.len() > 32 {
        return Err(Failure::field("id", "must have 1 to 32 characters"));
    }
    let world = locked(&scalekit.world);
    ok(json!({ "user": world.user(&id)?.to_json(&world) }))
}

/// `GET /api/v1/users:external/{external_id}`
pub(super) async fn by_external_id(
    State(scalekit): State<Arc<Scalekit>>,
    Path(external): Path<String>,
) -> Answer {
    let world = locked(&scalekit.world);
    let id = external_user(&scalekit, &world, &external)?;
    ok(json!({ "user": world.user(&id)?.to_json(&world) }))
}

/// `GET /api/v1/users`
pub(super) async fn list(State(scalekit): State<Arc<Scalekit>>, RawQuery(query): RawQuery) -> Answer {
    listed(&scalekit, query.as_deref(), |_| true)
}

/// `GET /api/v1/organizations/{id}/users`
pub(super) async fn in_organization(
    State(scalekit): State<Arc<Scalekit>>,
    Path(organization): Path<String>,
    RawQuery(query): RawQuery,
) -> Answer {
    locked(&scalekit.world).organization(organization_id(&organization)?)?;
    listed(&scalekit, query.as_deref(), |user| user.membership(&organization).is_some())
}

/// `GET /api/v1/users:search`
pub(super) async fn search(State(scalekit): State<Arc<Scalekit>>, RawQuery(query): RawQuery) -> Answer {
    searched(&scalekit, query.as_deref(), |_| true)
}

/// `GET /api/v1/organizations/{id}/users:search`
pub(super) async fn search_in_organization(
    State(scalekit): State<Arc<Scalekit>>,
    Path(organization): Path<String>,
    RawQuery(query): RawQuery,
) -> Answer {
    locked(&scalekit.world).organization(organization_id(&organization)?)?;
    searched(&scalekit, query.as_deref(), |user| user.membership(&organization).is_some())
}

/// `PATCH /api/v1/users/{id}`
pub(super) async fn update(
    State(scalekit): State<Arc<Scalekit>>,
    Path(id): Path<String>,
    body: Bytes,
) -> Answer {
    user_id(&id)?;
    change(&scalekit, &mut locked(&scalekit.world), &id, &body)
}

/// `PATCH /api/v1/users:external/{external_id}`
pub(super) async fn update_external(
    State(scalekit): State<Arc<Scalekit>>,
    Path(external): Path<String>,
    body: Bytes,
) -> Answer {
    let mut world = locked(&scalekit.world);
    let id = external_user(&scalekit, &world, &external)?;
    change(&scalekit, &mut world, &id, &body)
}

/// `DELETE /api/v1/users/{id}`
pub(super) async fn remove(State(scalekit): State<Arc<Scalekit>>, Path(id): Path<String>) -> Answer {
    let now = scalekit.now();
    locked(&scalekit.world).delete_user(user_id(&id)?, now)?;
    ok(json!({}))
}

/// `DELETE /api/v1/users:external/{external_id}`
pub(super) async fn remove_external(
    State(scalekit): State<Arc<Scalekit>>,
    Path(external): Path<String>,
) -> Answer {
    let now = scalekit.now();
    let mut world = locked(&scalekit.world);
    let id = external_user(&scalekit, &world, &external)?;
    world.delete_user(&id, now)?;
    ok(json!({}))
}

/// The id of the user with this external id. On an older server the route itself is not there.
pub(super) fn external_user(scalekit: &Scalekit, world: &World, external: &str) -> Result<String, Failure> {
    if !scalekit.settings().external_id_routes {
        return Err(Failure::new(Code::NotFound, "Not Found"));
    }
    let found = world.people.by_external_id(external).map(|user| user.id.clone());
    found.ok_or_else(|| Failure::not_found("user"))
}

fn listed(scalekit: &Scalekit, query: Option<&str>, wanted: impl Fn(&User) -> bool) -> Answer {
    let query = Query::of(query);
    let size = query.page_size(&LIST_SIZES, 10)?;
    let world = locked(&scalekit.world);
    let items: Vec<&User> = world.people.all().filter(|user| wanted(user)).collect();
    ok(page(&query, size, "users", &items, |user| user.to_json(&world))?)
}

/// Searches look at address, id and external id, without regard to case.
fn searched(scalekit: &Scalekit, query: Option<&str>, wanted: impl Fn(&User) -> bool) -> Answer {
    let query = Query::of(query);
    let (text, size) = (search_text(&query)?, query.page_size(&SEARCH_SIZES, 10)?);
    let (now, settings) = (scalekit.now(), scalekit.settings());
    let indexed = |user: &User| now.since(user.created).as_millis() >= u128::from(settings.search_delay_ms);
    let found = |user: &User| {
        let texts = [Some(user.email.as_str()), Some(user.id.as_str()), user.external_id.as_deref()];
        texts.into_iter().flatten().any(|value| settings.search.finds(&text, value))
    };
    let world = locked(&scalekit.world);
    let hits = world.people.all().filter(|user| wanted(user) && indexed(user) && found(user));
    let items: Vec<&User> = hits.collect();
    ok(page(&query, size, "users", &items, |user| user.to_json(&world))?)
}

fn change(scalekit: &Scalekit, world: &mut World, id: &str, body: &Bytes) -> Answer {
    let settings = scalekit.settings();
    let body = parsed(body)?;
    let mut reader = Reader::of(&body, settings.unknown_body_keys)?;
    let external = reader.text("external_id", &EXTERNAL_ID);
    let metadata = reader.pairs("metadata", 20);
    let profile = reader.child("user_profile", read_profile);
    let (external, metadata, profile) = reader.finish((external, metadata, profile))?;
    world.user(id)?;
    if let Some(external) = external {
        world.set_external_id(id, external, &settings)?;
    }
    let now = scalekit.now();
    if let Some(user) = world.people.get_mut(id) {
        settings.metadata_patch.apply(&mut user.metadata, metadata);
        if let Some(named) = profile {
            named.change(&mut user.profile, &settings);
        }
        user.updated = now;
    }
    ok(json!({ "user": world.user(id)?.to_json(world) }))
}

/// The members of a profile that a body names.
struct NamedProfile {
    texts: Vec<(&'static str, String)>,
    groups: Option<Vec<String>>,
    metadata: Option<Pairs>,
    custom_attributes: Option<Pairs>,
}

impl NamedProfile {
    fn change(self, profile: &mut Profile, settings: &Settings) {
        profile.texts.extend(self.texts);
        profile.groups = self.groups.unwrap_or(std::mem::take(&mut profile.groups));
        settings.metadata_patch.apply(&mut profile.metadata, self.metadata);
        settings.metadata_patch.apply(&mut profile.custom_attributes, self.custom_attributes);
    }
}

fn read_profile(reader: &mut Reader<'_>) -> NamedProfile {
    let mut texts: Vec<(&'static str, String)> = Vec::new();
    // The older names stand for the newer ones and come first, so that the newer win.
    for (old, new) in [("first_name", "given_name"), ("last_name", "family_name")] {
        texts.extend(reader.text(old, &(0..=200)).map(|text| (new, text)));
    }
    for (name, most) in PROFILE_TEXTS {
        texts.extend(reader.text(name, &(0..=most)).map(|text| (name, text)));
    }
    NamedProfile {
        texts,
        groups: reader.texts("groups", 50, &(1..=250)),
        metadata: reader.pairs("metadata", 20),
        custom_attributes: reader.pairs("custom_attributes", 20),
    }
}

fn new_user(body: &Bytes, settings: &Settings) -> Result<NewUser, Failure> {
    let body = parsed(body)?;
    let mut reader = Reader::of(&body, settings.unknown_body_keys)?;
    let email = reader.text("email", &(0..=254)).unwrap_or_default();
    if !is_email(&email) {
        reader.problem("email", "must be an e-mail address");
    }
    let external_id = reader.text("external_id", &EXTERNAL_ID);
    let metadata = reader.pairs("metadata", 20).unwrap_or_default();
    let membership = reader.child("membership", |inner| memberships::read(inner, memberships::Call::Add));
    let mut profile = Profile::default();
    if let Some(named) = reader.child("user_profile", read_profile) {
        named.change(&mut profile, settings);
    }
    let membership = membership.unwrap_or_default();
    reader.finish(NewUser { email, external_id, metadata, profile, membership })
}

/// An address as HTML's `input type=email` takes it, which is what the API's own validation rule means.
pub(in crate::simulate::scalekit) fn is_email(text: &str) -> bool {
    let Some((local, domain)) = text.rsplit_once('@') else { return false };
    let letter = |b: u8| b.is_ascii_alphanumeric() || b".!#$%&'*+/=?^_`{|}~-".contains(&b);
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    !local.is_empty() && local.bytes().all(letter) && domain.split('.').all(label)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_judged_as_the_api_does() {
        for good in ["a@b", "a.b+c@example.test", "o'neil@x-y.example"] {
            assert!(is_email(good), "{good}");
        }
        for bad in ["", "a", "@b", "a@", "a b@c", "a@b..c", "a@-b", "é@example.test", "a@@b"] {
            assert!(!is_email(bad), "{bad}");
        }
    }
}
