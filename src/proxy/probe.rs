//! A look at the application and at our own public address for `crossfade doctor`: requests as a stranger without
//! cookies would send them, so nobody is signed in or out.

use std::time::Duration;

use http::{HeaderName, HeaderValue, StatusCode, header};
use regex::Regex;
use serde_json::Value;

use super::who_am_i;
use crate::{
    clock::{Clock, Deadline},
    config::{Config, FieldNames, MfaDeclaration, SignInRoute, WhoAmI},
    findings::Notes,
    net::{Look, Sight, Unseen, look},
};

/// One page may take this long, whatever the application is allowed at other times.
const PAGE_MAX: Duration = Duration::from_secs(8);

/// The application behind us, as this configuration reaches it.
struct Application<'a> {
    config: &'a Config,
    clock: &'a dyn Clock,
    deadline: Deadline,
    headers: Vec<(HeaderName, HeaderValue)>,
}

/// Looks at the application: its sign-in pages, its who-am-I route, its ways out.
pub(crate) async fn probe_upstream(config: &Config, notes: &Notes, clock: &dyn Clock, deadline: Deadline) {
    let application = Application { config, clock, deadline, headers: headers(config) };
    let notes = notes.at("");
    match application.get("/").await {
        Ok(sight) => sight.tell(&notes, "upstream.url"),
        Err(unseen) => {
            unseen.tell(&notes, "upstream.url");
            return notes.skipped("pages", "sign_in", "not asked: the application cannot be reached");
        }
    }
    for (n, route) in config.sign_in.routes.iter().enumerate() {
        application.page(&notes.at(format!("sign_in.routes[{n}]")), route).await;
    }
    match &config.sign_in.who_am_i {
        Some(rules) => application.who_am_i(&notes.at("sign_in.who_am_i"), rules).await,
        None => notes.skipped("who_am_i", "sign_in.who_am_i", "there is none: the application names nobody"),
    }
    for (n, route) in config.sign_in.logout_routes.iter().enumerate() {
        application.logout(&notes, &format!("sign_in.logout_routes[{n}]"), &route.0).await;
    }
}

/// What the application is told of the request, as behind a running proxy.
fn headers(config: &Config) -> Vec<(HeaderName, HeaderValue)> {
    let public = &config.public.url;
    let host = public.host_str().unwrap_or_default();
    let authority = public.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
    let mut headers =
        vec![(header::ACCEPT, HeaderValue::from_static("text/html,application/json;q=0.9,*/*;q=0.1"))];
    let value = |text: &str| HeaderValue::from_str(text).ok();
    headers
        .extend(value(public.scheme()).map(|scheme| (HeaderName::from_static("x-forwarded-proto"), scheme)));
    if let Some(authority) = value(&authority) {
        headers.push((HeaderName::from_static("x-forwarded-host"), authority.clone()));
        if config.upstream.preserve_host {
            headers.push((header::HOST, authority));
        }
    }
    headers
}

