//! What may stand between a right password and the application: a code, a new password; and the reset page.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
};
use subtle::ConstantTimeEq as _;

use super::{
    App,
    doors::{STALE, after_factor, redirect, with_cookie},
    form::Form,
    pages,
    session::{Session, Stage},
};
use crate::simulate::backstage::locked;

/// What a new password has to have.
const SHORTEST_PASSWORD: usize = 8;

/// `GET /mfa`
pub(super) async fn mfa_form(State(app): State<Arc<App>>, headers: HeaderMap) -> Response {
    match app.sessions.of(&headers).map(|session| session.stage) {
        Some(Stage::WantsCode { .. }) => app.mfa_page(&headers, StatusCode::OK, None),
        _ => redirect("/login"),
    }
}

/// `POST /mfa`
pub(super) async fn mfa(State(app): State<Arc<App>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let headers = &parts.headers;
    let Some(Session { person, stage: Stage::WantsCode { next } }) = app.sessions.of(headers) else {
        return redirect("/login");
    };
    let form = match Form::read(headers, body).await {
        Ok(form) => form,
        Err(status) => return status.into_response(),
    };
    if !app.csrf.holds(headers, form.field("csrf")) {
        return app.mfa_page(headers, StatusCode::FORBIDDEN, Some(STALE));
    }
    let right: bool = form.field("code").trim().as_bytes().ct_eq(app.options.mfa_code.as_bytes()).into();
    let person = locked(&app.people).by_id(&person).cloned();
    match person {
        Some(person) if right => {
            let (stage, to) = after_factor(&person, next);
            with_cookie(redirect(&to), app.sessions.begin(headers, Session { person: person.id, stage }))
        }
        _ => app.mfa_page(headers, StatusCode::OK, Some("This code is not right.")),
    }
}

/// `GET /password/change`
pub(super) async fn change_form(State(app): State<Arc<App>>, headers: HeaderMap) -> Response {
    match app.sessions.of(&headers).map(|session| session.stage) {
        Some(Stage::MustChange { .. } | Stage::Open) => app.change_page(&headers, StatusCode::OK, None),
        _ => redirect("/login"),
    }
}

/// `POST /password/change`
pub(super) async fn change(State(app): State<Arc<App>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let headers = &parts.headers;
    let (person, next) = match app.sessions.of(headers) {
        Some(Session { person, stage: Stage::MustChange { next } }) => (person, next),
        Some(Session { person, stage: Stage::Open }) => (person, "/".to_owned()),
        _ => return redirect("/login"),
    };
    let form = match Form::read(headers, body).await {
        Ok(form) => form,
        Err(status) => return status.into_response(),
    };
    if !app.csrf.holds(headers, form.field("csrf")) {
        return app.change_page(headers, StatusCode::FORBIDDEN, Some(STALE));
    }
    let (password, again) = (form.field("password"), form.field("password_again"));
    if password.chars().count() < SHORTEST_PASSWORD {
        return app.change_page(headers, StatusCode::OK, Some("Please choose at least 8 characters."));
    }
    if password != again {
        return app.change_page(headers, StatusCode::OK, Some("The two passwords are not the same."));
    }
    locked(&app.people).change_password(&person, password.to_owned());
    with_cookie(redirect(&next), app.sessions.begin(headers, Session { person, stage: Stage::Open }))
}

/// `GET /account/password`
pub(super) async fn reset_form(State(app): State<Arc<App>>, headers: HeaderMap) -> Response {
    app.with_ticket(&headers, |ticket| pages::reset(&app.options.name, StatusCode::OK, ticket, None))
}

/// `POST /account/password`: one answer for every address, known or not.
pub(super) async fn reset(State(app): State<Arc<App>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let form = match Form::read(&parts.headers, body).await {
        Ok(form) => form,
        Err(status) => return status.into_response(),
    };
    let (status, said) = if app.csrf.holds(&parts.headers, form.field("csrf")) {
        (StatusCode::OK, "If we know this address, a letter is on its way. (This sample sends no mail.)")
    } else {
        (StatusCode::FORBIDDEN, STALE)
    };
    app.with_ticket(&parts.headers, |ticket| pages::reset(&app.options.name, status, ticket, Some(said)))
}

impl App {
    fn mfa_page(&self, headers: &HeaderMap, status: StatusCode, error: Option<&str>) -> Response {
        self.with_ticket(headers, |ticket| pages::mfa(&self.options.name, status, ticket, error))
    }

    fn change_page(&self, headers: &HeaderMap, status: StatusCode, error: Option<&str>) -> Response {
        self.with_ticket(headers, |ticket| pages::change(&self.options.name, status, ticket, error))
    }
}
