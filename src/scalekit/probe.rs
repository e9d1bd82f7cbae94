//! A look at a Scalekit environment for `crossfade doctor`: everything a sign-in and a migration will need there, and
//! nothing that changes anything or names a person.

use std::collections::BTreeSet;

use http::{StatusCode, header};
use reqwest::Method;
use serde::Deserialize;
use url::Url;

use super::{
    Scalekit,
    channel::read,
    error::{Carried, Trouble},
};
use crate::{
    clock::{Clock, Deadline},
    findings::Notes,
    login::{ErrorClass, OrganizationId},
    net::{Look, Sight, Unseen, look},
    session::{Authorize, FlowSecrets},
    telemetry::with_causes,
};

/// Lists are asked for in the smallest pages the API takes.
const PAGE_SIZE: (&str, &str) = ("page_size", "10");

const CONNECT_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(3);

/// What the configuration counts on, beside what [`Scalekit`] itself knows.
pub(crate) struct Expected<'a> {
    /// Role names, each with the setting that names it.
    pub(crate) roles: &'a [(String, String)],
    pub(crate) after_sign_out: &'a Url,
    /// E-mail domains of people, each with the setting that names it.
    pub(crate) domains: &'a [(String, String)],
}

#[derive(Deserialize)]
struct Connections {
    #[serde(default)]
    connections: Vec<Connection>,
}

#[derive(Deserialize)]
struct Connection {
    id: String,
}

#[derive(Deserialize)]
struct Roles {
    #[serde(default)]
    roles: Vec<Role>,
}

#[derive(Deserialize)]
struct Role {
    name: String,
}

impl Scalekit {
    /// Looks at everything, sign-in and management side by side.
    pub(crate) async fn probe(&self, expected: &Expected<'_>, notes: &Notes, deadline: Deadline) {
        let clock = self.provider.clock.as_ref();
        if !self.reach(clock, notes, deadline).await {
            return;
        }
        tokio::join!(
            Box::pin(self.probe_sign_in(expected, clock, notes, deadline)),
            Box::pin(self.probe_management(expected, notes, deadline)),
        );
    }

    async fn reach(&self, clock: &dyn Clock, notes: &Notes, deadline: Deadline) -> bool {
        let address = format!("{}/.well-known/openid-configuration", self.provider.discovery.issuer);
        let Ok(url) = Url::parse(&address) else {
            notes.fail(
                "reachable",
                "environment_url",
                "cannot be extended by a path",
                "give the plain address",
            );
            return false;
        };
        match see(&url, clock, deadline).await {
            Ok(sight) => {
                sight.tell(notes, "environment_url");
                true
            }
            Err(unseen) => {
                unseen.tell(notes, "environment_url");
                false
            }
        }
    }

    async fn probe_sign_in(
        &self,
        expected: &Expected<'_>,
        clock: &dyn Clock,
        notes: &Notes,
        deadline: Deadline,
    ) {
        let provider = &self.provider;
        let metadata = match provider.discovery.metadata(&provider.channel, deadline).await {
            Ok(metadata) => metadata,
            Err(trouble) => {
                let fix = "environment_url must be exactly the environment's address in the Scalekit dashboard, \
                           or its custom domain once that is set up: the issuer of its tokens";
                return tell(&trouble, "discovery", "environment_url", fix, notes);
            }
        };
        notes.ok("discovery", "environment_url", "the metadata is there, and its issuer is this address");
        match provider.jwks.usable((&provider.channel, &metadata.jwks_uri), deadline).await {
            Ok(0) => notes.fail(
                "keys",
                "environment_url",
                "no key of the set can check a token (RS256 or ES256 with an id)",
                "without one nobody can sign in: ask Scalekit's support",
            ),
            Ok(1) => notes.ok("keys", "environment_url", "1 key can check tokens"),
            Ok(count) => notes.ok("keys", "environment_url", format!("{count} keys can check tokens")),
            Err(trouble) => {
                tell(&trouble, "keys", "environment_url", "without keys nobody can sign in", notes);
            }
        }
        tokio::join!(
            self.probe_redirect(clock, notes, deadline),
            self.probe_sign_out(expected.after_sign_out, clock, notes, deadline),
        );
    }

