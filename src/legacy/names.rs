//! Whether a record is the one that was asked for.
//!
//! A store's own comparison is not ours: `*_ci` collations take `víctim` for `victim`, a search may match a part,
//! a directory may know short names. So what came back is compared again with what was typed, and nothing is
//! folded but ASCII case and what [`CanonicalEmail`] folds.

use crate::identity::{CanonicalEmail, LoginName};

/// What logins are compared by: the canonical e-mail where the text is one, else ASCII lower case.
pub(super) fn comparable(text: &str) -> String {
    // CHAR(n) columns pad with blanks.
    let text = text.trim_end_matches(' ');
    CanonicalEmail::parse(text).map_or_else(|_| text.to_ascii_lowercase(), |email| email.as_str().to_owned())
}

/// Whether the typed name is this record's login or e-mail.
pub(super) fn is_asked_for(typed: &LoginName, login: Option<&str>, email: Option<&str>) -> bool {
    let typed = comparable(typed.as_typed());
    [login, email].into_iter().flatten().any(|stored| comparable(stored) == typed)
}

/// The spellings in which a store may have this address: its canonical form, and the domain in its own script.
pub(super) fn spellings(email: &CanonicalEmail) -> Vec<String> {
    let (local, domain) = email.as_str().rsplit_once('@').unwrap_or((email.as_str(), ""));
    let mut spellings = vec![email.as_str().to_owned()];
    if let (unicode, Ok(())) = idna::domain_to_unicode(domain)
        && unicode != domain
    {
        spellings.push(format!("{local}@{unicode}"));
    }
    spellings
}

/// Whether a source with these canonical domains is asked about the name; without domains it is asked about all.
pub(super) fn is_served(domains: &[String], name: &LoginName) -> bool {
    domains.is_empty()
        || name.email().is_some_and(|email| domains.iter().any(|domain| domain == email.domain()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(text: &str) -> LoginName {
        LoginName::parse(text).unwrap()
    }

    #[test]
    fn only_ascii_case_and_canonical_email_are_folded() {
        for (name, login, email, same) in [
            ("Ann", Some("ann"), None, true),
            ("ann", Some("ann   "), None, true),
            ("Ann@Example.COM", Some("annie"), Some("ann@example.com"), true),
            ("ann@bücher.example", None, Some("Ann@xn--bcher-kva.example"), true),
            ("víctim", Some("victim"), None, false),
            ("VÍCTIM", Some("víctim"), None, false),
            ("víctim@example.com", None, Some("victim@example.com"), false),
            ("ann@example.com", Some("joann@example.com"), Some("joann@example.com"), false),
            ("ann", Some("ann@example.com"), Some("ann@example.com"), false),
            ("ann", None, None, false),
        ] {
            assert_eq!(is_asked_for(&typed(name), login, email), same, "{name} {login:?} {email:?}");
        }
    }

    #[test]
    fn a_source_with_domains_serves_only_their_addresses() {
        let domains = ["example.com".to_owned()];
        assert!(is_served(&domains, &typed("Ann@EXAMPLE.com")));
        assert!(!is_served(&domains, &typed("ann@sub.example.com")));
        assert!(!is_served(&domains, &typed("ann")));
        assert!(is_served(&[], &typed("ann")));
    }
}
