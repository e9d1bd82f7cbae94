//! Canonical e-mail addresses, SEC-30 … SEC-33.
//!
//! Two strings name one mailbox only when they are the same after this and nothing more: plus tags, dots, alias
//! domains and look-alikes are never merged, and nothing is folded that two mail systems could read differently.

use std::{fmt, net::Ipv6Addr, str::FromStr};

use idna::uts46::{AsciiDenyList, DnsLength, Hyphens, Uts46};

/// An address with one spelling: ASCII local part in lower case, domain as lower-case A-labels.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize)]
#[serde(transparent)]
pub(crate) struct CanonicalEmail {
    text: String,
    #[serde(skip)]
    at: usize,
}

/// Why a string is not an address we can hold a person by (SEC-30 … SEC-32).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub(crate) enum EmailRefusal {
    #[error("empty")]
    Empty,
    #[error("longer than 254 bytes")]
    TooLong,
    #[error("contains a blank, control or format character")]
    ForbiddenCharacter,
    #[error("no @")]
    NoAt,
    #[error("more than one @")]
    SeveralAts,
    #[error("nothing before the @")]
    LocalPartEmpty,
    #[error("local part longer than 64 bytes")]
    LocalPartTooLong,
    #[error("local part is not ASCII")]
    LocalPartNotAscii,
    #[error("local part is not a dot-atom (quoted, a comment, or a misplaced dot)")]
    LocalPartNotDotAtom,
    #[error("nothing after the @")]
    DomainEmpty,
    #[error("domain is an address literal or an IP address")]
    DomainIsAddress,
    #[error("domain has a trailing dot")]
    DomainTrailingDot,
    #[error("domain has fewer than two labels")]
    DomainSingleLabel,
    #[error("domain has an empty label")]
    DomainEmptyLabel,
    #[error("domain label longer than 63 bytes")]
    DomainLabelTooLong,
    #[error("non-ASCII text in the domain that stands for plain ASCII (look-alike)")]
    DomainLookAlike,
    #[error("domain is not a valid internationalised domain name")]
    DomainInvalid,
}

impl CanonicalEmail {
    /// Brings an address as typed or stored into its one spelling, or says why it has none.
    pub(crate) fn parse(raw: &str) -> Result<Self, EmailRefusal> {
        let text = raw.trim_matches([' ', '\t']);
        if text.is_empty() {
            return Err(EmailRefusal::Empty);
        }
        if text.chars().any(is_forbidden) {
            return Err(EmailRefusal::ForbiddenCharacter);
        }
        let (local, domain) = text.split_once('@').ok_or(EmailRefusal::NoAt)?;
        if domain.contains('@') {
            return Err(EmailRefusal::SeveralAts);
        }
        let local = canonical_local(local)?;
        let domain = canonical_domain(domain)?;
        if local.len() + 1 + domain.len() > 254 || text.len() > 254 * 4 {
            return Err(EmailRefusal::TooLong);
        }
        Ok(Self { at: local.len(), text: format!("{local}@{domain}") })
    }

    /// The whole address.
    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }

    /// What follows the `@`, as lower-case A-labels.
    pub(crate) fn domain(&self) -> &str {
        self.text.get(self.at + 1..).unwrap_or_default()
    }
}

impl FromStr for CanonicalEmail {
    type Err = EmailRefusal;

    fn from_str(s: &str) -> Result<Self, Self::Err> {
        Self::parse(s)
    }
}

/// A stored address is parsed again: what the store holds is outside input, too.
impl<'de> serde::Deserialize<'de> for CanonicalEmail {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = String::deserialize(d)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

/// Addresses never reach a log by accident (SEC-51): `Debug` shows the domain alone.
impl fmt::Debug for CanonicalEmail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[redacted]@{}", self.domain())
    }
}

/// Blanks, controls and format characters: invisible, so two addresses that differ in one look the same.
fn is_forbidden(c: char) -> bool {
    c.is_control()
        || c.is_whitespace()
        || matches!(c,
            '\u{00ad}' | '\u{0600}'..='\u{0605}' | '\u{061c}' | '\u{06dd}' | '\u{070f}' | '\u{0890}'..='\u{0891}'
            | '\u{08e2}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{110bd}' | '\u{110cd}' | '\u{13430}'..='\u{1343f}'
            | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e007f}'
            // Blank in every font, though not white space by category: Hangul fillers, Braille blank.
            | '\u{115f}' | '\u{1160}' | '\u{3164}' | '\u{ffa0}' | '\u{2800}')
}

/// SEC-31: an ASCII dot-atom (RFC 5322 §3.2.3), A–Z folded bytewise.
fn canonical_local(local: &str) -> Result<String, EmailRefusal> {
    if local.is_empty() {
        return Err(EmailRefusal::LocalPartEmpty);
    }
    if !local.is_ascii() {
        return Err(EmailRefusal::LocalPartNotAscii);
    }
    if local.len() > 64 {
        return Err(EmailRefusal::LocalPartTooLong);
    }
    let is_atom = |atom: &str| {
        !atom.is_empty()
            && atom.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~".contains(&b))
    };
    if !local.split('.').all(is_atom) {
        return Err(EmailRefusal::LocalPartNotDotAtom);
    }
    Ok(local.to_ascii_lowercase())
}

