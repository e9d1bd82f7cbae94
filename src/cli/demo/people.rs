//! The sample people: made up, with plain passwords, for loopback only.

use serde_json::{Value, json};

/// Everybody's password.
pub(super) const PASSWORD: &str = "correct horse";

/// The domain whose people live at the sample Okta.
pub(super) const OKTA_DOMAIN: &str = "okta-people.example";

/// One of the sample people.
pub(super) struct Sample {
    pub(super) email: &'static str,
    pub(super) id: &'static str,
    pub(super) name: &'static str,
    pub(super) about: &'static str,
    verified: bool,
    mfa: bool,
}

const fn sample(id: &'static str, email: &'static str, name: &'static str, about: &'static str) -> Sample {
    Sample { email, id, name, about, verified: true, mfa: false }
}

pub(super) const ANN: Sample = sample("101", "ann@example.com", "Ann Alder", "moves at her first sign-in");
pub(super) const BEN: Sample = sample("102", "ben@example.com", "Ben Birch", "moves, too");
pub(super) const CAT: Sample = sample("103", "cat@example.com", "Cat Cedar", "moves when Scalekit is back");
pub(super) const UNA: Sample = Sample {
    verified: false,
    ..sample("104", "una@example.com", "Una Unwin", "stays: her e-mail was never verified")
};
pub(super) const MAX: Sample = Sample {
    mfa: true,
    ..sample("105", "max@example.com", "Max Maple", "stays: his second factor (123456) would be lost")
};
pub(super) const TESS: Sample =
    sample("106", "tess@example.com", "Tess Teak", "stays: a second record has her address in capitals");
pub(super) const TESS_TWIN: Sample = sample("107", "TESS@example.com", "Tess Teak", "the second record");
pub(super) const OLA: Sample =
    sample("108", "ola@okta-people.example", "Ola Olive", "lives at Okta, which checks the password");
/// Unknown to every legacy store.
pub(super) const NEW_EMAIL: &str = "nina@new-people.example";

pub(super) const ALL: [&Sample; 8] = [&ANN, &BEN, &CAT, &UNA, &MAX, &TESS, &TESS_TWIN, &OLA];

/// The sample application's user table.
pub(super) fn application() -> Value {
    let user = |person: &&Sample| {
        json!({
            "id": person.id, "email": person.email, "email_verified": person.verified, "name": person.name,
            "password": PASSWORD, "mfa": person.mfa,
        })
    };
    Value::from(ALL.iter().map(user).collect::<Vec<_>>())
}

/// The sample Okta's people.
pub(super) fn okta() -> Value {
    let user = |person: &&Sample| {
        let (first, last) = person.name.split_once(' ').unwrap_or((person.name, ""));
        json!({
            "id": format!("00u{}", person.id), "login": person.email, "first_name": first, "last_name": last,
            "password": PASSWORD, "profile": {"emailVerified": true},
        })
    };
    let theirs = ALL.iter().filter(|person| person.email.ends_with(OKTA_DOMAIN));
    Value::from(theirs.map(user).collect::<Vec<_>>())
}
