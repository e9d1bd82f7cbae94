//! How often a sign-in may be tried (SEC-41): the port, and the names that counts go by.
//!
//! A try is asked for before anybody is asked about its password and counts as a failure from then on, so that many
//! at once get no further than one after the other. What came of it is told afterwards, and may take that back.
//! `count` decides, purely; a store keeps the counts.

mod count;

use std::{net::IpAddr, time::Duration};

use async_trait::async_trait;
use aws_lc_rs::hmac;
use serde::{Deserialize, Serialize};
use unicode_normalization::{UnicodeNormalization as _, char::is_combining_mark};

pub(crate) use self::count::{Allowance, Budget, Count, Failures, Spent, Tally};

use crate::{
    config::Guessing,
    identity::{LoginName, PersonKey, Secret},
};

/// Whose count it is: the first half of a keyed hash, never a name or an address.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub(crate) struct CountKey(u128);

impl CountKey {
    /// The key of two together: an account on one device. Both are as good as random, and so is their sum.
    #[must_use]
    pub(crate) fn with(self, other: Self) -> Self {
        Self(self.0 ^ other.0)
    }
}

impl std::fmt::Debug for CountKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// A number that is no other's.
impl From<CountKey> for u128 {
    fn from(key: CountKey) -> Self {
        key.0
    }
}

impl From<CountKey> for String {
    fn from(key: CountKey) -> Self {
        format!("{key:?}")
    }
}

impl TryFrom<String> for CountKey {
    type Error = std::num::ParseIntError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        u128::from_str_radix(&text, 16).map(Self)
    }
}

/// Makes the keys of counts; the same on every replica.
#[derive(Clone)]
pub(crate) struct CountKeys(hmac::Key);

impl CountKeys {
    /// From the secret that also names people in logs; no key of a count is ever such a name.
    pub(crate) fn new(secret: &Secret) -> Self {
        let master = hmac::Key::new(hmac::HMAC_SHA256, secret.expose().as_bytes());
        let derived = hmac::sign(&master, b"crossfade\0counts of tries 1");
        Self(hmac::Key::new(hmac::HMAC_SHA256, derived.as_ref()))
    }

    /// What was typed, to the letter. Failures of names that look alike are counted together, but a success is that
    /// of one of them: its owner may have chosen it to look like another's.
    pub(crate) fn spelled(&self, name: &LoginName) -> CountKey {
        self.of(b"spelled\0", name.canonical().as_bytes())
    }

    /// What was typed, without all that an application may overlook.
    pub(crate) fn typed(&self, name: &LoginName) -> CountKey {
        self.of(b"typed\0", fold(name.canonical()).as_bytes())
    }

    /// A person: all names that lead to their row.
    pub(crate) fn person(&self, key: &PersonKey) -> CountKey {
        self.of(b"person\0", key.to_string().as_bytes())
    }

    /// A browser that is known.
    pub(crate) fn device(&self, id: &str) -> CountKey {
        self.of(b"device\0", id.as_bytes())
    }

    /// An IPv4 address, or the /64 that an IPv6 address stands in: whoever has one has all of it.
    pub(crate) fn address(&self, address: IpAddr) -> CountKey {
        match address.to_canonical() {
            IpAddr::V4(address) => self.of(b"v4\0", &address.octets()),
            IpAddr::V6(address) => self.of(b"v6\0", address.octets().get(..8).unwrap_or_default()),
        }
    }

    /// The account of an address's tries that name nobody who could be read.
    pub(crate) fn nameless(&self, address: IpAddr) -> CountKey {
        self.of(b"nameless\0", b"").with(self.address(address))
    }

    fn of(&self, kind: &[u8], what: &[u8]) -> CountKey {
        let tag = hmac::sign(&self.0, &[kind, what].concat());
        CountKey(tag.as_ref().iter().take(16).fold(0, |key, byte| (key << 8) | u128::from(*byte)))
    }
}

/// A name without case, accents, widths and blanks. Whoever compares more strictly loses nothing by a shared count; if a
/// database's collation takes `VÍCTIM` for `victim`, each spelling would otherwise be a fresh start for a guesser.
fn fold(name: &str) -> String {
    let plain = name.nfkd().filter(|letter| !is_combining_mark(*letter)).flat_map(char::to_lowercase);
    let folded: String =
        plain.filter(|letter| letter.is_alphanumeric() || letter.is_ascii_graphic()).collect();
    if folded.is_empty() { name.to_owned() } else { folded }
}

impl std::fmt::Debug for CountKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[redacted]")
    }
}

/// One try, as far as counting goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Guess {
    /// Of the typed name and, once known, of the person. None for a request that tries no account.
    pub(crate) accounts: Vec<CountKey>,
    /// A browser that is known for one of the accounts: nobody else's failures keep it out.
    pub(crate) device: Option<CountKey>,
    pub(crate) address: CountKey,
    /// The name as it is spelled, and the address: a success clears what failed by the same two and nothing else.
    pub(crate) pair: CountKey,
    /// What may reach the legacy side, where that locks accounts.
    pub(crate) lockout: Option<Budget>,
}

