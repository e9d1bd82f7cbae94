//! The pages people see: plain, accessible HTML without scripts.

use std::fmt::Write as _;

use axum::{http::StatusCode, response::Response};
use serde_json::Value;

use crate::simulate::backstage::html::{self, escape};

const STYLE: &str = "\
:root{color-scheme:light dark;--ink:#1d2733;--soft:#5b6876;--paper:#f4f1ea;--card:#fff;--line:#d8d2c4;--accent:#0b6e75;\
--on-accent:#fff;--alarm:#a3271c}\
@media(prefers-color-scheme:dark){:root{--ink:#e8e6e1;--soft:#a5adb6;--paper:#14191f;--card:#1d242c;--line:#36404b;\
--accent:#5cc4c9;--on-accent:#0c1a1c;--alarm:#ff9d8f}}\
*{box-sizing:border-box}body{margin:0;background:var(--paper);color:var(--ink);font:1rem/1.55 system-ui,sans-serif}\
header,main{max-width:34rem;margin:0 auto;padding:1.25rem}header{font-weight:650;letter-spacing:.01em}\
header a{color:inherit;text-decoration:none}main{background:var(--card);border:1px solid var(--line);border-radius:.75rem;\
padding:1.75rem}h1{font-size:1.5rem;line-height:1.25;margin:0 0 1rem}label{display:block;font-weight:600;margin-top:1rem}\
input{width:100%;font:inherit;color:inherit;background:var(--paper);border:1px solid var(--soft);border-radius:.4rem;\
padding:.55rem .7rem;margin-top:.25rem}button{font:inherit;font-weight:600;color:var(--on-accent);background:var(--accent);\
border:0;border-radius:.4rem;padding:.6rem 1.1rem;margin-top:1.25rem;cursor:pointer}a{color:var(--accent)}\
:focus-visible{outline:3px solid var(--accent);outline-offset:2px}.said{border-left:4px solid var(--alarm);color:var(--alarm);\
padding:.25rem .8rem;margin:0 0 1rem}.door{color:var(--soft)}dl{display:grid;grid-template-columns:max-content 1fr;gap:.3rem 1rem}\
dt{color:var(--soft)}dd{margin:0;overflow-wrap:anywhere}code{overflow-wrap:anywhere}\
@media(max-width:36rem){main{border-radius:0;border-width:1px 0}}";

/// What the sign-in form shows.
pub(super) struct Login<'a> {
    pub(super) ticket: &'a str,
    pub(super) next: &'a str,
    pub(super) typed: &'a str,
    pub(super) error: Option<&'a str>,
}

/// What the home page shows.
pub(super) struct Home<'a> {
    /// The visitor, when somebody is signed in.
    pub(super) who: Option<Value>,
    /// `session`, `assertion` or `header`.
    pub(super) door: &'static str,
    /// Both doors are open at once, which a proxy should have prevented.
    pub(super) both: bool,
    pub(super) trusts: bool,
    /// Why an assertion is not believed.
    pub(super) trouble: Option<String>,
    /// Received fields that speak about an identity.
    pub(super) telling: Vec<&'a str>,
    pub(super) received: Vec<&'a str>,
}

pub(super) fn login(site: &str, status: StatusCode, login: &Login<'_>) -> Response {
    let (typed, next) = (escape(login.typed), escape(login.next));
    let form = form(
        "/login",
        login.ticket,
        &format!(
            "<input type=\"hidden\" name=\"next\" value=\"{next}\">\
             <label for=\"email\">E-mail address</label>\
             <input id=\"email\" name=\"email\" type=\"text\" inputmode=\"email\" autocomplete=\"username\" \
             autocapitalize=\"none\" spellcheck=\"false\" required value=\"{typed}\">\
             <label for=\"password\">Password</label>\
             <input id=\"password\" name=\"password\" type=\"password\" autocomplete=\"current-password\" required>"
        ),
        "Sign in",
    );
    let more = "<p><a href=\"/account/password\">Forgot your password?</a></p>";
    page(site, status, "Sign in", &format!("{}{form}{more}", said(login.error)))
}

pub(super) fn mfa(site: &str, status: StatusCode, ticket: &str, error: Option<&str>) -> Response {
    let fields = "<label for=\"code\">Code from your authenticator</label>\
                  <input id=\"code\" name=\"code\" inputmode=\"numeric\" autocomplete=\"one-time-code\" required>";
    let form = form("/mfa", ticket, fields, "Continue");
    page(site, status, "One more step", &format!("{}{form}", said(error)))
}

