//! Signing in and out, and who is signed in.

use std::{io, sync::Arc};

use axum::{
    Json,
    body::to_bytes,
    extract::{Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    App, OnFailure,
    form::{Form, local, query_field},
    identity::{Handed, tells_identity},
    pages::{self, Home},
    people::Person,
    session::{self, Session, Stage},
};
use crate::simulate::backstage::{Number, PasswordSeen, locked};

/// One text for every refusal: which of the two was wrong is nobody's business.
const REFUSED: &str = "The e-mail address or the password is wrong.";

/// The text for a form whose CSRF field does not fit.
pub(super) const STALE: &str = "This form has expired. Please try again.";

/// `GET /login`
pub(super) async fn form(State(app): State<Arc<App>>, request: Request) -> Response {
    let query = request.uri().query();
    let next = query_field(query, "next").unwrap_or_else(|| "/".into());
    let typed = query_field(query, "login_hint").unwrap_or_default();
    let error = query_field(query, "error").map(|_| REFUSED);
    app.login_page(request.headers(), StatusCode::OK, local(&next), &typed, error)
}

/// `POST /login`
pub(super) async fn sign_in(State(app): State<Arc<App>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let form = match Form::read(&parts.headers, body).await {
        Ok(form) => form,
        Err(status) => return status.into_response(),
    };
    let (typed, password, next) = (form.field("email"), form.field("password"), local(form.field("next")));
    app.record(parts.extensions.get().copied(), typed, password);
    if !app.csrf.holds(&parts.headers, form.field("csrf")) {
        return app.login_page(&parts.headers, StatusCode::FORBIDDEN, next, typed, Some(STALE));
    }
    match app.check(typed, password) {
        Some(person) => app.admit(&parts.headers, &person, next),
        None => app.refuse(&parts.headers, next, typed),
    }
}

#[derive(Deserialize)]
struct ApiCredentials {
    user: ApiUser,
    password: String,
}

#[derive(Deserialize)]
struct ApiUser {
    email: String,
}

/// `POST /api/login`
pub(super) async fn api_sign_in(State(app): State<Arc<App>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let error = |status: StatusCode, word: &str| (status, Json(json!({ "error": word }))).into_response();
    let kind = parts.headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or("");
    // A form of another site cannot send this type, which stands in for the CSRF field.
    if !kind.to_ascii_lowercase().starts_with("application/json") {
        return error(StatusCode::UNSUPPORTED_MEDIA_TYPE, "json_expected");
    }
    let sent = to_bytes(body, 64 * 1024).await.ok();
    let sent = sent.and_then(|body| serde_json::from_slice::<ApiCredentials>(&body).ok());
    let Some(ApiCredentials { user, password }) = sent else {
        return error(StatusCode::BAD_REQUEST, "invalid_request");
    };
    app.record(parts.extensions.get().copied(), &user.email, &password);
    match app.check(&user.email, &password) {
        None => error(StatusCode::UNAUTHORIZED, "invalid_credentials"),
        Some(person) if person.mfa => error(StatusCode::FORBIDDEN, "mfa_required"),
        Some(person) if person.must_change => error(StatusCode::FORBIDDEN, "password_change_required"),
        Some(person) => {
            let session = Session { person: person.id.clone(), stage: Stage::Open };
            with_cookie(Json(person.to_json()).into_response(), app.sessions.begin(&parts.headers, session))
        }
    }
}

/// `GET` and `POST /logout`
pub(super) async fn sign_out(State(app): State<Arc<App>>, headers: HeaderMap) -> Response {
    app.sessions.end(&headers);
    with_cookie(redirect("/login"), Ok(session::expire_cookie(session::COOKIE)))
}

/// `GET /api/me`
pub(super) async fn who_am_i(State(app): State<Arc<App>>, headers: HeaderMap) -> Response {
    let handed = match app.handed(&headers).await {
        Ok(handed) => handed,
        Err(why) => {
            let body = json!({ "error": "bad_assertion", "why": why.to_string() });
            return (StatusCode::UNAUTHORIZED, Json(body)).into_response();
        }
    };
    let own = app.signed_in(&headers);
    let Some(mut answer) = app.told(handed.as_ref(), own.as_ref()) else {
        return (StatusCode::UNAUTHORIZED, Json(json!({ "error": "not_signed_in" }))).into_response();
    };
    answer["door"] = handed.as_ref().map_or("session", |handed| handed.by).into();
    answer["own_session"] = own.map_or(Value::Null, |person| person.id.into());
    answer["handed_user"] = handed.map_or(Value::Null, |handed| handed.user.into());
    Json(answer).into_response()
}

/// `GET /`
pub(super) async fn home(State(app): State<Arc<App>>, headers: HeaderMap) -> Response {
    let (handed, trouble) = match app.handed(&headers).await {
        Ok(handed) => (handed, None),
        Err(why) => (None, Some(why.to_string())),
    };
    let own = app.signed_in(&headers);
    let rules = app.options.assertion.as_ref();
    let telling = headers.keys().map(HeaderName::as_str).filter(|name| tells_identity(name, rules)).collect();
    let home = Home {
        who: app.told(handed.as_ref(), own.as_ref()),
        door: handed.as_ref().map_or("session", |handed| handed.by),
        both: handed.is_some() && own.is_some(),
        trusts: app.options.trust_headers,
        trouble,
        telling,
        received: headers.keys().map(HeaderName::as_str).collect(),
    };
    pages::home(&app.options.name, &home)
}

impl App {
    /// Notes in the journal that somebody typed a password, not which.
    fn record(&self, number: Option<Number>, typed: &str, password: &str) {
        let Some(number) = number else { return };
        self.backstage.note(number, |entry| {
            entry.login = Some(typed.to_owned());
            entry.password = (!password.is_empty()).then_some(PasswordSeen { length_bytes: password.len() });
        });
    }

    fn check(&self, typed: &str, password: &str) -> Option<Person> {
        self.backstage.count_check(typed);
        locked(&self.people).check(typed, password).cloned()
    }

    /// A right password: the session, or the step that stands before it.
    fn admit(&self, headers: &HeaderMap, person: &Person, next: &str) -> Response {
        let next = next.to_owned();
        let (stage, to) = if person.mfa {
            (Stage::WantsCode { next }, "/mfa".to_owned())
        } else {
            after_factor(person, next)
        };
        let session = Session { person: person.id.clone(), stage };
        with_cookie(redirect(&to), self.sessions.begin(headers, session))
    }

    fn refuse(&self, headers: &HeaderMap, next: &str, typed: &str) -> Response {
        match self.options.on_failure {
            OnFailure::Form => self.login_page(headers, StatusCode::OK, next, typed, Some(REFUSED)),
            OnFailure::Unauthorized => {
                self.login_page(headers, StatusCode::UNAUTHORIZED, next, typed, Some(REFUSED))
            }
            OnFailure::Redirect => {
                let mut query = url::form_urlencoded::Serializer::new(String::new());
                query.append_pair("error", "1").append_pair("next", next);
                redirect(&format!("/login?{}", query.finish()))
            }
        }
    }

    fn login_page(
        &self,
        headers: &HeaderMap,
        status: StatusCode,
        next: &str,
        typed: &str,
        error: Option<&str>,
    ) -> Response {
        self.with_ticket(headers, |ticket| {
            pages::login(&self.options.name, status, &pages::Login { ticket, next, typed, error })
        })
    }

    /// A page with a form: its CSRF field, and the cookie when the browser has none yet.
    pub(super) fn with_ticket(&self, headers: &HeaderMap, page: impl FnOnce(&str) -> Response) -> Response {
        match self.csrf.ticket(headers) {
            Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
            Ok(ticket) => match ticket.set_cookie {
                Some(line) => with_cookie(page(&ticket.field), Ok(line)),
                None => page(&ticket.field),
            },
        }
    }

    /// The person of this request's own, finished sign-in.
    fn signed_in(&self, headers: &HeaderMap) -> Option<Person> {
        let session = self.sessions.of(headers).filter(|session| session.stage == Stage::Open)?;
        locked(&self.people).by_id(&session.person).filter(|person| !person.disabled).cloned()
    }

    /// What is told about the visitor: whoever Crossfade vouches for, before the application's own session.
    fn told(&self, handed: Option<&Handed>, own: Option<&Person>) -> Option<Value> {
        match handed {
            Some(handed) => Some(handed.to_json(locked(&self.people).by_any(&handed.user))),
            None => own.map(Person::to_json),
        }
    }
}

/// What follows the password and, where there is one, the second factor.
pub(super) fn after_factor(person: &Person, next: String) -> (Stage, String) {
    if person.must_change {
        (Stage::MustChange { next }, "/password/change".to_owned())
    } else {
        (Stage::Open, next)
    }
}

/// 302 to a place of this site or one the operator configured.
pub(super) fn redirect(to: &str) -> Response {
    match HeaderValue::try_from(to) {
        Ok(to) => (StatusCode::FOUND, [(header::LOCATION, to)]).into_response(),
        // A target that no header can carry, such as one with letters outside ASCII.
        Err(_) => (StatusCode::FOUND, [(header::LOCATION, "/")]).into_response(),
    }
}

/// The answer with one more cookie.
pub(super) fn with_cookie(mut response: Response, line: io::Result<String>) -> Response {
    match line.map(HeaderValue::try_from) {
        Ok(Ok(line)) => {
            response.headers_mut().append(header::SET_COOKIE, line);
            response
        }
        _ => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}
