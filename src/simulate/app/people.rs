//! The application's own user table.

use serde::Deserialize;
use serde_json::{Value, json};
use subtle::ConstantTimeEq as _;

/// One person of the seed. Passwords are plain: nothing here is real. Hence no `Debug`.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(clippy::struct_excessive_bools, reason = "a row of a user table, and such rows are full of flags")]
pub(crate) struct Person {
    pub(crate) id: String,
    pub(crate) email: String,
    #[serde(default)]
    pub(crate) email_verified: bool,
    /// A login name beside the address; the address when absent.
    #[serde(default)]
    pub(crate) login: Option<String>,
    #[serde(default)]
    pub(crate) name: String,
    /// Taken from `name` when absent.
    #[serde(default)]
    pub(crate) given_name: Option<String>,
    #[serde(default)]
    pub(crate) family_name: Option<String>,
    /// Without one, nobody signs in as this person.
    #[serde(default)]
    pub(crate) password: Option<String>,
    #[serde(default)]
    pub(crate) mfa: bool,
    #[serde(default)]
    pub(crate) must_change: bool,
    #[serde(default)]
    pub(crate) disabled: bool,
}

impl Person {
    pub(super) fn login(&self) -> &str {
        self.login.as_deref().unwrap_or(&self.email)
    }

    /// Given and family name.
    pub(super) fn names(&self) -> (&str, &str) {
        let (given, family) = self.name.split_once(' ').unwrap_or((&self.name, ""));
        (self.given_name.as_deref().unwrap_or(given), self.family_name.as_deref().unwrap_or(family))
    }

    fn status(&self) -> &'static str {
        match (self.disabled, self.must_change) {
            (true, _) => "disabled",
            (false, true) => "must_change",
            (false, false) => "active",
        }
    }

    /// What the application tells about somebody who is signed in.
    pub(super) fn to_json(&self) -> Value {
        json!({
            "id": self.id,
            "email": self.email,
            "login": self.login(),
            "email_verified": self.email_verified,
            "name": self.name,
            "mfa": self.mfa,
            "status": self.status(),
        })
    }
}

/// The rows, which a password change alters.
pub(super) struct People(Vec<Person>);

impl People {
    pub(super) fn from_seed(seed: &[Person]) -> Self {
        Self(seed.to_vec())
    }

    pub(super) fn by_id(&self, id: &str) -> Option<&Person> {
        self.0.iter().find(|person| person.id == id)
    }

    /// The person behind whatever identifier Crossfade was told to send: login, then id, then address.
    pub(super) fn by_any(&self, user: &str) -> Option<&Person> {
        let by_login = self.0.iter().find(|person| person.login().eq_ignore_ascii_case(user));
        let by_email = || self.0.iter().find(|person| person.email.eq_ignore_ascii_case(user));
        by_login.or_else(|| self.by_id(user)).or_else(by_email)
    }

    /// The person with this address or login, if the password is theirs and they may sign in at all.
    pub(super) fn check(&self, typed: &str, password: &str) -> Option<&Person> {
        let same = |person: &&Person| {
            person.email.eq_ignore_ascii_case(typed) || person.login().eq_ignore_ascii_case(typed)
        };
        let person = self.0.iter().find(same)?;
        let right = person
            .password
            .as_ref()
            .is_some_and(|stored| stored.as_bytes().ct_eq(password.as_bytes()).into());
        (right && !person.disabled && !password.is_empty()).then_some(person)
    }

    pub(super) fn change_password(&mut self, id: &str, password: String) {
        if let Some(person) = self.0.iter_mut().find(|person| person.id == id) {
            person.password = Some(password);
            person.must_change = false;
        }
    }
}
