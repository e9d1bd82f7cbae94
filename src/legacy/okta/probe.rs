//! A look at an Okta organisation: the token, what it may read, and what the configuration counts on.

use async_trait::async_trait;
use http::HeaderMap;
use serde::Deserialize;
use serde_json::{Map, Value};
use url::Url;

use super::{
    Okta,
    refusal::{Refusal, content},
};
use crate::{
    clock::{Clock, Deadline},
    config::MfaDeclaration,
    findings::Notes,
    legacy::probe::{Probe, tell},
    login::LegacyError,
    net::{Look, look},
};

const TOKEN: &str = "okta.api_token";
const ATTRIBUTE: &str = "okta.email_verified_attribute";

const CONNECT_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(3);

/// Somebody, to try the lists on; what is in the profile is looked at for names of attributes alone.
#[derive(Deserialize)]
struct Somebody {
    id: String,
    profile: Map<String, Value>,
}

/// Attributes by name.
type Properties = Map<String, Value>;

#[async_trait]
impl Probe for Okta {
    async fn probe(&self, notes: &Notes, clock: &dyn Clock, deadline: Deadline) {
        let what = Look {
            url: &self.api.base,
            headers: Vec::new(),
            ca_file: None,
            connect_timeout: CONNECT_TIMEOUT,
        };
        match look(&what, clock, deadline).await {
            Ok(sight) => sight.tell(notes, "okta.url"),
            Err(unseen) => return unseen.tell(notes, "okta.url"),
        }
        let somebody = match self.somebody(notes, deadline).await {
            Ok(somebody) => somebody,
            Err(error) => {
                let fix = "make a new API token in Okta (Security, API, Tokens) for an account that may read users \
                           and groups, and set it; a token ends after 30 days without use, and with its account";
                tell(&error, "token", TOKEN, fix, notes);
                for check in ["groups", "factors", "email_verified_attribute"] {
                    notes.skipped(check, TOKEN, "not asked: the users cannot be read");
                }
                return;
            }
        };
        tokio::join!(
            self.probe_groups(somebody.as_ref(), notes, deadline),
            self.probe_factors(somebody.as_ref(), notes, deadline),
            self.probe_attributes(somebody.as_ref(), notes, deadline),
        );
        self.tell_gateway(notes);
    }
}

impl Okta {
    /// The first user of the organisation, by the token; tells what the answer says of its limits.
    async fn somebody(&self, notes: &Notes, deadline: Deadline) -> Result<Option<Somebody>, LegacyError> {
        let url = self.first(["api", "v1", "users"])?;
        let answer = self.api.get(&url, deadline).await?;
        let users: Vec<Somebody> = content(&answer).map_err(|refusal| self.api.as_error(refusal))?;
        notes.ok("token", TOKEN, "it may read users");
        tell_limits(&answer.headers, notes);
        Ok(users.into_iter().next())
    }