    /// Asks for a sign-in that must not ask anybody anything (`prompt=none`): a registered address is then sent an
    /// error at once, an unregistered one is sent nothing.
    async fn probe_redirect(&self, clock: &dyn Clock, notes: &Notes, deadline: Deadline) {
        const CHECK: &str = "redirect_uri";
        let redirect = self.provider.redirect_uri.as_str();
        let secrets = FlowSecrets { nonce: "crossfade-doctor".into(), verifier: "x".repeat(43) };
        let begin = Authorize { state: "crossfade-doctor", secrets: &secrets, login_hint: None };
        let url = match self.provider.authorize_url(begin, deadline).await {
            Ok(mut url) => {
                url.query_pairs_mut().append_pair("prompt", "none");
                url
            }
            Err(error) => {
                return notes.skipped(CHECK, "client_id", format!("not asked: {error}"));
            }
        };
        let sight = match see(&url, clock, deadline).await {
            Ok(sight) => sight,
            Err(unseen) => return unseen.tell(notes, "client_id"),
        };
        match judge(&sight, redirect) {
            Returned::Here(Some(error)) if is_about_client(&error) => notes.fail(
                "client",
                "client_id",
                format!("the application is refused: {error}"),
                "take client_id from the Scalekit dashboard (API credentials) of this environment",
            ),
            Returned::Here(_) => notes.ok(CHECK, "client_id", format!("{redirect} is registered")),
            Returned::Refused(Some(error)) if is_about_client(&error) => notes.fail(
                "client",
                "client_id",
                format!("the application is not known there: {error}"),
                "take client_id from the Scalekit dashboard (API credentials) of this environment",
            ),
            Returned::Refused(_) => notes.fail(
                CHECK,
                "client_id",
                format!("{redirect} is not registered (answered {})", sight.status.as_u16()),
                format!("Scalekit dashboard, Redirects, allowed callback URLs: add exactly {redirect}"),
            ),
            Returned::Unclear => notes.skipped(
                CHECK,
                "client_id",
                format!(
                    "could not be seen (answered {}); it has to be among the allowed callback URLs: {redirect}",
                    sight.status.as_u16()
                ),
            ),
        }
    }

    /// A sign-out without cookies and without a token ends nobody's session.
    async fn probe_sign_out(&self, after: &Url, clock: &dyn Clock, notes: &Notes, deadline: Deadline) {
        const CHECK: &str = "post_logout_redirect_uri";
        let url = match self.provider.end_session_url(None, after, deadline).await {
            Ok(url) => url,
            Err(error) => return notes.skipped(CHECK, "client_id", format!("not asked: {error}")),
        };
        let sight = match see(&url, clock, deadline).await {
            Ok(sight) => sight,
            Err(unseen) => return unseen.tell(notes, "client_id"),
        };
        match judge(&sight, after.as_str()) {
            Returned::Here(_) => notes.ok(CHECK, "client_id", format!("{after} is registered")),
            Returned::Refused(_) => notes.fail(
                CHECK,
                "client_id",
                format!("{after} is not registered (answered {})", sight.status.as_u16()),
                format!("Scalekit dashboard, Redirects, post logout URLs: add exactly {after}"),
            ),
            Returned::Unclear => notes.skipped(
                CHECK,
                "client_id",
                format!(
                    "could not be seen (answered {}); it has to be among the post logout URLs: {after}",
                    sight.status.as_u16()
                ),
            ),
        }
    }

    async fn probe_management(&self, expected: &Expected<'_>, notes: &Notes, deadline: Deadline) {
        let api = &self.api;
        if let Err(trouble) = api.tokens.current(&api.token_channel, deadline).await {
            let fix = "take client_id and the secret from the Scalekit dashboard (API credentials) of this very \
                       environment; a secret is shown once, so make a new one if it is lost";
            tell(&trouble, "token", "client_secret", fix, notes);
            for check in ["users", "organizations", "default_organization", "roles"] {
                notes.skipped(check, "client_secret", "not asked: there is no token");
            }
            return;
        }
        notes.ok("token", "client_secret", "the client's credentials are taken");
        let (users, organizations, organization) = tokio::join!(
            self.list("/users", deadline),
            self.list("/organizations", deadline),
            self.organizations.default_there(api, deadline),
        );
        for (check, listed) in [("users", users), ("organizations", organizations)] {
            match listed {
                Ok(()) => notes.ok(check, "client_id", "can be read"),
                Err(trouble) => tell(&trouble, check, "client_id", MANAGEMENT_FIX, notes),
            }
        }
        let organization = self.tell_default(organization, notes);
        tokio::join!(
            self.probe_roles(organization.as_deref(), expected, notes, deadline),
            self.probe_connections(expected, notes, deadline),
        );
    }