impl Application<'_> {
    async fn get(&self, path: &str) -> Result<Sight, Unseen> {
        let upstream = &self.config.upstream;
        let mut url = upstream.url.clone();
        url.set_path(path);
        let what = Look {
            url: &url,
            headers: self.headers.clone(),
            ca_file: upstream.ca_file.as_deref(),
            connect_timeout: upstream.connect_timeout,
        };
        look(&what, self.clock, self.deadline.at_most(PAGE_MAX.min(upstream.first_byte_timeout))).await
    }

    async fn page(&self, notes: &Notes, route: &SignInRoute) {
        const CHECK: &str = "sign_in_page";
        let Some(page) = &route.page else {
            return notes.skipped(CHECK, "path", format!("{}: no page is shown there", route.name));
        };
        let sight = match self.get(&page.0).await {
            Ok(sight) => sight,
            Err(unseen) => return unseen.tell(notes, "page"),
        };
        if sight.status != StatusCode::OK {
            let fix =
                "name the path at which the application shows its form to somebody who is not signed in";
            return notes.fail(CHECK, "page", format!("{} answers {}", page.0, answered(&sight)), fix);
        }
        let FieldNames::Form { login, password, .. } = &route.fields else {
            return notes.ok(CHECK, "page", format!("{} answers 200", page.0));
        };
        let html = String::from_utf8_lossy(&sight.body);
        let missing: Vec<_> = [("form.login", login), ("form.password", password)]
            .into_iter()
            .filter(|(_, name)| !has_field(&html, name))
            .collect();
        for (key, name) in &missing {
            notes.warn(
                "sign_in_fields",
                key,
                format!("the page {} has no field named {name:?}", page.0),
                "name the field as the form's HTML does; right all the same where a script makes the form",
            );
        }
        if missing.is_empty() {
            notes.ok(CHECK, "page", format!("{} answers 200 and has both fields", page.0));
        }
    }

    /// The route that proves who somebody is must say nothing to a stranger.
    async fn who_am_i(&self, notes: &Notes, rules: &WhoAmI) {
        const CHECK: &str = "who_am_i";
        let sight = match self.get(&rules.path).await {
            Ok(sight) => sight,
            Err(unseen) => return unseen.tell(notes, "path"),
        };
        let status = sight.status;
        let named = who_am_i::record(rules, &MfaDeclaration::None, &sight.body).is_some();
        if status.is_success() && named {
            notes.fail(
                CHECK,
                "path",
                format!("{} names somebody although nobody is signed in", rules.path),
                "it must name the person of the request's own session and nobody else: as it stands every sign-in \
                 would be taken for that person's. Correct the route, or name another",
            );
        } else if status == StatusCode::NOT_FOUND || status.is_server_error() {
            notes.fail(
                CHECK,
                "path",
                format!("{} answers {}", rules.path, answered(&sight)),
                "name the route that tells a signed-in person's own id and address as JSON",
            );
        } else {
            notes.ok(
                CHECK,
                "path",
                format!("{} names nobody to a stranger ({})", rules.path, answered(&sight)),
            );
        }
    }

    async fn logout(&self, notes: &Notes, place: &str, path: &str) {
        const CHECK: &str = "logout_route";
        match self.get(path).await {
            Ok(sight) if sight.status == StatusCode::NOT_FOUND => notes.fail(
                CHECK,
                place,
                format!("{path} answers 404"),
                "name the path at which the application signs people out; requests there end our session, too",
            ),
            Ok(sight) if sight.status.is_server_error() => notes.warn(
                CHECK,
                place,
                format!("{path} answers {}", answered(&sight)),
                "look at the application's log: a stranger's sign-out should not break it",
            ),
            Ok(sight) => notes.ok(CHECK, place, format!("{path} is there ({})", answered(&sight))),
            Err(unseen) => unseen.tell(notes, place),
        }
    }
}

/// Looks at our own public address from here: whether people who go there meet Crossfade.
pub(crate) async fn probe_public(config: &Config, notes: &Notes, clock: &dyn Clock, deadline: Deadline) {
    const CHECK: &str = "points_here";
    let path = format!("{}jwks.json", config.public.prefix);
    let Ok(url) = config.public.url.join(&path) else { return };
    let what =
        Look { url: &url, headers: Vec::new(), ca_file: None, connect_timeout: Duration::from_secs(2) };
    let sight = match look(&what, clock, deadline.at_most(PAGE_MAX)).await {
        Ok(sight) => sight,
        Err(unseen) => {
            return notes.skipped(CHECK, "url", format!("could not be seen from here: {unseen}"));
        }
    };
    sight.tell(notes, "url");
    if is_ours(&sight) {
        notes.ok(CHECK, "url", "people who go there meet a running Crossfade");
    } else {
        notes.warn(
            CHECK,
            "url",
            format!("what answers there is no Crossfade ({path} answers {})", answered(&sight)),
            "once Crossfade is to take over, point the name or the load balancer at public.listen and keep the Host",
        );
    }
}

fn is_ours(sight: &Sight) -> bool {
    let document: Option<Value> = serde_json::from_slice(&sight.body).ok();
    sight.status == StatusCode::OK
        && document.is_some_and(|document| document.get("keys").is_some_and(Value::is_array))
}

/// The status, and for a redirect the path it leads to.
fn answered(sight: &Sight) -> String {
    let location = sight.headers.get(header::LOCATION).and_then(|location| location.to_str().ok());
    // A query may hold anything.
    match location.and_then(|location| location.split(['?', '#']).next()) {
        Some(location) if sight.status.is_redirection() => {
            format!("{} to {location}", sight.status.as_u16())
        }
        _ => sight.status.as_u16().to_string(),
    }
}

/// Whether some element of the page has this name, in any of the ways HTML writes attributes.
fn has_field(html: &str, name: &str) -> bool {
    let name = regex::escape(name);
    let pattern = format!(r#"(?i:\bname\s*=\s*)("{name}"|'{name}'|{name}[\s/>])"#);
    Regex::new(&pattern).is_ok_and(|field| field.is_match(html))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_found_however_it_is_written() {
        for html in [
            r#"<input type="text" name="user[email]">"#,
            "<INPUT NAME='user[email]'/>",
            "<input name=user[email] autofocus>",
            "<input name = \"user[email]\">",
        ] {
            assert!(has_field(html, "user[email]"), "{html}");
        }
        for html in [
            r#"<input name="user[email]2">"#,
            r#"<input id="user[email]">"#,
            "<input name=user[email]x>",
            r#"<input name="User[email]">"#,
            "",
        ] {
            assert!(!has_field(html, "user[email]"), "{html}");
        }
    }
}