/// SEC-32: UTS 46, non-transitional, to lower-case A-labels.
fn canonical_domain(domain: &str) -> Result<String, EmailRefusal> {
    if domain.is_empty() {
        return Err(EmailRefusal::DomainEmpty);
    }
    if domain.starts_with('[') || domain.parse::<Ipv6Addr>().is_ok() {
        return Err(EmailRefusal::DomainIsAddress);
    }
    if domain.ends_with(['.', '\u{3002}', '\u{ff0e}', '\u{ff61}']) {
        return Err(EmailRefusal::DomainTrailingDot);
    }
    // Ideographic and full-width dots map to "." and would cut the name at a place nobody sees.
    if domain.contains(['\u{3002}', '\u{ff0e}', '\u{ff61}']) {
        return Err(EmailRefusal::DomainLookAlike);
    }
    if domain.split('.').any(str::is_empty) {
        return Err(EmailRefusal::DomainEmptyLabel);
    }
    let ascii = Uts46::new()
        .to_ascii(domain.as_bytes(), AsciiDenyList::STD3, Hyphens::CheckFirstLast, DnsLength::Ignore)
        .map_err(|_| EmailRefusal::DomainInvalid)?;
    let typed: Vec<&str> = domain.split('.').collect();
    let mapped: Vec<&str> = ascii.split('.').collect();
    if typed.len() != mapped.len() {
        return Err(EmailRefusal::DomainLookAlike);
    }
    for (typed, mapped) in typed.iter().zip(&mapped) {
        if mapped.is_empty() {
            return Err(EmailRefusal::DomainEmptyLabel);
        }
        if !typed.is_ascii() && !mapped.starts_with("xn--") {
            return Err(EmailRefusal::DomainLookAlike);
        }
        if mapped.len() > 63 {
            return Err(EmailRefusal::DomainLabelTooLong);
        }
    }
    let last = mapped.last().copied().unwrap_or_default();
    if is_number(last) {
        return Err(EmailRefusal::DomainIsAddress);
    }
    if mapped.len() < 2 {
        return Err(EmailRefusal::DomainSingleLabel);
    }
    if ascii.len() > 253 {
        return Err(EmailRefusal::TooLong);
    }
    Ok(ascii.into_owned())
}

/// A host whose last label is a number is an IPv4 address to every URL parser (WHATWG URL, "ends in a number").
fn is_number(label: &str) -> bool {
    let hex = label.strip_prefix("0x");
    label.bytes().all(|b| b.is_ascii_digit()) || hex.is_some_and(|h| h.bytes().all(|b| b.is_ascii_hexdigit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_mailbox_has_one_spelling() {
        for (raw, canonical) in [
            ("ann@example.com", "ann@example.com"),
            (" \tAnn.Lee+x@Example.COM ", "ann.lee+x@example.com"),
            ("ann@bücher.example", "ann@xn--bcher-kva.example"),
            ("ann@XN--BCHER-KVA.example", "ann@xn--bcher-kva.example"),
            ("ann@straße.example", "ann@xn--strae-oqa.example"),
            ("o'neil!#$%&'*/=?^_`{|}~@a.b", "o'neil!#$%&'*/=?^_`{|}~@a.b"),
        ] {
            assert_eq!(CanonicalEmail::parse(raw).unwrap().as_str(), canonical, "{raw}");
        }
    }

    #[test]
    fn what_has_no_single_meaning_is_refused() {
        use EmailRefusal as R;
        let long_local = format!("{}@example.com", "a".repeat(65));
        let long_label = format!("a@{}.com", "b".repeat(64));
        let long = format!("a@{}com", "bcdefghi.".repeat(30));
        for (raw, reason) in [
            ("", R::Empty),
            ("  ", R::Empty),
            ("ann", R::NoAt),
            ("a@b@c.com", R::SeveralAts),
            ("ann@exa mple.com", R::ForbiddenCharacter),
            ("ann\u{200b}@example.com", R::ForbiddenCharacter),
            ("ann\u{a0}@example.com", R::ForbiddenCharacter),
            ("ann@example.com\n", R::ForbiddenCharacter),
            ("a\u{0}nn@example.com", R::ForbiddenCharacter),
            ("@example.com", R::LocalPartEmpty),
            (&long_local, R::LocalPartTooLong),
            ("änn@example.com", R::LocalPartNotAscii),
            ("\u{212a}im@example.com", R::LocalPartNotAscii),
            ("\"a\"@example.com", R::LocalPartNotDotAtom),
            ("a(c)@example.com", R::LocalPartNotDotAtom),
            (".a@example.com", R::LocalPartNotDotAtom),
            ("a..b@example.com", R::LocalPartNotDotAtom),
            ("a@", R::DomainEmpty),
            ("a@[127.0.0.1]", R::DomainIsAddress),
            ("a@127.0.0.1", R::DomainIsAddress),
            ("a@1.0x7f", R::DomainIsAddress),
            ("a@localhost", R::DomainSingleLabel),
            ("a@example.com.", R::DomainTrailingDot),
            ("a@example..com", R::DomainEmptyLabel),
            ("a@example\u{3002}com", R::DomainLookAlike),
            ("a@ｅxample.com", R::DomainLookAlike),
            ("a@\u{212a}.com", R::DomainLookAlike),
            (&long_label, R::DomainLabelTooLong),
            (&long, R::TooLong),
            ("a@xn--a.com", R::DomainInvalid),
            ("a@-b.com", R::DomainInvalid),
            ("a@b_c.com", R::DomainInvalid),
        ] {
            assert_eq!(CanonicalEmail::parse(raw), Err(reason), "{raw:?}");
        }
    }

    #[test]
    fn debug_does_not_show_the_person() {
        let email = CanonicalEmail::parse("ann@example.com").unwrap();
        assert_eq!(format!("{email:?}"), "[redacted]@example.com");
    }

    proptest::proptest! {
        #[test]
        fn canonical_of_canonical_is_itself(raw in "\\PC{0,20}@\\PC{0,20}") {
            if let Ok(once) = CanonicalEmail::parse(&raw) {
                proptest::prop_assert_eq!(CanonicalEmail::parse(once.as_str()), Ok(once));
            }
        }
    }
}
