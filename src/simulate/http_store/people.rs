//! The endpoint's people, and what checks did to them.

use serde::Deserialize;
use serde_json::{Map, Value, json};

/// One person of the seed. Passwords are plain: nothing here is real. Hence no `Debug`.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Person {
    pub(super) id: String,
    /// The e-mail when absent.
    #[serde(default)]
    pub(super) username: Option<String>,
    pub(super) email: String,
    #[serde(default)]
    pub(super) first_name: Option<String>,
    #[serde(default)]
    pub(super) last_name: Option<String>,
    #[serde(default)]
    pub(super) password: Option<String>,
    #[serde(default = "yes")]
    pub(super) enabled: bool,
    #[serde(default)]
    pub(super) email_verified: bool,
    #[serde(default)]
    pub(super) roles: Vec<String>,
    /// `UPDATE_PASSWORD`, `CONFIGURE_TOTP`, …
    #[serde(default)]
    pub(super) required_actions: Vec<String>,
    /// Enrolled one-time codes, as they are shown.
    #[serde(default)]
    pub(super) totps: Vec<Value>,
    /// Further members of the object; one of a known name replaces it, and null takes it away.
    #[serde(default)]
    pub(super) more: Map<String, Value>,
    /// What every password check of this person is answered with; 302 leads elsewhere.
    #[serde(default)]
    pub(super) check_status: Option<u16>,
    /// Further members of the answer to a right password at `/legacy/check`, as `more`.
    #[serde(default)]
    pub(super) check_more: Map<String, Value>,
}

const fn yes() -> bool {
    true
}

impl Person {
    pub(super) fn username(&self) -> &str {
        self.username.as_deref().unwrap_or(&self.email)
    }

    /// The person's object. The password never leaves.
    pub(super) fn to_json(&self, booleans_as_text: bool) -> Value {
        let bit = |bit: bool| if booleans_as_text { bit.to_string().into() } else { Value::from(bit) };
        let whole = json!({
            "id": self.id,
            "username": self.username(),
            "email": self.email,
            "firstName": self.first_name,
            "lastName": self.last_name,
            "enabled": bit(self.enabled),
            "emailVerified": bit(self.email_verified),
            "attributes": {},
            "roles": self.roles,
            "groups": [],
            "requiredActions": self.required_actions,
            "totps": self.totps,
            "organizations": [],
        });
        with(whole, &self.more)
    }
}

/// An object with further members; null takes one away.
pub(super) fn with(mut object: Value, more: &Map<String, Value>) -> Value {
    if let Value::Object(members) = &mut object {
        members.extend(more.clone());
        members.retain(|name, value| !(value.is_null() && more.contains_key(name)));
    }
    object
}

/// The people with what the checks did to them.
#[derive(Default)]
pub(super) struct People {
    rows: Vec<Row>,
}

struct Row {
    person: Person,
    bad_tries: u32,
    is_locked: bool,
}

impl People {
    pub(super) fn from_seed(seed: &[Person]) -> Self {
        let row = |person: &Person| Row { person: person.clone(), bad_tries: 0, is_locked: false };
        Self { rows: seed.iter().map(row).collect() }
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Person> {
        self.rows.iter().map(|row| &row.person)
    }

    /// By user name first, then by e-mail.
    pub(super) fn named(&self, name: &str) -> Option<&Person> {
        let by_username = self.all().find(|person| person.username().eq_ignore_ascii_case(name));
        by_username.or_else(|| self.all().find(|person| person.email.eq_ignore_ascii_case(name)))
    }

    pub(super) fn with_id(&self, id: &str) -> Option<&Person> {
        self.all().find(|person| person.id == id)
    }

    pub(super) fn is_locked(&self, id: &str) -> bool {
        self.rows.iter().any(|row| row.person.id == id && row.is_locked)
    }

    /// Keeps account of one check; somebody with too many wrong ones in a row is locked.
    pub(super) fn tried(&mut self, id: &str, right: bool, lock_out_after: u32) {
        let Some(row) = self.rows.iter_mut().find(|row| row.person.id == id) else { return };
        row.bad_tries = if right { 0 } else { row.bad_tries.saturating_add(1) };
        row.is_locked = lock_out_after > 0 && row.bad_tries >= lock_out_after;
    }
}
