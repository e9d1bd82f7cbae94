//! The hosted login: an address, a code from a mail, and where there is a choice an organization.

use std::sync::Arc;

use axum::{
    body::Bytes,
    extract::{RawQuery, State},
    http::{HeaderMap, StatusCode, header},
    response::Response,
};

use super::{
    arrival::{Way, choose},
    pages, see,
    tickets::LoginRequest,
};
use crate::simulate::{
    backstage::locked,
    scalekit::{
        Scalekit,
        api::is_email,
        mails::{Kind, Mail},
        reader::{Pairs, Query},
        records::{Profile, Standing, User},
    },
};

/// So many wrong codes end a sign-in.
const MOST_WRONG_CODES: u32 = 5;

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
    let Some(code) = six_digits() else { return pages::broken() };
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

fn six_digits() -> Option<String> {
    let mut random = [0; 8];
    aws_lc_rs::rand::fill(&mut random).ok()?;
    Some(format!("{:06}", u64::from_le_bytes(random) % 1_000_000))
}
