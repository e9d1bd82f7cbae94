//! The people of the organisation, their groups, factors and lock-outs.

use serde::Deserialize;
use serde_json::{Map, Value, json};

/// One person of the seed. Passwords are plain: nothing here is real. Hence no `Debug`.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Person {
    pub(crate) id: String,
    pub(crate) login: String,
    /// The address in the profile; the login when absent.
    #[serde(default)]
    pub(crate) email: Option<String>,
    #[serde(default)]
    pub(crate) first_name: Option<String>,
    #[serde(default)]
    pub(crate) last_name: Option<String>,
    #[serde(default)]
    pub(crate) password: Option<String>,
    /// The user status; a word Okta does not know is passed on as it is.
    #[serde(default = "active")]
    pub(crate) status: String,
    /// What a right password leads to, in place of what the status and factors say. `"-"` is a 200 answer
    /// without any status.
    #[serde(default)]
    pub(crate) transaction: Option<String>,
    /// The error code every sign-in of this person gets.
    #[serde(default)]
    pub(crate) authn_error: Option<String>,
    /// The policy wants a factor that the person has not enrolled yet.
    #[serde(default)]
    pub(crate) must_enroll: bool,
    /// The password is about to expire.
    #[serde(default)]
    pub(crate) expires_soon: bool,
    #[serde(default)]
    pub(crate) groups: Vec<Group>,
    #[serde(default)]
    pub(crate) factors: Vec<Factor>,
    /// `OKTA`, `ACTIVE_DIRECTORY`, `LDAP`, `FEDERATION`, `SOCIAL` or `IMPORT`.
    #[serde(default = "okta")]
    pub(crate) provider: String,
    /// More members of the profile.
    #[serde(default)]
    pub(crate) profile: Map<String, Value>,
}

/// A group somebody is in.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Group {
    id: String,
    name: String,
    #[serde(default = "okta_group", rename = "type")]
    kind: String,
}

/// An enrolled factor.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Factor {
    id: String,
    /// For example `token:software:totp`, `push`, `sms`.
    #[serde(rename = "factor_type")]
    kind: String,
    #[serde(default = "okta")]
    provider: String,
    #[serde(default = "active")]
    status: String,
}

fn active() -> String {
    "ACTIVE".into()
}

fn okta() -> String {
    "OKTA".into()
}

fn okta_group() -> String {
    "OKTA_GROUP".into()
}

const LONG_AGO: &str = "2024-02-29T08:00:00.000Z";

impl Person {
    pub(super) fn email(&self) -> &str {
        self.email.as_deref().unwrap_or(&self.login)
    }

    pub(super) fn has_factor(&self) -> bool {
        self.factors.iter().any(|factor| factor.status == "ACTIVE")
    }

    /// The user object of the users API. The password never leaves, not even as a hash.
    pub(super) fn to_json(&self, base: &str) -> Value {
        let mut profile = self.profile.clone();
        profile.insert("login".into(), Value::from(self.login.clone()));
        profile.insert("email".into(), Value::from(self.email()));
        profile.insert("firstName".into(), Value::from(self.first_name.clone()));
        profile.insert("lastName".into(), Value::from(self.last_name.clone()));
        for absent in ["secondEmail", "mobilePhone"] {
            profile.entry(absent).or_insert(Value::Null);
        }
        let activated = if self.status == "STAGED" { Value::Null } else { Value::from(LONG_AGO) };
        let mut credentials = json!({ "provider": { "type": self.provider, "name": self.provider } });
        if let (Some(_), Value::Object(members)) = (&self.password, &mut credentials) {
            members.insert("password".into(), json!({}));
        }
        json!({
            "id": self.id,
            "status": self.status,
            "created": LONG_AGO,
            "activated": activated,
            "statusChanged": LONG_AGO,
            "lastLogin": null,
            "lastUpdated": LONG_AGO,
            "passwordChanged": self.password.as_ref().map(|_| LONG_AGO),
            "type": { "id": "otysimulated0000001" },
            "profile": profile,
            "credentials": credentials,
            "_links": { "self": { "href": format!("{base}/api/v1/users/{}", self.id) } },
        })
    }

    /// The shorter user object inside an authentication transaction. It has no `email`.
    pub(super) fn to_embedded_json(&self) -> Value {
        json!({
            "id": self.id,
            "passwordChanged": LONG_AGO,
            "profile": {
                "login": self.login,
                "firstName": self.first_name,
                "lastName": self.last_name,
                "locale": "en",
                "timeZone": "America/Los_Angeles",
            },
        })
    }
}

impl Group {
    pub(super) fn id(&self) -> &str {
        &self.id
    }

    pub(super) fn to_json(&self) -> Value {
        json!({
            "id": self.id,
            "type": self.kind,
            "created": LONG_AGO,
            "lastUpdated": LONG_AGO,
            "objectClass": ["okta:user_group"],
            "profile": { "name": self.name, "description": null },
        })
    }
}

impl Factor {
    pub(super) fn to_json(&self) -> Value {
        json!({
            "id": self.id,
            "factorType": self.kind,
            "provider": self.provider,
            "vendorName": self.provider,
            "status": self.status,
            "created": LONG_AGO,
            "lastUpdated": LONG_AGO,
        })
    }
}

/// The table of people with what the sign-ins did to it.
#[derive(Default)]
pub(super) struct People {
    rows: Vec<Row>,
}

struct Row {
    person: Person,
    bad_tries: u32,
}

impl People {
    pub(super) fn from_seed(seed: &[Person]) -> Self {
        Self { rows: seed.iter().cloned().map(|person| Row { person, bad_tries: 0 }).collect() }
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Person> {
        self.rows.iter().map(|row| &row.person)
    }

    /// The person with this login, or with this short name if only one has it.
    pub(super) fn by_login(&self, login: &str) -> Option<&Person> {
        let same = |person: &&Person| person.login.eq_ignore_ascii_case(login);
        if let Some(person) = self.all().find(same) {
            return Some(person);
        }
        let short = |person: &&Person| {
            person.login.split_once('@').is_some_and(|(name, _)| name.eq_ignore_ascii_case(login))
        };
        let mut found = self.all().filter(short);
        found.next().filter(|_| found.next().is_none())
    }

    /// As [`Self::by_login`], but an id is understood too.
    pub(super) fn by_id_or_login(&self, key: &str) -> Option<&Person> {
        self.all().find(|person| person.id == key).or_else(|| self.by_login(key))
    }

    /// Keeps account of one try; a person with too many wrong ones in a row is locked.
    pub(super) fn tried(&mut self, id: &str, right: bool, lock_out_after: u32) {
        let Some(row) = self.rows.iter_mut().find(|row| row.person.id == id) else { return };
        row.bad_tries = if right { 0 } else { row.bad_tries.saturating_add(1) };
        if lock_out_after > 0 && row.bad_tries >= lock_out_after {
            row.person.status = "LOCKED_OUT".into();
        }
    }
}
