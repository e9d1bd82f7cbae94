//! LDAP user passwords: `{SCHEME}value` (RFC 2307 and `OpenLDAP`'s modules).

use super::{
    HashError,
    algorithm::Algorithm,
    argon2, bcrypt,
    digest::{Digested, digested},
    encoding::base64,
    md5_crypt, pbkdf2,
    recipe::Recipe,
    sha_crypt, yescrypt,
};

/// A scheme's meaning; names are case-insensitive.
#[derive(Clone, Copy)]
enum Scheme {
    Plain(Algorithm),
    Salted(Algorithm),
    Crypt,
    Pbkdf2(Algorithm),
    Argon2,
    /// The password itself. Never taken: a store of plain text is no proof that we want to depend on.
    Cleartext,
}

fn scheme(name: &str) -> Option<Scheme> {
    Some(match name.to_ascii_uppercase().as_str() {
        "MD5" => Scheme::Plain(Algorithm::Md5),
        "SHA" => Scheme::Plain(Algorithm::Sha1),
        "SHA256" => Scheme::Plain(Algorithm::Sha256),
        "SHA384" => Scheme::Plain(Algorithm::Sha384),
        "SHA512" => Scheme::Plain(Algorithm::Sha512),
        "SMD5" => Scheme::Salted(Algorithm::Md5),
        "SSHA" => Scheme::Salted(Algorithm::Sha1),
        "SSHA256" => Scheme::Salted(Algorithm::Sha256),
        "SSHA384" => Scheme::Salted(Algorithm::Sha384),
        "SSHA512" => Scheme::Salted(Algorithm::Sha512),
        "CRYPT" => Scheme::Crypt,
        "PBKDF2" | "PBKDF2-SHA1" => Scheme::Pbkdf2(Algorithm::Sha1),
        "PBKDF2-SHA256" => Scheme::Pbkdf2(Algorithm::Sha256),
        "PBKDF2-SHA512" => Scheme::Pbkdf2(Algorithm::Sha512),
        "ARGON2" => Scheme::Argon2,
        "CLEARTEXT" => Scheme::Cleartext,
        _ => return None,
    })
}

/// The scheme's name and the value behind it.
fn split(text: &str) -> Result<(&str, &str), HashError> {
    match text.strip_prefix('{') {
        // No scheme: the password itself.
        None if text.is_empty() => Err(HashError::Syntax),
        None => Err(HashError::Unsupported),
        Some(rest) => rest.split_once('}').ok_or(HashError::Syntax),
    }
}

pub(super) fn has_known_scheme(text: &str) -> bool {
    text.starts_with('{') && split(text).is_ok_and(|(name, _)| scheme(name).is_some())
}

pub(super) fn parse(text: &str) -> Result<Recipe, HashError> {
    let (name, value) = split(text)?;
    match scheme(name).ok_or(HashError::Unsupported)? {
        Scheme::Plain(algorithm) => plain(algorithm, &base64(value)?, Salt::Refused),
        Scheme::Salted(algorithm) => plain(algorithm, &base64(value)?, Salt::Taken),
        Scheme::Crypt => crypt(value),
        Scheme::Pbkdf2(algorithm) => {
            let [rounds, salt, key] = super::parts(value)?;
            pbkdf2::adapted(algorithm, rounds, salt, key)
        }
        Scheme::Argon2 => argon2::parse(value),
        Scheme::Cleartext => Err(HashError::Unsupported),
    }
}

/// The same without `{CRYPT}`, which Auth0 does not import.
pub(super) fn parse_without_crypt(text: &str) -> Result<Recipe, HashError> {
    match scheme(split(text)?.0) {
        Some(Scheme::Plain(_) | Scheme::Salted(_)) => parse(text),
        _ => Err(HashError::Unsupported),
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Salt {
    Refused,
    Taken,
}

/// Digest, then salt: all bytes after the digest.
fn plain(algorithm: Algorithm, bytes: &[u8], salt: Salt) -> Result<Recipe, HashError> {
    let (digest, after) = bytes.split_at_checked(algorithm.length()).ok_or(HashError::Syntax)?;
    if salt == Salt::Refused && !after.is_empty() {
        return Err(HashError::Syntax);
    }
    let work = Digested { algorithm, before: Vec::new(), after: after.to_vec(), iterations: 1 };
    digested(work, digest.to_vec())
}

/// Whatever the system's `crypt(3)` wrote.
fn crypt(text: &str) -> Result<Recipe, HashError> {
    if text.starts_with(['!', '*']) {
        return Err(HashError::Unusable);
    }
    match super::identify(text) {
        Some("bcrypt") => bcrypt::parse(text),
        Some("sha-crypt") => sha_crypt::parse(text),
        Some("md5crypt") => md5_crypt::parse(text),
        Some("yescrypt") => yescrypt::parse(text),
        Some("scrypt-crypt7") => super::scrypt::crypt7(text),
        // DES crypt among them, which is taken only where it is named (`descrypt`).
        _ => Err(HashError::Unsupported),
    }
}