    fn first<'a>(&self, segments: impl IntoIterator<Item = &'a str>) -> Result<Url, LegacyError> {
        let mut url = self.api.url(segments)?;
        url.query_pairs_mut().append_pair("limit", "1");
        Ok(url)
    }

    /// Whether a list of a user can be read.
    async fn list(&self, id: &str, list: &str, deadline: Deadline) -> Result<(), LegacyError> {
        let url = self.first(["api", "v1", "users", id, list])?;
        self.api.read::<Vec<Value>>(url, deadline).await.map(drop)
    }

    async fn probe_groups(&self, somebody: Option<&Somebody>, notes: &Notes, deadline: Deadline) {
        const CHECK: &str = "groups";
        if self.roles.0.is_empty() {
            return notes.skipped(CHECK, "roles", "not needed: no group gives a role");
        }
        let Some(somebody) = somebody else { return notes.skipped(CHECK, TOKEN, NOBODY) };
        match self.list(&somebody.id, "groups", deadline).await {
            Ok(()) => notes.ok(CHECK, TOKEN, "a user's groups can be read"),
            Err(error) => {
                let fix =
                    "the token's account must be allowed to read groups (a read-only administrator may)";
                tell(&error, CHECK, TOKEN, fix, notes);
            }
        }
    }

    async fn probe_factors(&self, somebody: Option<&Somebody>, notes: &Notes, deadline: Deadline) {
        const CHECK: &str = "factors";
        if !matches!(self.declared_mfa, MfaDeclaration::Field(_)) {
            return notes.skipped(CHECK, "mfa", "not needed: the factor list is not asked for");
        }
        let Some(somebody) = somebody else { return notes.skipped(CHECK, TOKEN, NOBODY) };
        match self.list(&somebody.id, "factors", deadline).await {
            Ok(()) => notes.ok(CHECK, TOKEN, "a user's factors can be read"),
            Err(error) => {
                let fix = "the token's account must be allowed to read users' factors; without that it is not known \
                           who has a second factor, and nobody moves";
                tell(&error, CHECK, TOKEN, fix, notes);
            }
        }
    }

    async fn probe_attributes(&self, somebody: Option<&Somebody>, notes: &Notes, deadline: Deadline) {
        let wanted = [
            ("email_verified_attribute", ATTRIBUTE, self.email_verified.as_deref(), Some("boolean")),
            ("organization_attribute", "okta.organization_attribute", self.organization.as_deref(), None),
        ];
        if wanted.iter().all(|(_, _, name, _)| name.is_none()) {
            return;
        }
        let schema = self.schema(deadline).await;
        for (check, key, name, kind) in wanted {
            let Some(name) = name else { continue };
            match &schema {
                Ok(properties) => tell_attribute(check, key, name, kind, properties, notes),
                Err(_) if somebody.is_some_and(|somebody| somebody.profile.contains_key(name)) => {
                    notes.ok(check, key, format!("a user's profile has {name:?}"));
                }
                Err(why) => {
                    notes.skipped(check, key, format!("could not be seen: the profile's schema {why}"));
                }
            }
        }
    }

    /// The attributes of users' profiles; else why they cannot be seen. Reading the schema needs a right of its own.
    async fn schema(&self, deadline: Deadline) -> Result<Properties, String> {
        let asked = async {
            let url = self.api.url(["api", "v1", "meta", "schemas", "user", "default"])?;
            self.api.get(&url, deadline).await
        };
        let answer = asked.await.map_err(|_| "gave no answer".to_owned())?;
        let schema: Value = content(&answer).map_err(|refusal| match refusal {
            Refusal::Failed { problem, .. } => problem,
            _ => format!("answered {}", answer.status.as_u16()),
        })?;
        let parts = ["/definitions/base/properties", "/definitions/custom/properties"];
        let parts = parts.into_iter().filter_map(|part| schema.pointer(part)?.as_object());
        let properties: Properties =
            parts.flatten().map(|(name, property)| (name.clone(), property.clone())).collect();
        if properties.is_empty() {
            Err("has another form than documented".to_owned())
        } else {
            Ok(properties)
        }
    }

    /// Which addresses are trusted gateways is written in the network zones and shown by the system log; both need
    /// rights this token should not have.
    fn tell_gateway(&self, notes: &Notes) {
        const CHECK: &str = "trusted_gateway";
        const KEY: &str = "okta.trusted_gateway";
        if self.trusted_gateway {
            notes.skipped(
                CHECK,
                KEY,
                "could not be seen: sign in once and look in Okta's system log whether the client's address is the \
                 browser's; if it is Crossfade's, add that to a network zone as gateway",
            );
        } else {
            notes.warn(
                CHECK,
                KEY,
                "to Okta everybody seems to come from Crossfade's own address",
                "add Crossfade's public address to a network zone as gateway in Okta, then set trusted_gateway: true; \
                 else Okta's limits and blocks for one address hit everybody together",
            );
        }
    }
}

const NOBODY: &str = "not asked: there is no user to try it on";

fn tell_limits(headers: &HeaderMap, notes: &Notes) {
    const CHECK: &str = "rate_limit";
    let number = |name: &str| headers.get(name)?.to_str().ok()?.trim().parse::<u64>().ok();
    let (limit, left) = (number("x-rate-limit-limit"), number("x-rate-limit-remaining"));
    match (limit, left) {
        (Some(limit), Some(left)) if limit > 0 && left < limit / 10 => notes.warn(
            CHECK,
            TOKEN,
            format!("{left} of {limit} calls are left in this window"),
            "find out who else uses up this organisation's limit before people depend on it; a first sign-in takes \
             two to four calls",
        ),
        (Some(limit), Some(left)) => notes.ok(CHECK, TOKEN, format!("{left} of {limit} calls are left")),
        _ => notes.skipped(CHECK, TOKEN, "the answer has no X-Rate-Limit headers"),
    }
}

fn tell_attribute(
    check: &'static str,
    key: &str,
    name: &str,
    kind: Option<&str>,
    properties: &Properties,
    notes: &Notes,
) {
    let Some(property) = properties.get(name) else {
        return notes.fail(
            check,
            key,
            format!("users' profiles have no attribute {name:?}"),
            "name an attribute of the user profile (Okta, Directory, Profile Editor) by its variable name, or add it",
        );
    };
    let is = property.get("type").and_then(Value::as_str);
    match (kind, is) {
        (Some(wanted), Some(is)) if wanted != is => notes.fail(
            check,
            key,
            format!("the attribute {name:?} is of type {is}, and only {wanted} counts"),
            format!("use an attribute of type {wanted}: any other value is taken for \"not known\""),
        ),
        _ => notes.ok(check, key, format!("users' profiles have {name:?}")),
    }
}
