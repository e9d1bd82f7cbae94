//! What a new user is sent with, cut to what Scalekit takes (reference §6.1).
//!
//! A value that is a mere fact about the person is cut or left out, because one odd field must not keep a person
//! from migrating. What decides who they are or what they may do is never changed: an external id or a role that
//! Scalekit would refuse is an error before anything is sent.

use std::collections::BTreeMap;

use super::{
    error::Trouble,
    wire::{CreateMembership, CreateUser, CreateUserProfile, Role},
};
use crate::{
    identity::{ExternalId, PersonName},
    login::{ErrorClass, NewUser},
};

const METADATA_PAIRS_MAX: usize = 20;
const METADATA_KEY_CHARS: std::ops::RangeInclusive<usize> = 3..=25;
const METADATA_VALUE_CHARS_MAX: usize = 256;
const NAME_CHARS_MAX: usize = 255;
const LOCALE_CHARS_MAX: usize = 35;
const EXTERNAL_ID_CHARS_MAX: usize = 510;
const ROLE_CHARS_MAX: usize = 64;

/// The body of a create.
pub(super) fn create_user<'a>(
    user: &'a NewUser,
    default_roles: &'a [String],
) -> Result<CreateUser<'a>, Trouble> {
    check_external_id(&user.external_id)?;
    Ok(CreateUser {
        email: user.email.as_str(),
        external_id: user.external_id.as_str(),
        membership: membership(user, default_roles)?,
        user_profile: profile(&user.name),
        metadata: metadata(&user.metadata),
    })
}

/// Roles everybody gets, then the person's own, each once.
pub(super) fn membership<'a>(
    user: &'a NewUser,
    default_roles: &'a [String],
) -> Result<CreateMembership<'a>, Trouble> {
    let mut roles: Vec<Role<'a>> = Vec::new();
    for name in default_roles.iter().chain(&user.roles).map(String::as_str) {
        let is_name = (1..=ROLE_CHARS_MAX).contains(&name.len())
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        if !is_name {
            let problem = "a role name has other characters than letters, digits and _, or more than 64";
            return Err(Trouble::not_sent(ErrorClass::Misconfigured, problem));
        }
        if roles.iter().all(|role| role.name != name) {
            roles.push(Role { name });
        }
    }
    Ok(CreateMembership { roles })
}

/// An external id Scalekit takes: 1 to 510 characters.
pub(super) fn check_external_id(id: &ExternalId) -> Result<(), Trouble> {
    match id.as_str().chars().count() {
        1..=EXTERNAL_ID_CHARS_MAX => Ok(()),
        _ => Err(Trouble::not_sent(ErrorClass::Permanent, "the external id has not 1 to 510 characters")),
    }
}

fn profile(name: &PersonName) -> CreateUserProfile {
    let cut = |text: &Option<String>| text.as_deref().and_then(|text| cut(text, NAME_CHARS_MAX));
    CreateUserProfile {
        given_name: cut(&name.given),
        family_name: cut(&name.family),
        name: cut(&name.full),
        locale: name.locale.as_deref().and_then(locale),
    }
}

/// The first `max` characters, without blanks around them; `None` where nothing is left.
fn cut(text: &str, max: usize) -> Option<String> {
    let cut: String = text.trim().chars().take(max).collect();
    let cut = cut.trim_end();
    (!cut.is_empty()).then(|| cut.to_owned())
}

/// `en_US`, as many systems store it, becomes BCP 47's `en-US`; what is no language tag is left out.
fn locale(text: &str) -> Option<String> {
    let tag = text.trim().replace('_', "-");
    let mut subtags = tag.split('-');
    let has_language = subtags
        .next()
        .is_some_and(|l| matches!(l.len(), 2..=8) && l.bytes().all(|b| b.is_ascii_alphabetic()));
    let rest_fits = subtags.all(|s| matches!(s.len(), 1..=8) && s.bytes().all(|b| b.is_ascii_alphanumeric()));
    (has_language && rest_fits && tag.len() <= LOCALE_CHARS_MAX).then_some(tag)
}

/// Pairs whose key or value cannot be stored are left out, long values are cut, and the first twenty by key go.
fn metadata(pairs: &BTreeMap<String, String>) -> BTreeMap<&str, String> {
    let fitting = pairs.iter().filter_map(|(key, value)| {
        let key_fits = METADATA_KEY_CHARS.contains(&key.chars().count());
        key_fits.then_some(())?;
        Some((key.as_str(), cut(value, METADATA_VALUE_CHARS_MAX)?))
    });
    fitting.take(METADATA_PAIRS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_are_cut_to_what_scalekit_takes() {
        let mut pairs: BTreeMap<_, _> = (0..30).map(|n| (format!("key{n:02}"), "v".to_owned())).collect();
        pairs.insert("ab".into(), "short key".into());
        pairs.insert("a".repeat(26), "long key".into());
        pairs.insert("aaa".into(), "é".repeat(300));
        pairs.insert("aab".into(), "  ".into());
        let sent = metadata(&pairs);
        assert_eq!(sent.len(), 20);
        assert_eq!(sent["aaa"].chars().count(), 256);
        assert!(!sent.contains_key("ab") && !sent.contains_key("aab") && sent.contains_key("key18"));

        let name = PersonName {
            given: Some("é".repeat(300)),
            family: Some("  ".into()),
            full: None,
            locale: Some("en_US".into()),
        };
        let sent = profile(&name);
        assert_eq!(sent.given_name.unwrap().chars().count(), 255);
        assert_eq!(sent.family_name, None);
        assert_eq!(sent.locale.as_deref(), Some("en-US"));
        for bad in ["", "e", "english!", "en-", "toolongforone", "1n-US"] {
            assert_eq!(locale(bad), None, "{bad}");
        }
    }
}
