//! The end of a sign-in: which organization it is for, the session, and the way back to the application.

use std::time::Duration;

use axum::{
    http::{HeaderValue, header},
    response::Response,
};

use super::{
    COOKIE,
    authorize::{Told, answer, back},
    pages,
    tickets::{LoginRequest, Right},
};
use crate::simulate::{
    backstage::locked,
    scalekit::{
        Scalekit, random_text,
        reader::Pairs,
        records::{Membership, Organization, Standing},
        session::Session,
        world::World,
    },
};

/// How the person was recognised.
pub(super) enum Way {
    /// By a session that lives already.
    Session(String),
    /// By the code of this login request.
    Code { request: String, user_agent: String },
}

/// Finds the organization of the new session: the asked one, the only one, the chosen one, or a new one.
pub(super) fn choose(
    scalekit: &Scalekit,
    request: LoginRequest,
    user: &str,
    way: Way,
    silent: bool,
) -> Response {
    let told = |error| back(&request.redirect_uri, request.state.as_deref(), &error);
    let mut world = locked(&scalekit.world);
    let Some(person) = world.people.get(user) else {
        return told(Told("user_not_active", "the user is not there any more"));
    };
    let active = person.memberships.iter().filter(|one| one.standing == Standing::Active);
    let open: Vec<String> = active.map(|one| one.organization.clone()).collect();
    let organization = match (&request.organization, open.as_slice()) {
        (Some(asked), _) if open.contains(asked) => asked.clone(),
        (Some(_), _) => return told(Told("access_denied", "the user is no member of the organization")),
        (None, [only]) => only.clone(),
        (None, []) if scalekit.settings().sign_up && !silent => own_organization(scalekit, &mut world, user),
        (None, []) => return told(Told("access_denied", "the user is in no organization")),
        (None, [..]) => match last_organization(&world, &way).filter(|last| open.contains(last)) {
            Some(last) if !request.choose_organization => last,
            _ if silent => return told(Told("login_required", "an organization has to be chosen")),
            _ => {
                let names: Vec<(String, String)> = open
                    .iter()
                    .filter_map(|id| world.organizations.get(id))
                    .map(|org| (org.id.clone(), org.display_name.clone()))
                    .collect();
                drop(world);
                return ask_organization(scalekit, request, user, way, &names);
            }
        },
    };
    drop(world);
    finish(scalekit, &request, user, &organization, way)
}

/// The organization of a session that lives already.
fn last_organization(world: &World, way: &Way) -> Option<String> {
    match way {
        Way::Session(id) => world.sessions.get(id).map(|session| session.organization.clone()),
        Way::Code { .. } => None,
    }
}

/// A sign-up gets an organization of its own, whose creator is its admin.
fn own_organization(scalekit: &Scalekit, world: &mut World, user: &str) -> String {
    let now = scalekit.now();
    let id = world.id("org_");
    let name = world.people.get(user).map_or("", |user| user.email.as_str());
    let organization = Organization {
        id: id.clone(),
        display_name: format!("Organization of {name}"),
        external_id: None,
        metadata: Pairs::new(),
        slug: None,
        logo_url: None,
        created: now,
        updated: now,
    };
    world.organizations.insert(id.clone(), organization);
    if let Some(user) = world.people.get_mut(user) {
        user.memberships.push(Membership {
            organization: id.clone(),
            standing: Standing::Active,
            roles: vec!["admin".into()],
            metadata: Pairs::new(),
            inviter_email: None,
            created: now,
            accepted: Some(now),
            invitation: None,
            provisioning: "org_creator",
        });
    }
    id
}

fn ask_organization(
    scalekit: &Scalekit,
    mut request: LoginRequest,
    user: &str,
    way: Way,
    names: &[(String, String)],
) -> Response {
    request.user = Some(user.to_owned());
    request.code = None;
    let id = match way {
        Way::Code { request, .. } => Ok(request),
        Way::Session(_) => random_text(),
    };
    let Ok(id) = id else { return pages::broken() };
    locked(&scalekit.tickets).keep_request(id.clone(), request, scalekit.now());
    pages::organization(&id, names)
}

/// Opens or continues the session and sends the browser back with a code.
fn finish(scalekit: &Scalekit, request: &LoginRequest, user: &str, organization: &str, way: Way) -> Response {
    let (now, settings) = (scalekit.now(), scalekit.settings());
    let (Ok(code), Ok(cookie)) = (random_text(), random_text()) else { return pages::broken() };
    let idle_end = now.after(Duration::from_secs(settings.session_idle_secs));
    let mut world = locked(&scalekit.world);
    let mut new_cookie = None;
    let session = match way {
        Way::Session(id) => id,
        Way::Code { request, user_agent } => {
            locked(&scalekit.tickets).end_request(&request);
            let id = world.id("ses_");
            let session = Session {
                id: id.clone(),
                user: user.to_owned(),
                organization: organization.to_owned(),
                clients: Vec::new(),
                user_agent,
                created: now,
                active: now,
                idle_end,
                absolute_end: now.after(Duration::from_secs(settings.session_absolute_secs)),
                ended: None,
            };
            world.sessions.insert(id.clone(), session);
            new_cookie = Some(format!("{COOKIE}={cookie}; Path=/; HttpOnly; SameSite=Lax"));
            locked(&scalekit.tickets).keep_browser(cookie, id.clone());
            id
        }
    };
    if let Some(session) = world.sessions.get_mut(&session) {
        organization.clone_into(&mut session.organization);
        session.active = now;
        session.idle_end = idle_end;
        let client = (request.client.clone(), organization.to_owned());
        if !session.clients.contains(&client) {
            session.clients.push(client);
        }
    }
    drop(world);
    let own = || locked(&scalekit.keys).connection().to_owned();
    let right = Right {
        client: request.client.clone(),
        scope: request.scope.clone(),
        session,
        organization: organization.to_owned(),
        connection: request.connection.clone().unwrap_or_else(own),
        redirect_uri: request.redirect_uri.clone(),
        nonce: request.nonce.clone(),
        challenge: request.challenge.clone(),
    };
    let end = now.after(Duration::from_secs(settings.code_secs));
    locked(&scalekit.tickets).keep_code(code.clone(), right, end, now);
    let mut response = answer(&request.redirect_uri, &[("code", &code)], request.state.as_deref());
    if let Some(value) = new_cookie.and_then(|line| HeaderValue::try_from(line).ok()) {
        response.headers_mut().append(header::SET_COOKIE, value);
    }
    response
}
