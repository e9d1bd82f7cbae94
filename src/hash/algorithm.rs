//! The digest algorithms and what is built directly on them: HMAC, PBKDF2, iterated digests.

use hmac::{Hmac, KeyInit as _, Mac as _};
use md5::Digest;

/// A digest algorithm, chosen at run time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Algorithm {
    Md4,
    Md5,
    Ripemd160,
    Sha1,
    Sha224,
    Sha256,
    Sha384,
    Sha512,
    Whirlpool,
}

/// Calls a function that is generic over the digest type.
macro_rules! with_digest {
    ($algorithm:expr, $function:ident($($argument:expr),*)) => {
        match $algorithm {
            Algorithm::Md4 => $function::<md4::Md4>($($argument),*),
            Algorithm::Md5 => $function::<md5::Md5>($($argument),*),
            Algorithm::Ripemd160 => $function::<ripemd::Ripemd160>($($argument),*),
            Algorithm::Sha1 => $function::<sha1::Sha1>($($argument),*),
            Algorithm::Sha224 => $function::<sha2::Sha224>($($argument),*),
            Algorithm::Sha256 => $function::<sha2::Sha256>($($argument),*),
            Algorithm::Sha384 => $function::<sha2::Sha384>($($argument),*),
            Algorithm::Sha512 => $function::<sha2::Sha512>($($argument),*),
            Algorithm::Whirlpool => $function::<whirlpool::Whirlpool>($($argument),*),
        }
    };
}

impl Algorithm {
    /// Reads a name such as `sha256`, `SHA-256`, `sha_256` or `HMACSHA256`'s tail.
    pub(super) fn from_name(name: &str) -> Option<Self> {
        Some(match name.to_ascii_lowercase().replace(['-', '_'], "").as_str() {
            "md4" => Self::Md4,
            "md5" => Self::Md5,
            "ripemd160" | "rmd160" => Self::Ripemd160,
            "sha" | "sha1" => Self::Sha1,
            "sha224" => Self::Sha224,
            "sha256" => Self::Sha256,
            "sha384" => Self::Sha384,
            "sha512" => Self::Sha512,
            "whirlpool" => Self::Whirlpool,
            _ => return None,
        })
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Md4 => "md4",
            Self::Md5 => "md5",
            Self::Ripemd160 => "ripemd160",
            Self::Sha1 => "sha1",
            Self::Sha224 => "sha224",
            Self::Sha256 => "sha256",
            Self::Sha384 => "sha384",
            Self::Sha512 => "sha512",
            Self::Whirlpool => "whirlpool",
        }
    }

    /// Length of a digest in bytes.
    pub(super) fn length(self) -> usize {
        match self {
            Self::Md4 | Self::Md5 => 16,
            Self::Ripemd160 | Self::Sha1 => 20,
            Self::Sha224 => 28,
            Self::Sha256 => 32,
            Self::Sha384 => 48,
            Self::Sha512 | Self::Whirlpool => 64,
        }
    }

    /// The digest of the parts one after the other.
    pub(super) fn digest(self, parts: &[&[u8]]) -> Vec<u8> {
        with_digest!(self, digest(parts))
    }

    /// Digests `start`, then `rounds` times the last digest between `before` and `after`.
    pub(super) fn chain(self, start: &[&[u8]], rounds: u64, before: &[u8], after: &[u8]) -> Vec<u8> {
        with_digest!(self, chain(start, rounds, before, after))
    }

    pub(super) fn hmac(self, key: &[u8], message: &[u8]) -> Vec<u8> {
        with_digest!(self, hmac(key, message))
    }

    /// PBKDF2 with HMAC over this digest (RFC 8018 §5.2).
    pub(super) fn pbkdf2(self, password: &[u8], salt: &[u8], iterations: u32, length: usize) -> Vec<u8> {
        let mut key = vec![0; length];
        with_digest!(self, pbkdf2_into(password, salt, iterations, &mut key));
        key
    }
}

fn digest<D: Digest>(parts: &[&[u8]]) -> Vec<u8> {
    let mut hasher = D::new();
    for part in parts {
        hasher.update(part);
    }
    hasher.finalize().to_vec()
}

fn chain<D: Digest>(start: &[&[u8]], rounds: u64, before: &[u8], after: &[u8]) -> Vec<u8> {
    let mut hasher = D::new();
    for part in start {
        hasher.update(part);
    }
    let mut last = hasher.finalize();
    for _ in 0..rounds {
        last = D::new().chain_update(before).chain_update(&last).chain_update(after).finalize();
    }
    last.to_vec()
}

fn hmac<D: hmac::EagerHash>(key: &[u8], message: &[u8]) -> Vec<u8> {
    // HMAC takes keys of any length (RFC 2104 §2), so there is no error to report.
    Hmac::<D>::new_from_slice(key)
        .map(|mac| mac.chain_update(message).finalize().into_bytes().to_vec())
        .unwrap_or_default()
}

fn pbkdf2_into<D: hmac::EagerHash>(password: &[u8], salt: &[u8], iterations: u32, key: &mut [u8]) {
    pbkdf2::pbkdf2_hmac::<D>(password, salt, iterations, key);
}

#[cfg(test)]
mod tests {
    use super::{super::encoding::to_hex, *};

    #[test]
    fn every_digest_has_its_length_and_name() {
        for algorithm in [
            Algorithm::Md4,
            Algorithm::Md5,
            Algorithm::Ripemd160,
            Algorithm::Sha1,
            Algorithm::Sha224,
            Algorithm::Sha256,
            Algorithm::Sha384,
            Algorithm::Sha512,
            Algorithm::Whirlpool,
        ] {
            assert_eq!(algorithm.digest(&[b"x"]).len(), algorithm.length());
            assert_eq!(algorithm.hmac(b"key", b"x").len(), algorithm.length());
            assert_eq!(Algorithm::from_name(algorithm.name()), Some(algorithm));
        }
    }

    #[test]
    fn ripemd_hmac_is_that_of_rfc_2286() {
        // RFC 2286 §2, test case 2.
        let mac = Algorithm::Ripemd160.hmac(b"Jefe", b"what do ya want for nothing?");
        assert_eq!(to_hex(&mac), "dda6c0213a485a9e24f4742064a7f033b43c4069");
    }
}