pub(super) fn change(site: &str, status: StatusCode, ticket: &str, error: Option<&str>) -> Response {
    let field = |id: &str, label: &str| {
        format!(
            "<label for=\"{id}\">{label}</label>\
             <input id=\"{id}\" name=\"{id}\" type=\"password\" autocomplete=\"new-password\" required>"
        )
    };
    let fields = field("password", "New password") + &field("password_again", "The same once more");
    let form = form("/password/change", ticket, &fields, "Save");
    page(site, status, "Choose a new password", &format!("{}{form}", said(error)))
}

pub(super) fn reset(site: &str, status: StatusCode, ticket: &str, told: Option<&str>) -> Response {
    let fields = "<label for=\"email\">E-mail address</label>\
                  <input id=\"email\" name=\"email\" type=\"email\" autocomplete=\"username\" required>";
    let form = form("/account/password", ticket, fields, "Send a link");
    page(site, status, "Reset your password", &format!("{}{form}", said(told)))
}

pub(super) fn notice(site: &str, status: StatusCode, title: &str, text: &str) -> Response {
    page(site, status, title, &format!("<p>{}</p><p><a href=\"/\">Home</a></p>", escape(text)))
}

pub(super) fn home(site: &str, home: &Home<'_>) -> Response {
    let mut body = said(home.trouble.as_deref());
    if home.both {
        body += &said(Some("An old session of this application came along with the handed identity."));
    }
    match &home.who {
        Some(who) => body += &visitor(who, home.door),
        None => {
            body += "<p id=\"who\">Nobody is signed in.</p>\
                     <p><a href=\"/login\">Sign in</a> · <a href=\"/sso/start\">Sign in with Scalekit</a></p>";
        }
    }
    if !home.telling.is_empty() {
        let verdict = if home.trusts { "believed" } else { "not believed" };
        let _ = write!(
            body,
            "<p class=\"door\">Header fields that tell who you are, {verdict}: {}.</p>",
            names(&home.telling)
        );
    }
    let _ = write!(
        body,
        "<details><summary>Received header fields</summary><p id=\"received\">{}</p></details>",
        names(&home.received)
    );
    page(site, StatusCode::OK, "Welcome aboard", &body)
}

fn visitor(who: &Value, door: &str) -> String {
    let text = |name: &str| match who.get(name) {
        Some(Value::String(text)) => escape(text),
        Some(Value::Bool(bit)) => if *bit { "yes" } else { "no" }.to_owned(),
        _ => "unknown".to_owned(),
    };
    let door = match door {
        "session" => "the application's own session",
        "assertion" => "Crossfade, by a signed assertion",
        _ => "Crossfade, by a plain header",
    };
    let row = |label: &str, name: &str| format!("<dt>{label}</dt><dd>{}</dd>", text(name));
    let rows = [
        row("Name", "name"),
        row("E-mail", "email"),
        row("Verified", "email_verified"),
        row("Login", "login"),
        row("User id", "id"),
        row("Second factor", "mfa"),
        row("Status", "status"),
    ];
    format!(
        "<p id=\"who\">Signed in as <strong>{}</strong></p><p class=\"door\" id=\"door\">Door: {door}</p>\
         <dl>{}</dl><form method=\"post\" action=\"/logout\"><button>Sign out</button></form>",
        text("email"),
        rows.concat()
    )
}

fn names(names: &[&str]) -> String {
    names.iter().map(|name| format!("<code>{}</code>", escape(name))).collect::<Vec<_>>().join(", ")
}

fn said(text: Option<&str>) -> String {
    text.map_or(String::new(), |text| format!("<p class=\"said\" role=\"alert\">{}</p>", escape(text)))
}

fn form(action: &str, ticket: &str, fields: &str, button: &str) -> String {
    format!(
        "<form method=\"post\" action=\"{action}\">\
         <input type=\"hidden\" name=\"csrf\" value=\"{}\">{fields}<button>{button}</button></form>",
        escape(ticket)
    )
}

/// One page in the common frame.
fn page(site: &str, status: StatusCode, title: &str, body: &str) -> Response {
    let (site, title) = (escape(site), escape(title));
    let html = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\
         <title>{title} · {site}</title><style>{STYLE}</style></head>\
         <body><header><a href=\"/\">{site}</a></header><main><h1>{title}</h1>{body}</main></body></html>\n"
    );
    html::page(status, html)
}