    /// Where the hosted sign-in sends the people of a domain: to their organisation's own sign-in, or to their mailbox.
    /// Both are right; which of them is meant only the operator knows.
    async fn probe_connections(&self, expected: &Expected<'_>, notes: &Notes, deadline: Deadline) {
        const CHECK: &str = "connection";
        let notes = notes.at("");
        for (place, domain) in expected.domains.iter().take(DOMAINS_MAX) {
            if domain.len() > DOMAIN_MAX_BYTES {
                notes.skipped(CHECK, place, format!("{domain} is too long to be asked for"));
                continue;
            }
            match self.connections(domain, deadline).await {
                Ok(connections) => match connections.first().filter(|connection| is_id(&connection.id)) {
                    Some(connection) => {
                        let seen =
                            format!("people of {domain} are sent to their own sign-in ({})", connection.id);
                        notes.ok(CHECK, place, seen);
                    }
                    None => notes.ok(
                        CHECK,
                        place,
                        format!("no organisation signs in people of {domain}: they confirm their mailbox"),
                    ),
                },
                Err(trouble) => {
                    let seen = format!("could not be seen for {domain}: {}", trouble.problem);
                    notes.skipped(CHECK, place, seen);
                }
            }
        }
        if expected.domains.len() > DOMAINS_MAX {
            notes.skipped(CHECK, "legacy", format!("only the first {DOMAINS_MAX} domains were asked for"));
        }
    }

    async fn connections(&self, domain: &str, deadline: Deadline) -> Result<Vec<Connection>, Trouble> {
        let call = self.api.call(Method::GET, "/connections", &[], &[("domain", domain)])?;
        Ok(read::<Connections>(&self.api.send(&call, deadline).await?)?.connections)
    }

    async fn list(&self, path: &str, deadline: Deadline) -> Result<(), Trouble> {
        let call = self.api.call(Method::GET, path, &[], &[PAGE_SIZE])?;
        let answer = self.api.send(&call, deadline).await?;
        read::<serde_json::Map<String, serde_json::Value>>(&answer).map(drop)
    }

    /// The default organisation's id.
    fn tell_default(&self, found: Result<Option<OrganizationId>, Trouble>, notes: &Notes) -> Option<String> {
        const CHECK: &str = "default_organization";
        const KEY: &str = "default_organization.external_id";
        let external_id = self.organizations.default_external_id();
        match found {
            Ok(Some(found)) => {
                notes.ok(CHECK, KEY, format!("{external_id:?} is there"));
                return Some(found.0);
            }
            Ok(None) if self.organizations.may_create() => {
                notes.ok(CHECK, KEY, format!("{external_id:?} is not there yet; the first sign-in makes it"));
            }
            Ok(None) => notes.fail(
                CHECK,
                KEY,
                format!("there is no organisation with the external id {external_id:?}"),
                "set that external id on the organisation that people without one of their own are to join, or \
                 set scalekit.create_organizations: true",
            ),
            Err(trouble) => tell(&trouble, CHECK, KEY, MANAGEMENT_FIX, notes),
        }
        None
    }

    /// Roles of the environment, and where there is one those of the default organisation.
    async fn probe_roles(
        &self,
        organization: Option<&str>,
        expected: &Expected<'_>,
        notes: &Notes,
        deadline: Deadline,
    ) {
        const CHECK: &str = "roles";
        if expected.roles.is_empty() {
            return notes.ok(CHECK, "default_roles", "the configuration names none");
        }
        let mut known = match self.roles("/roles", &[], deadline).await {
            Ok(known) => known,
            Err(trouble) => return tell(&trouble, CHECK, "default_roles", MANAGEMENT_FIX, notes),
        };
        if let Some(id) = organization {
            // Older servers may not have this list; the environment's roles then are all that can be seen.
            if let Ok(own) = self.roles("/organizations/{}/roles", &[id], deadline).await {
                known.extend(own);
            }
        }
        let missing: Vec<_> = expected.roles.iter().filter(|(_, name)| !known.contains(name)).collect();
        for (place, name) in &missing {
            notes.at("").fail(
                CHECK,
                place,
                format!("Scalekit has no role {name:?}"),
                format!("create the role {name:?} in the Scalekit dashboard, or name one that exists: a create with an unknown role is refused"),
            );
        }
        if missing.is_empty() {
            notes.ok(CHECK, "default_roles", format!("all {} that are named exist", expected.roles.len()));
        }
    }

