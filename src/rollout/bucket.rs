//! The bucket of a person: which hundredth of a percent they fall into, for good.

use aws_lc_rs::hmac;
use serde::{Deserialize, Serialize};

use super::BasisPoints;
use crate::identity::{LoginName, hex};

/// One of 10,000 equal shares of people. Computed once, kept in the ledger row; a stored bucket always wins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Bucket(u16);

impl Bucket {
    /// Whether a dial at this value reaches the bucket. Growing the value only ever adds buckets.
    pub(crate) const fn is_within(self, points: BasisPoints) -> bool {
        self.0 < points.get()
    }

    /// Stands in counts for people born new, who are in the new lane whatever the percentage is: no dial reaches it.
    pub(crate) const BORN_NEW: Self = Self(10_000);

    /// Its number, below 10,000 for a person's.
    pub(crate) const fn get(self) -> u16 {
        self.0
    }

    #[cfg(test)]
    pub(crate) const fn test(number: u16) -> Self {
        Self(number)
    }
}

/// The key of the bucket function. Changing it reshuffles everybody, so start-up refuses that (design, step 3).
#[derive(Clone)]
pub(crate) struct BucketSalt(hmac::Key);

impl BucketSalt {
    pub(crate) fn new(salt: &[u8]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, salt))
    }

    /// `HMAC-SHA256(salt, canonical typed identifier)`, its first 8 bytes as a big-endian number, mod 10,000
    /// (REL-09). The modulo bias of 2^64 is below 10^-15.
    pub(crate) fn bucket(&self, name: &LoginName) -> Bucket {
        let tag = hmac::sign(&self.0, name.canonical().as_bytes());
        let number = tag.as_ref().iter().take(8).fold(0_u64, |n, byte| (n << 8) | u64::from(*byte));
        Bucket(u16::try_from(number % 10_000).unwrap_or_default())
    }

    /// What the ledger keeps to notice a changed salt: a hash that does not give the salt away.
    pub(crate) fn fingerprint(&self) -> String {
        let tag = hmac::sign(&self.0, b"crossfade: fingerprint of the bucket salt");
        hex(tag.as_ref().get(..16).unwrap_or_default())
    }
}

impl std::fmt::Debug for BucketSalt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[redacted]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> LoginName {
        LoginName::parse(text).unwrap()
    }

    #[test]
    fn spellings_of_one_address_share_a_bucket() {
        let salt = BucketSalt::new(b"0123456789abcdef0123456789abcdef");
        assert_eq!(salt.bucket(&name("Ann@Example.com")), salt.bucket(&name(" ann@example.COM")));
        assert_ne!(salt.bucket(&name("Ann")), salt.bucket(&name("ann")));
    }

    #[test]
    fn buckets_are_spread_evenly() {
        let salt = BucketSalt::new(b"0123456789abcdef0123456789abcdef");
        let quarter = BasisPoints::new(2500).unwrap();
        let within =
            (0..20_000).filter(|n| salt.bucket(&name(&format!("p{n}@example.com"))).is_within(quarter));
        let share = within.count();
        // Four standard deviations of a binomial (n = 20,000, p = 1/4) are 245 people.
        assert!((4755..=5245).contains(&share), "{share}");
    }
}
