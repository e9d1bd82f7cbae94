//! Roles of the environment.

use std::sync::Arc;

use axum::{
    body::Bytes,
    extract::{Path, State},
};
use serde_json::{Value, json};

use super::{Answer, made, ok, organization_id, parsed, user_id};
use crate::simulate::{
    backstage::locked,
    scalekit::{
        Scalekit,
        failure::{Code, Failure},
        reader::Reader,
        records::Role,
        world::World,
    },
};

/// `GET /api/v1/roles`
pub(super) async fn list(State(scalekit): State<Arc<Scalekit>>) -> Answer {
    let world = locked(&scalekit.world);
    ok(json!({ "roles": world.roles.iter().map(Role::to_json).collect::<Vec<Value>>() }))
}

/// `GET /api/v1/roles/{name}`
pub(super) async fn one(State(scalekit): State<Arc<Scalekit>>, Path(name): Path<String>) -> Answer {
    let world = locked(&scalekit.world);
    ok(json!({ "role": world.role(&name).ok_or_else(|| Failure::not_found("role"))?.to_json() }))
}

/// `POST /api/v1/roles`
pub(super) async fn create(State(scalekit): State<Arc<Scalekit>>, body: Bytes) -> Answer {
    let body = parsed(&body)?;
    let mut reader = Reader::of(&body, scalekit.settings().unknown_body_keys)?;
    let name = reader.text("name", &(1..=64)).unwrap_or_default();
    if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
        reader.problem("name", "must be letters, digits and underscores");
    }
    let display_name = reader.text("display_name", &(1..=100));
    if display_name.is_none() {
        reader.problem("display_name", "is required");
    }
    let description = reader.text("description", &(0..=2000)).unwrap_or_default();
    let extends = reader.text("extends", &(1..=64));
    let permissions = reader.texts("permissions", 100, &(1..=100)).unwrap_or_default();
    let now = scalekit.now();
    let mut world = locked(&scalekit.world);
    if extends.as_deref().is_some_and(|base| world.role(base).is_none()) {
        reader.problem("extends", "does not exist");
    }
    let display_name = reader.finish(display_name)?.unwrap_or_default();
    if world.role(&name).is_some() {
        return Err(Failure::new(Code::InvalidArgument, "duplicate key not allowed"));
    }
    let id = world.id("role_");
    let role = Role { id, name, display_name, description, extends, permissions, created: now };
    let shown = role.to_json();
    world.roles.push(role);
    made(json!({ "role": shown }))
}

/// `DELETE /api/v1/roles/{name}`
pub(super) async fn remove(State(scalekit): State<Arc<Scalekit>>, Path(name): Path<String>) -> Answer {
    let mut world = locked(&scalekit.world);
    world.role(&name).ok_or_else(|| Failure::not_found("role"))?;
    if holders(&world, &name) > 0 {
        let why = "role cannot be deleted as it is assigned to users";
        return Err(Failure::new(Code::InvalidArgument, why));
    }
    world.roles.retain(|role| role.name != name);
    ok(json!({}))
}

/// `GET /api/v1/roles/{name}/users:count`
pub(super) async fn count(State(scalekit): State<Arc<Scalekit>>, Path(name): Path<String>) -> Answer {
    let world = locked(&scalekit.world);
    world.role(&name).ok_or_else(|| Failure::not_found("role"))?;
    // A 64-bit number is a string in ProtoJSON.
    ok(json!({ "count": holders(&world, &name).to_string() }))
}

/// `GET /api/v1/organizations/{id}/users/{user_id}/roles`
pub(super) async fn of_user(
    State(scalekit): State<Arc<Scalekit>>,
    Path((organization, user)): Path<(String, String)>,
) -> Answer {
    let world = locked(&scalekit.world);
    let person = world.user(user_id(&user)?)?;
    let membership = person.membership(organization_id(&organization)?);
    let membership = membership.ok_or_else(|| Failure::not_found("membership"))?;
    let roles = membership.roles.iter().filter_map(|name| world.role(name)).map(Role::named);
    ok(json!({ "roles": roles.collect::<Vec<_>>() }))
}

fn holders(world: &World, name: &str) -> usize {
    let has = |roles: &[String]| roles.iter().any(|role| role == name);
    world.people.all().filter(|user| user.memberships.iter().any(|member| has(&member.roles))).count()
}
