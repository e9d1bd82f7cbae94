//! Section `sign_in`.

use std::time::Duration;

use regex::RegexBuilder;
use url::Url;

use super::{Check, is_loopback};
use crate::config::{
    Answer, ClientKind, FieldNames, Pointer, Public, RoutePath, SignIn, SignInRoute, Signal, WhoAmI,
    problem::At, raw,
};

/// A compiled expression may take this much; a larger one is a mistake.
const LARGEST_REGEX_BYTES: usize = 256 * 1024;

impl Check<'_> {
    pub(super) fn sign_in(&mut self, raw: raw::SignIn, public: Option<&Public>) -> SignIn {
        let at = At::section("sign_in");
        let raw_routes = raw.routes.unwrap_or_default();
        let mut routes: Vec<SignInRoute> = Vec::new();
        for (n, route) in raw_routes.into_iter().enumerate() {
            let at = at.key("routes").index(n);
            if let Some(route) = self.route(&at, route) {
                self.distinct(&at, &route, &routes, public);
                routes.push(route);
            }
        }
        let who_am_i = raw.who_am_i.and_then(|raw| self.who_am_i(&at.key("who_am_i"), raw));
        let account_routes = self.paths(&at.key("account_routes"), raw.account_routes);
        let account_page =
            raw.account_page.and_then(|text| self.account_page(&at.key("account_page"), &text));
        if !account_routes.is_empty() && account_page.is_none() {
            self.problem(
                &at.key("account_page"),
                "is needed with account_routes: name the page where people look after their account",
            );
        }
        let logout_routes = self.paths(&at.key("logout_routes"), raw.logout_routes);
        let passthrough = raw.passthrough.unwrap_or(true);
        SignIn { routes, who_am_i, account_routes, account_page, logout_routes, passthrough }
    }

    fn route(&mut self, at: &At, raw: raw::SignInRoute) -> Option<SignInRoute> {
        let name = self.text(&at.key("name"), raw.name);
        let name = name.and_then(|name| self.word(&at.key("name"), &name));
        let path = self.text(&at.key("path"), raw.path);
        let path = path.and_then(|path| self.route_path(&at.key("path"), &path));
        let page = raw.page.map(|page| self.route_path(&at.key("page"), &page));
        let default = if raw.json.is_some() { ClientKind::Api } else { ClientKind::Browser };
        let fields = match (raw.form, raw.json) {
            (Some(form), None) => self.form(&at.key("form"), form),
            (None, Some(json)) => self.json(&at.key("json"), json),
            (Some(_), Some(_)) => {
                self.problem(at, "has both form and json: make it two routes");
                None
            }
            (None, None) => {
                self.problem(at, "has neither form nor json: say where login and password stand");
                None
            }
        };
        let rejected = self.required(&at.key("rejected"), raw.rejected);
        let rejected = rejected.and_then(|answer| self.answer(&at.key("rejected"), answer));
        let success_at = at.key("success");
        let success = self.required(&success_at, raw.success);
        if success.as_ref().is_some_and(Vec::is_empty) {
            self.problem(&success_at, "is empty: without a sign every answer would count as a success");
        }
        let success = success.map(|signals| self.signals(&success_at, signals));
        let failure = self.signals(&at.key("failure"), raw.failure.unwrap_or_default());
        Some(SignInRoute {
            name: name?,
            path: path?,
            page: page.flatten(),
            fields: fields?,
            client: raw.client.map_or(default, |client| match client {
                raw::Client::Browser => ClientKind::Browser,
                raw::Client::Api => ClientKind::Api,
            }),
            rejected: rejected?,
            success: success?,
            failure,
        })
    }

    fn distinct(&mut self, at: &At, route: &SignInRoute, before: &[SignInRoute], public: Option<&Public>) {
        let is_form = |route: &SignInRoute| matches!(route.fields, FieldNames::Form { .. });
        if before.iter().any(|other| other.name == route.name) {
            self.problem(&at.key("name"), "names another route already: choose another name");
        }
        if before.iter().any(|other| other.path == route.path && is_form(other) == is_form(route)) {
            self.problem(&at.key("path"), "is the path of another route already: only the first would count");
        }
        if public.is_some_and(|public| route.path.0.starts_with(&public.prefix)) {
            self.problem(&at.key("path"), "lies under public.prefix, where Crossfade's own routes are");
        }
    }

    fn form(&mut self, at: &At, raw: raw::FormFields) -> Option<FieldNames> {
        let login = self.text(&at.key("login"), raw.login);
        let password = self.text(&at.key("password"), raw.password);
        let return_to = self.optional_text(&at.key("return_to"), raw.return_to);
        if login.is_some() && login == password {
            self.problem(&at.key("password"), "is the same field as login");
        }
        Some(FieldNames::Form { login: login?, password: password?, return_to })
    }

    fn json(&mut self, at: &At, raw: raw::JsonFields) -> Option<FieldNames> {
        let login = self.needed_pointer(&at.key("login"), raw.login);
        let password = self.needed_pointer(&at.key("password"), raw.password);
        let return_to = self.optional_pointer(&at.key("return_to"), raw.return_to);
        if login.is_some() && login == password {
            self.problem(&at.key("password"), "is the same value as login");
        }
        Some(FieldNames::Json { login: login?, password: password?, return_to })
    }

    fn needed_pointer(&mut self, at: &At, raw: Option<String>) -> Option<Pointer> {
        let text = self.required(at, raw)?;
        self.pointer(at, &text)
    }

    fn optional_pointer(&mut self, at: &At, raw: Option<String>) -> Option<Pointer> {
        raw.and_then(|text| self.pointer(at, &text))
    }

    fn answer(&mut self, at: &At, raw: raw::Answer) -> Option<Answer> {
        match raw {
            raw::Answer::Redirect(location) => {
                let location = self.local_path(&at.key("redirect"), &location)?;
                Some(Answer::Redirect { location })
            }
            raw::Answer::Body(raw) => {
                let at = at.key("body");
                let status = raw.status.unwrap_or(401);
                if !(200..=599).contains(&status) || matches!(status, 204 | 205 | 300..=399) {
                    self.problem(
                        &at.key("status"),
                        "must be a status that may have a body, such as 401 or 200",
                    );
                }
                let content_type = raw.content_type.unwrap_or_else(|| "text/plain; charset=utf-8".into());
                if http::HeaderValue::from_str(&content_type).is_err() || !content_type.contains('/') {
                    self.problem(&at.key("content_type"), "must be a media type such as application/json");
                }
                let body = self.required(&at.key("body"), raw.body);
                Some(Answer::Body { status, content_type, body: body? })
            }
        }
    }

    fn signals(&mut self, at: &At, raw: Vec<raw::Signal>) -> Vec<Signal> {
        let signals = raw.into_iter().enumerate();
        signals.filter_map(|(n, signal)| self.signal(&at.index(n), signal)).collect()
    }

    fn signal(&mut self, at: &At, raw: raw::Signal) -> Option<Signal> {
        match raw {
            raw::Signal::Status(list) => {
                if list.is_empty() || list.iter().any(|status| !(100..=599).contains(status)) {
                    self.problem(&at.key("status"), "must be a list of status codes, such as [302, 303]");
                }
                Some(Signal::Status(list))
            }
            raw::Signal::SetsCookie(name) => {
                self.cookie_name(&at.key("sets_cookie"), &name).map(Signal::SetsCookie)
            }
            raw::Signal::Location(pattern) => {
                let built = RegexBuilder::new(&pattern).size_limit(LARGEST_REGEX_BYTES).build();
                if built.is_err() || pattern.is_empty() {
                    self.problem(&at.key("location"), "must be a regular expression that can be compiled");
                }
                built.ok().map(Signal::Location)
            }
            raw::Signal::Json(raw) => {
                let at = at.key("json");
                let pointer = self.needed_pointer(&at.key("pointer"), raw.pointer);
                let equals = self.required(&at.key("equals"), raw.equals);
                Some(Signal::Json { pointer: pointer?, equals: equals? })
            }
        }
    }

    fn who_am_i(&mut self, at: &At, raw: raw::WhoAmI) -> Option<WhoAmI> {
        let path = self.text(&at.key("path"), raw.path);
        let path = path.and_then(|path| self.local_path(&at.key("path"), &path));
        let source = self.text(&at.key("source"), raw.source);
        let source = source.and_then(|name| self.source_name(&at.key("source"), &name));
        if source.as_ref().is_some_and(|source| !self.source_names.iter().any(|name| name == source.as_str()))
        {
            self.problem(&at.key("source"), "is no source of legacy.sources: use one of their names");
        }
        let id = self.needed_pointer(&at.key("id"), raw.id);
        let email = self.needed_pointer(&at.key("email"), raw.email);
        if id.is_some() && id == email {
            self.problem(&at.key("id"), "is the e-mail: it must be an id that never changes");
        }
        let mut optional = |key: &str, raw| self.optional_pointer(&at.key(key), raw);
        let (login, email_verified) =
            (optional("login", raw.login), optional("email_verified", raw.email_verified));
        let (given_name, family_name) =
            (optional("given_name", raw.given_name), optional("family_name", raw.family_name));
        let (mfa, active) = (optional("mfa", raw.mfa), optional("active", raw.active));
        let organization = optional("organization", raw.organization);
        let timeout = self.span(&at.key("timeout"), raw.timeout, Duration::from_secs(2));
        Some(WhoAmI {
            path: path?,
            source: source?,
            id: id?,
            login,
            email: email?,
            email_verified,
            given_name,
            family_name,
            mfa,
            active,
            organization,
            timeout,
        })
    }

    fn paths(&mut self, at: &At, raw: Option<Vec<String>>) -> Vec<RoutePath> {
        let paths = raw.unwrap_or_default().into_iter().enumerate();
        paths.filter_map(|(n, text)| self.route_path(&at.index(n), &text)).collect()
    }

    fn account_page(&mut self, at: &At, text: &str) -> Option<Url> {
        let url = Url::parse(text).ok().filter(|url| url.host().is_some());
        let Some(url) = url.filter(|url| url.username().is_empty() && url.password().is_none()) else {
            self.problem(at, "must be a whole address such as https://account.example.com/");
            return None;
        };
        if url.scheme() != "https" && !(self.development && url.scheme() == "http" && is_loopback(&url)) {
            self.problem(at, "must be https");
            return None;
        }
        Some(url)
    }
}
