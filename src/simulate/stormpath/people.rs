//! The application's directories, accounts and groups, and what sign-ins did to them.

use serde::Deserialize;
use serde_json::{Map, Value, json};

/// A directory whose accounts may sign in.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Directory {
    pub(super) id: String,
    /// The key of an organisation that it stands for.
    #[serde(default)]
    pub(super) name_key: Option<String>,
    #[serde(default = "enabled")]
    pub(super) status: String,
}

/// One account of the seed. Passwords are plain: nothing here is real. Hence no `Debug`.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Account {
    pub(super) id: String,
    /// The e-mail when absent.
    #[serde(default)]
    pub(super) username: Option<String>,
    pub(super) email: String,
    #[serde(default)]
    pub(super) given_name: Option<String>,
    #[serde(default)]
    pub(super) middle_name: Option<String>,
    #[serde(default)]
    pub(super) surname: Option<String>,
    /// An account of a social directory has none.
    #[serde(default)]
    pub(super) password: Option<String>,
    /// `ENABLED`, `DISABLED`, `UNVERIFIED`; another word is passed on as it is, and signs in.
    #[serde(default = "enabled")]
    pub(super) status: String,
    #[serde(default = "unknown")]
    pub(super) email_verification_status: String,
    /// Of which directory; one that is not listed is always in use.
    #[serde(default = "main_directory")]
    pub(super) directory: String,
    #[serde(default)]
    pub(super) groups: Vec<Group>,
    #[serde(default)]
    pub(super) custom_data: Map<String, Value>,
    /// The code that every sign-in of this account gets.
    #[serde(default)]
    pub(super) login_error: Option<u32>,
    /// What a successful sign-in names in place of this account's own address.
    #[serde(default)]
    pub(super) attempt_href: Option<String>,
}

/// A group somebody is in.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Group {
    name: String,
    #[serde(default = "enabled")]
    status: String,
}

fn enabled() -> String {
    "ENABLED".into()
}

fn unknown() -> String {
    "UNKNOWN".into()
}

fn main_directory() -> String {
    "main".into()
}

const LONG_AGO: &str = "2016-02-29T08:00:00.000Z";

impl Account {
    pub(super) fn username(&self) -> &str {
        self.username.as_deref().unwrap_or(&self.email)
    }

    fn full_name(&self) -> String {
        let parts = [&self.given_name, &self.middle_name, &self.surname];
        parts.into_iter().flatten().map(String::as_str).collect::<Vec<_>>().join(" ")
    }

    /// The account object. The password never leaves.
    pub(super) fn to_json(&self, root: &str) -> Value {
        let href = format!("{root}/accounts/{}", self.id);
        let link = |name: &str| json!({ "href": format!("{href}/{name}") });
        json!({
            "href": href,
            "username": self.username(),
            "email": self.email,
            "givenName": self.given_name,
            "middleName": self.middle_name,
            "surname": self.surname,
            "fullName": self.full_name(),
            "status": self.status,
            "emailVerificationStatus": self.email_verification_status,
            "emailVerificationToken": null,
            "createdAt": LONG_AGO,
            "modifiedAt": LONG_AGO,
            "passwordModifiedAt": LONG_AGO,
            "customData": link("customData"),
            "providerData": link("providerData"),
            "directory": { "href": format!("{root}/directories/{}", self.directory) },
            "tenant": { "href": format!("{root}/tenants/simulated") },
            "groups": link("groups"),
            "groupMemberships": link("groupMemberships"),
            "applications": link("applications"),
        })
    }

    pub(super) fn custom_data_json(&self, root: &str) -> Value {
        let mut data = self.custom_data.clone();
        data.insert("href".into(), format!("{root}/accounts/{}/customData", self.id).into());
        data.insert("createdAt".into(), LONG_AGO.into());
        data.insert("modifiedAt".into(), LONG_AGO.into());
        data.into()
    }
}

impl Group {
    pub(super) fn to_json(&self, root: &str, number: usize) -> Value {
        json!({
            "href": format!("{root}/groups/{number}"),
            "name": self.name,
            "description": "",
            "status": self.status,
            "createdAt": LONG_AGO,
            "modifiedAt": LONG_AGO,
        })
    }
}

/// The accounts with what the sign-ins did to them.
#[derive(Default)]
pub(super) struct People {
    rows: Vec<Row>,
}

struct Row {
    account: Account,
    bad_tries: u32,
    is_locked: bool,
}

impl People {
    pub(super) fn from_seed(seed: &[Account]) -> Self {
        let row = |account: &Account| Row { account: account.clone(), bad_tries: 0, is_locked: false };
        Self { rows: seed.iter().map(row).collect() }
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Account> {
        self.rows.iter().map(|row| &row.account)
    }

    pub(super) fn with_id(&self, id: &str) -> Option<&Account> {
        self.all().find(|account| account.id == id)
    }

    pub(super) fn is_locked(&self, id: &str) -> bool {
        self.rows.iter().any(|row| row.account.id == id && row.is_locked)
    }

    /// Keeps account of one try; an account with too many wrong ones in a row is locked.
    pub(super) fn tried(&mut self, id: &str, right: bool, lock_out_after: u32) {
        let Some(row) = self.rows.iter_mut().find(|row| row.account.id == id) else { return };
        row.bad_tries = if right { 0 } else { row.bad_tries.saturating_add(1) };
        row.is_locked = lock_out_after > 0 && row.bad_tries >= lock_out_after;
    }
}