    async fn roles(&self, path: &str, ids: &[&str], deadline: Deadline) -> Result<BTreeSet<String>, Trouble> {
        let call = self.api.call(Method::GET, path, ids, &[])?;
        let roles: Roles = read(&self.api.send(&call, deadline).await?)?;
        Ok(roles.roles.into_iter().map(|role| role.name).collect())
    }
}

const MANAGEMENT_FIX: &str = "give this client access to the management API: Scalekit dashboard, the application, \
                              \"Allow Scalekit Management API access\"";

/// The API takes no longer domain in its filter (scalekit.md §10).
const DOMAIN_MAX_BYTES: usize = 32;

/// More domains than this are not asked for one by one.
const DOMAINS_MAX: usize = 10;

fn is_id(text: &str) -> bool {
    text.len() <= 64 && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

async fn see(url: &Url, clock: &dyn Clock, deadline: Deadline) -> Result<Sight, Unseen> {
    let what = Look { url, headers: Vec::new(), ca_file: None, connect_timeout: CONNECT_TIMEOUT };
    look(&what, clock, deadline).await
}

/// Where a browser would have been sent.
#[derive(Debug, PartialEq, Eq)]
enum Returned {
    /// To the address that was asked for, perhaps with an error: so it is registered.
    Here(Option<String>),
    /// Nowhere, because of the address or the client, with the word for it if there is one.
    Refused(Option<String>),
    /// Neither can be told. What an unregistered address is answered with is not documented.
    Unclear,
}

fn judge(sight: &Sight, address: &str) -> Returned {
    let location = sight.headers.get(header::LOCATION).and_then(|location| location.to_str().ok());
    let error = location.and_then(error_in);
    match location {
        // Whole, or followed by a query: `/callbackx` is another address.
        Some(location) if location.split(['?', '#']).next() == Some(address) => Returned::Here(error),
        Some(_)
            if error.as_deref().is_some_and(|error| is_about_address(error) || is_about_client(error)) =>
        {
            Returned::Refused(error)
        }
        None if sight.status.is_client_error() && sight.status != StatusCode::TOO_MANY_REQUESTS => {
            refusal_in(&String::from_utf8_lossy(&sight.body))
        }
        _ => Returned::Unclear,
    }
}

fn error_in(location: &str) -> Option<String> {
    let url = Url::parse(location).ok()?;
    let error = url.query_pairs().find(|(name, _)| name == "error").map(|(_, error)| error.into_owned())?;
    let is_code = error.len() <= 48 && error.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
    is_code.then_some(error)
}

fn is_about_client(error: &str) -> bool {
    matches!(error, "invalid_client" | "unauthorized_client" | "application_not_active")
}

fn is_about_address(error: &str) -> bool {
    error.contains("redirect_uri")
}

/// An error page is for people; the codes are what may be looked for in it.
fn refusal_in(page: &str) -> Returned {
    let page = page.to_ascii_lowercase();
    let codes = ["invalid_client", "unauthorized_client", "invalid_redirect_uri"];
    if let Some(code) = codes.into_iter().find(|code| page.contains(code)) {
        return Returned::Refused(Some(code.to_owned()));
    }
    if page.contains("redirect_uri") || page.contains("redirect uri") || page.contains("redirect url") {
        return Returned::Refused(None);
    }
    Returned::Unclear
}

/// A failed call as a finding: what nobody could be asked about is no fault of the setting.
fn tell(trouble: &Trouble, check: &'static str, key: &str, fix: &str, notes: &Notes) {
    let seen = match &trouble.cause {
        Some(cause) => format!("{}: {}", trouble.problem, with_causes(cause.as_ref())),
        None => trouble.problem.clone(),
    };
    match (trouble.class, trouble.carried) {
        (ErrorClass::Transient { .. }, Carried::Refused(status)) => {
            let fix = format!("Scalekit answers {}: try again, and look at its status page", status.as_u16());
            notes.unreachable(check, key, seen, fix);
        }
        (ErrorClass::Transient { .. }, Carried::NotSent) => {
            notes.unreachable(check, key, seen, "check the network between this machine and Scalekit");
        }
        (ErrorClass::Transient { .. }, Carried::Unknown) => {
            let fix =
                "check that environment_url is Scalekit's own address and nothing in between answers for it";
            notes.fail(check, key, seen, fix);
        }
        (ErrorClass::Permanent | ErrorClass::Misconfigured, _) => notes.fail(check, key, seen, fix),
    }
}
