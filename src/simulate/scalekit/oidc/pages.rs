//! The pages of the hosted login: plain, accessible HTML without scripts or outside assets.

use axum::{http::StatusCode, response::Response};

use crate::simulate::backstage::html::{self, escape};

const STYLE: &str = "\
:root{color-scheme:light dark;--ink:#191c2b;--soft:#5d6274;--paper:#f3f3f8;--card:#fff;--line:#cfd1de;--accent:#4338a8;\
--on-accent:#fff;--alarm:#a3271c}\
@media(prefers-color-scheme:dark){:root{--ink:#e7e7ef;--soft:#a6a9bb;--paper:#12131c;--card:#1b1d2a;--line:#383b50;\
--accent:#a9a2ff;--on-accent:#141433;--alarm:#ff9d8f}}\
*{box-sizing:border-box}body{margin:0;background:var(--paper);color:var(--ink);font:1rem/1.55 system-ui,sans-serif}\
main{max-width:26rem;margin:12vh auto 0;background:var(--card);border:1px solid var(--line);border-radius:.75rem;\
padding:1.75rem}h1{font-size:1.4rem;line-height:1.25;margin:0 0 1rem}label{display:block;font-weight:600;margin-top:1rem}\
input{width:100%;font:inherit;color:inherit;background:var(--paper);border:1px solid var(--soft);border-radius:.4rem;\
padding:.55rem .7rem;margin-top:.25rem}button{display:block;width:100%;font:inherit;font-weight:600;\
color:var(--on-accent);background:var(--accent);border:0;border-radius:.4rem;padding:.6rem 1.1rem;margin-top:1.25rem;\
cursor:pointer}.said{border-left:4px solid var(--alarm);color:var(--alarm);padding:.25rem .8rem;margin:0 0 1rem}\
.soft{color:var(--soft)}:focus-visible{outline:3px solid var(--accent);outline-offset:2px}\
@media(max-width:28rem){main{margin-top:0;border-radius:0;border-width:0 0 1px}}";

/// Asks for the address.
pub(super) fn email(status: StatusCode, request: &str, typed: &str, error: Option<&str>) -> Response {
    let body = format!(
        "{}<form method=\"post\" action=\"/hosted/login\">{}<label for=\"email\">E-mail address</label>\
         <input id=\"email\" name=\"email\" type=\"email\" autocomplete=\"username\" required value=\"{}\">\
         <button>Continue</button></form>",
        said(error),
        hidden(request),
        escape(typed)
    );
    page(status, "Sign in", &body)
}

/// Asks for the code that was mailed.
pub(super) fn code(status: StatusCode, request: &str, email: &str, error: Option<&str>) -> Response {
    let body = format!(
        "{}<p>A mail with a code is on its way to <strong>{}</strong>.</p>\
         <form method=\"post\" action=\"/hosted/code\">{}<label for=\"code\">Code</label>\
         <input id=\"code\" name=\"code\" inputmode=\"numeric\" autocomplete=\"one-time-code\" required>\
         <button>Sign in</button></form><p><a href=\"/hosted/login?request={}\">Another address</a></p>",
        said(error),
        escape(email),
        hidden(request),
        escape(request)
    );
    page(status, "Check your mail", &body)
}

/// Asks for one of several organizations: ids and names.
pub(super) fn organization(request: &str, choices: &[(String, String)]) -> Response {
    let button = |(id, name): &(String, String)| {
        format!("<button name=\"organization_id\" value=\"{}\">{}</button>", escape(id), escape(name))
    };
    let buttons: String = choices.iter().map(button).collect();
    let body =
        format!("<form method=\"post\" action=\"/hosted/organization\">{}{buttons}</form>", hidden(request));
    page(StatusCode::OK, "Choose an organization", &body)
}

/// Says something that ends here.
pub(super) fn notice(title: &str, text: &str) -> Response {
    page(StatusCode::OK, title, &format!("<p>{}</p>", escape(text)))
}

/// Says why it does not go on, with a code for whoever looks after the application.
pub(super) fn refused(status: StatusCode, code: &str, text: &str) -> Response {
    let body = format!(
        "<p class=\"said\" role=\"alert\">{}</p><p class=\"soft\">Error: <code>{}</code></p>",
        escape(text),
        escape(code)
    );
    page(status, "Sign-in is not possible", &body)
}

/// Something of this server's own failed.
pub(super) fn broken() -> Response {
    refused(StatusCode::INTERNAL_SERVER_ERROR, "server_error", "Something went wrong.")
}

fn said(text: Option<&str>) -> String {
    text.map_or(String::new(), |text| format!("<p class=\"said\" role=\"alert\">{}</p>", escape(text)))
}

fn hidden(request: &str) -> String {
    format!("<input type=\"hidden\" name=\"request\" value=\"{}\">", escape(request))
}

/// One page in the common frame.
fn page(status: StatusCode, title: &str, body: &str) -> Response {
    let html = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\
         <title>{title} · Simulated Scalekit</title><style>{STYLE}</style></head>\
         <body><main><h1>{title}</h1>{body}</main></body></html>\n",
        title = escape(title),
    );
    html::page(status, html)
}
