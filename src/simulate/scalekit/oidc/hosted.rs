//! The hosted login: an address, a code from a mail, and where there is a choice an organization.

use std::{sync::Arc, time::Duration};

use axum::{
    body::Bytes,
    extract::{RawQuery, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::Response,
};

use super::{
    COOKIE,
    authorize::{Told, answer, back},
    pages, see,
    tickets::{LoginRequest, Right},
};
use crate::simulate::{
    backstage::locked,
    scalekit::{
        Scalekit,
        api::is_email,
        mails::{Kind, Mail},
        random_text,
        reader::{Pairs, Query},
        records::{Membership, Organization, Profile, Session, Standing, User},
        world::World,
    },
};

/// So many wrong codes end a sign-in.
const MOST_WRONG_CODES: u32 = 5;

/// How the person was recognised.
pub(super) enum Way {
    /// By a session that lives already.
    Session(String),
    /// By the code of this login request.
    Code { request: String, user_agent: String },
}

/// `GET /hosted/login`
pub(super) async fn email_form(State(scalekit): State<Arc<Scalekit>>, RawQuery(query): RawQuery) -> Response {
    let query = Query::of(query.as_deref());
    let (id, request) = match find(&scalekit, &query) {
        Ok(found) => found,
        Err(page) => return *page,
    };
    let typed = request.email.or(request.hint).unwrap_or_default();
    pages::email(StatusCode::OK, &id, &typed, None)
}

/// `POST /hosted/login`: mails a code to the address.
pub(super) async fn email(State(scalekit): State<Arc<Scalekit>>, body: Bytes) -> Response {
    let form = form(&body);
    let (id, _) = match find(&scalekit, &form) {
        Ok(found) => found,
        Err(page) => return *page,
    };
    let typed = form.get("email").unwrap_or_default().trim().to_owned();
    let refused = |status, text| pages::email(status, &id, &typed, Some(text));
    if !is_email(&typed) {
        return refused(StatusCode::BAD_REQUEST, "Please enter an e-mail address.");
    }
    let (now, settings) = (scalekit.now(), scalekit.settings());
    let mut world = locked(&scalekit.world);
    if world.people.by_email(&typed, settings.email_case).is_none() && !settings.sign_up {
        return refused(StatusCode::FORBIDDEN, "There is no account with this address.");
    }
    let sent = world.mails.codes_last_minute(&typed, now);
    if settings.codes_per_minute.is_some_and(|most| sent >= most) {
        return refused(StatusCode::TOO_MANY_REQUESTS, "Too many mails. Please wait a minute.");
    }
    let Some(code) = six_digits() else { return broken() };
    let link = format!("/hosted/code?request={id}&code={code}");
    world.mails.send(Mail {
        at: now,
        to: typed.clone(),
        kind: Kind::SignInCode,
        code: Some(code.clone()),
        link,
    });
    drop(world);
    if let Some(request) = locked(&scalekit.tickets).request(&id, now) {
        request.email = Some(typed);
        request.code = Some(code);
    }
    see(&format!("/hosted/code?request={id}"))
}

/// `GET /hosted/code`: the form, or with a code the link from the mail.
pub(super) async fn code_form(
    State(scalekit): State<Arc<Scalekit>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    let query = Query::of(query.as_deref());
    if query.get("code").is_some() {
        return try_code(&scalekit, &query, &headers);
    }
    match find(&scalekit, &query) {
        Ok((id, LoginRequest { email: Some(email), .. })) => pages::code(StatusCode::OK, &id, &email, None),
        Ok((id, _)) => see(&format!("/hosted/login?request={id}")),
        Err(page) => *page,
    }
}

/// `POST /hosted/code`
pub(super) async fn code(State(scalekit): State<Arc<Scalekit>>, headers: HeaderMap, body: Bytes) -> Response {
    try_code(&scalekit, &form(&body), &headers)
}

fn try_code(scalekit: &Scalekit, form: &Query, headers: &HeaderMap) -> Response {
    let (id, request) = match find(scalekit, form) {
        Ok(found) => found,
        Err(page) => return *page,
    };
    let (Some(email), Some(code)) = (&request.email, &request.code) else {
        return see(&format!("/hosted/login?request={id}"));
    };
    let now = scalekit.now();
    let typed = form.get("code").unwrap_or_default();
    if *code != typed.split_whitespace().collect::<String>() {
        let mut tickets = locked(&scalekit.tickets);
        let wrong = tickets.request(&id, now).map_or(MOST_WRONG_CODES, |request| {
            request.wrong_codes += 1;
            request.wrong_codes
        });
        if wrong >= MOST_WRONG_CODES {
            tickets.end_request(&id);
            let text = "Too many wrong codes. Please go back to the application and start again.";
            return pages::refused(StatusCode::TOO_MANY_REQUESTS, "too_many_codes", text);
        }
        return pages::code(StatusCode::BAD_REQUEST, &id, email, Some("That code is not right."));
    }
    let user = prove(scalekit, email);
    let agent = headers.get(header::USER_AGENT).and_then(|agent| agent.to_str().ok()).unwrap_or_default();
    let way = Way::Code { request: id, user_agent: agent.to_owned() };
    choose(scalekit, request, &user, way, false)
}

/// The mailbox is proven: its user, whose open invitations count as accepted, or a new one.
fn prove(scalekit: &Scalekit, email: &str) -> String {
    let (now, settings) = (scalekit.now(), scalekit.settings());
    let mut world = locked(&scalekit.world);
    let known = world.people.by_email(email, settings.email_case).map(|user| user.id.clone());
    if let Some(user) = known.as_deref().and_then(|id| world.people.get_mut(id)) {
        user.email_verified = true;
        user.last_login = Some(now);
        for membership in user.memberships.iter_mut().filter(|one| one.standing == Standing::PendingInvite) {
            membership.standing = Standing::Active;
            membership.accepted = Some(now);
        }
        return user.id.clone();
    }
    let id = world.id("usr_");
    world.people.insert(User {
        id: id.clone(),
        email: email.to_owned(),
        email_verified: true,
        external_id: None,
        metadata: Pairs::new(),
        profile: Profile::default(),
        memberships: Vec::new(),
        created: now,
        updated: now,
        last_login: Some(now),
        origin: "sign_up",
    });
    world.created += 1;
    scalekit.backstage.tally("sign_ups");
    id
}

/// `POST /hosted/organization`
pub(super) async fn organization(
    State(scalekit): State<Arc<Scalekit>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let form = form(&body);
    let (id, mut request) = match find(&scalekit, &form) {
        Ok(found) => found,
        Err(page) => return *page,
    };
    let Some(user) = request.user.clone() else { return see(&format!("/hosted/login?request={id}")) };
    request.organization = form.get("organization_id").map(str::to_owned);
    let agent = headers.get(header::USER_AGENT).and_then(|agent| agent.to_str().ok()).unwrap_or_default();
    let way = Way::Code { request: id, user_agent: agent.to_owned() };
    choose(&scalekit, request, &user, way, false)
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
        (None, [..]) => match &way {
            Way::Session(id) if !request.choose_organization => {
                let last = world.sessions.get(id).map(|session| session.organization.clone());
                last.filter(|last| open.contains(last)).unwrap_or_default()
            }
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
    let Ok(id) = id else { return broken() };
    locked(&scalekit.tickets).keep_request(id.clone(), request, scalekit.now());
    pages::organization(&id, names)
}

/// Opens or continues the session and sends the browser back with a code.
fn finish(scalekit: &Scalekit, request: &LoginRequest, user: &str, organization: &str, way: Way) -> Response {
    let (now, settings) = (scalekit.now(), scalekit.settings());
    let (Ok(code), Ok(cookie)) = (random_text(), random_text()) else { return broken() };
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

/// The login request that the page belongs to, or the page that says it is over.
fn find(scalekit: &Scalekit, fields: &Query) -> Result<(String, LoginRequest), Box<Response>> {
    let id = fields.get("request").unwrap_or_default();
    let request = locked(&scalekit.tickets).request(id, scalekit.now()).cloned();
    request.map(|request| (id.to_owned(), request)).ok_or_else(|| {
        let text = "This sign-in is over. Please go back to the application and start again.";
        Box::new(pages::refused(StatusCode::BAD_REQUEST, "invalid_state", text))
    })
}

fn form(body: &Bytes) -> Query {
    Query::of(std::str::from_utf8(body).ok())
}

fn broken() -> Response {
    pages::refused(StatusCode::INTERNAL_SERVER_ERROR, "server_error", "Something went wrong.")
}

fn six_digits() -> Option<String> {
    let mut random = [0; 8];
    aws_lc_rs::rand::fill(&mut random).ok()?;
    Some(format!("{:06}", u64::from_le_bytes(random) % 1_000_000))
}