/// A granted try, to be settled. Settling twice changes nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ticket {
    pub(crate) guess: Guess,
    /// Unlike that of any other try.
    pub(crate) id: u64,
}

/// Which limit refused a try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Limit {
    Process,
    Address,
    /// The stricter limit per address while stolen passwords are being tried.
    Storm,
    Account,
    /// One more failure could lock the account at the legacy side.
    Lockout,
}

impl Limit {
    /// The class in logs and metrics.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Process => "process",
            Self::Address => "address",
            Self::Storm => "storm",
            Self::Account => "account",
            Self::Lockout => "lockout",
        }
    }
}

/// A try that may not be made now.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limited {
    pub(crate) by: Limit,
    /// The soonest that it makes sense to try again.
    pub(crate) wait: Duration,
}

/// What came of a granted try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tried {
    /// The password is right.
    Right,
    /// It is not, or nobody says that it is.
    Wrong,
    /// It may have reached the legacy side, and no answer came: the legacy side may have counted a failure.
    Unanswered,
    /// Nobody was asked about the password, or nobody counts a failure for it.
    Unasked,
}

/// What a settled try changed, for the record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Settled {
    /// From now on the account, or the account on this device, has to wait.
    pub(crate) locked_out: bool,
    /// A storm began or ended.
    pub(crate) storm: Option<bool>,
}

/// Counts tries. A store that shares its counts between replicas counts by itself while it cannot be asked, so that
/// there is no error here: the limits hold in any case.
#[async_trait]
pub(crate) trait TryCounter: Send + Sync {
    /// Grants a try, or says which limit refuses it and for how long.
    async fn ask(&self, guess: Guess, rules: &Guessing) -> Result<Ticket, Limited>;

    /// Takes down what came of a granted try.
    async fn settle(&self, ticket: &Ticket, tried: Tried, rules: &Guessing) -> Settled;

    /// Forgets, at every process, what strangers failed at these accounts and what reached the legacy side of it. Twice
    /// is as good as once.
    async fn forget(&self, accounts: &[CountKey]) -> Result<(), NotForgotten>;
}

/// Counts that are shared cannot be asked, and go on as they were.
#[derive(Debug, thiserror::Error)]
#[error("the shared counts cannot be changed")]
pub(crate) struct NotForgotten(#[source] pub(crate) Box<dyn std::error::Error + Send + Sync>);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::{LegacyId, SourceName};

    #[test]
    fn keys_are_of_one_kind_and_know_no_spelling() {
        let keys = CountKeys::new(&Secret::new("k".repeat(32)));
        let name = |text: &str| LoginName::parse(text).unwrap();
        assert_eq!(keys.typed(&name("Ann@Example.com")), keys.typed(&name(" ann@EXAMPLE.com")));
        let key = PersonKey { source: SourceName::parse("crm").unwrap(), id: LegacyId::parse("7").unwrap() };
        assert_ne!(keys.typed(&name("crm:7")), keys.person(&key));
        assert_ne!(keys.typed(&name("crm:7")), keys.device("crm:7"));
        let other = CountKeys::new(&Secret::new("l".repeat(32)));
        assert_ne!(keys.typed(&name("ann")), other.typed(&name("ann")));
    }

    #[test]
    fn spellings_that_somebody_may_take_for_one_share_a_count() {
        for (one, other, same) in [
            ("Ann", "aNN", true),
            ("victim", "VÍCTIM", true),
            ("victim", "\u{ff56}i\u{0301}cti\u{200b}m\u{a0}", true),
            ("ann smith", "ann  smith", true),
            ("ann@example.com", "ANN@example.com", true),
            ("ann@example.com", "ánn@example.com", true),
            ("ann", "anna", false),
            ("ann+1@example.com", "ann@example.com", false),
            ("李", "王", false),
            ("\u{1f600}", "\u{1f601}", false),
        ] {
            assert_eq!(fold(one) == fold(other), same, "{one} {other}");
        }
    }

    #[test]
    fn an_address_is_a_v4_address_or_a_v6_network() {
        let keys = CountKeys::new(&Secret::new("k".repeat(32)));
        let key = |text: &str| keys.address(text.parse().unwrap());
        assert_eq!(key("192.0.2.1"), key("::ffff:192.0.2.1"));
        assert_ne!(key("192.0.2.1"), key("192.0.2.2"));
        assert_eq!(key("2001:db8:1:2::3"), key("2001:db8:1:2:ffff::9"));
        assert_ne!(key("2001:db8:1:2::3"), key("2001:db8:1:3::3"));
    }
}
