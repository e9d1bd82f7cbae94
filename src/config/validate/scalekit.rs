//! Section `scalekit`.

use std::{collections::BTreeMap, time::Duration};

use super::Check;
use crate::config::{HandOff, HandOffs, OnExisting, Organization, Scalekit, problem::At, raw};

/// What an `app` hand-off may fill in.
const PLACEHOLDERS: [&str; 2] = ["{login_hint}", "{return_to}"];

impl Check<'_> {
    pub(super) fn scalekit(&mut self, raw: Option<raw::Scalekit>) -> Option<Scalekit> {
        let at = At::section("scalekit");
        let raw = raw.unwrap_or_default();
        let environment_url = self.https_origin(&at.key("environment_url"), raw.environment_url);
        let client_id = self.text(&at.key("client_id"), raw.client_id);
        let client_secret = self.secret(&at.key("client_secret"), raw.client_secret);
        let organization_at = at.key("default_organization");
        let default_organization = self.required(&organization_at, raw.default_organization);
        let default_organization =
            default_organization.and_then(|raw| self.organization(&organization_at, raw));
        let default_roles = raw.default_roles.unwrap_or_default();
        self.no_blanks(&at.key("default_roles"), &default_roles);
        let scopes = raw.scopes.unwrap_or_else(|| {
            ["openid", "profile", "email", "offline_access"].into_iter().map(str::to_owned).collect()
        });
        self.scopes(&at.key("scopes"), &scopes);
        let timeout = self.span(&at.key("timeout"), raw.timeout, Duration::from_secs(3));
        let rate = self.call_rate(&at.key("rate"), raw.rate);
        let hand_offs = self.hand_offs(&at.key("hand_offs"), raw.hand_offs.unwrap_or_default());
        Some(Scalekit {
            environment_url: environment_url?,
            client_id: client_id?,
            client_secret: client_secret?,
            default_organization: default_organization?,
            create_organizations: raw.create_organizations.unwrap_or(false),
            default_roles,
            on_existing: match raw.on_existing {
                Some(raw::OnExisting::LinkVerified) | None => OnExisting::LinkVerified,
                Some(raw::OnExisting::Conflict) => OnExisting::Conflict,
            },
            timeout,
            rate,
            scopes,
            lookup_by_external_id: raw.lookup_by_external_id.unwrap_or(true),
            hand_offs: hand_offs?,
        })
    }

    fn organization(&mut self, at: &At, raw: raw::Organization) -> Option<Organization> {
        let external_id = self.text(&at.key("external_id"), raw.external_id);
        let display_name = self.text(&at.key("display_name"), raw.display_name);
        Some(Organization { external_id: external_id?, display_name: display_name? })
    }

    fn scopes(&mut self, at: &At, scopes: &[String]) {
        if !scopes.iter().any(|scope| scope == "openid") {
            self.problem(at, "lacks openid: without it there is no ID token, and nobody is signed in");
        }
        // RFC 6749 §3.3.
        let fits = |b: u8| b.is_ascii_graphic() && b != b'"' && b != b'\\';
        for (n, scope) in scopes.iter().enumerate() {
            if scope.is_empty() || !scope.bytes().all(fits) {
                self.problem(&at.index(n), "must be one scope, without blanks and quotes");
            }
        }
    }

    fn hand_offs(&mut self, at: &At, raw: raw::HandOffs) -> Option<HandOffs> {
        let default = raw.default.unwrap_or(raw::HandOff::Hosted);
        let default = self.hand_off(&at.key("default"), default);
        let organizations_at = at.key("organizations");
        let (mut organizations, mut whole) = (BTreeMap::new(), true);
        for (id, hand_off) in raw.organizations.unwrap_or_default() {
            match self.hand_off(&organizations_at.key(&id), hand_off) {
                Some(hand_off) => {
                    organizations.insert(id, hand_off);
                }
                None => whole = false,
            }
        }
        let default = default?;
        whole.then_some(HandOffs { default, organizations })
    }

    fn hand_off(&mut self, at: &At, raw: raw::HandOff) -> Option<HandOff> {
        let raw = match raw {
            raw::HandOff::Shadow => return Some(HandOff::Shadow),
            raw::HandOff::Hosted => return Some(HandOff::Hosted),
            raw::HandOff::App(raw) => raw,
        };
        let at = at.key("app").key("url");
        let url = self.text(&at, raw.url)?;
        let bare = PLACEHOLDERS.iter().fold(url.clone(), |text, name| text.replace(name, "x"));
        if bare.contains(['{', '}']) {
            self.problem(&at, "holds braces other than {login_hint} and {return_to}");
            return None;
        }
        let path = url.split('?').next().unwrap_or_default();
        if path.contains('{') {
            self.problem(&at, "has a placeholder before the ?: what a browser sent must not choose the path");
            return None;
        }
        self.local_path(&at, &bare).map(|_| HandOff::App { url })
    }

    pub(super) fn no_blanks(&mut self, at: &At, list: &[String]) {
        for (n, text) in list.iter().enumerate() {
            if text.trim().is_empty() {
                self.problem(&at.index(n), "is empty: give it a value or remove it");
            }
        }
    }
}
