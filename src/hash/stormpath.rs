//! Stormpath's two formats, and Apache Shiro's, which the second one is.

use super::{
    HashError,
    algorithm::Algorithm,
    digest::{Digested, Keyed, digested, keyed},
    encoding::{base64, number},
    recipe::Recipe,
};

/// `$stormpath1$salt$hash`: one HMAC-SHA256 of the password, keyed with the salt.
pub(super) fn first(text: &str) -> Result<Recipe, HashError> {
    let [salt, mac] = super::parts(text.strip_prefix("$stormpath1$").ok_or(HashError::Syntax)?)?;
    keyed(Keyed { algorithm: Algorithm::Sha256, key: base64(salt)? }, base64(mac)?)
}

/// `$stormpath2$SHA-512$iterations$salt$hash`: the salt, which may be empty, only goes into the first round.
pub(super) fn second(text: &str) -> Result<Recipe, HashError> {
    iterated(text.strip_prefix("$stormpath2$").ok_or(HashError::Syntax)?)
}

/// `$shiro1$SHA-256$500000$salt$hash`.
pub(super) fn shiro(text: &str) -> Result<Recipe, HashError> {
    iterated(text.strip_prefix("$shiro1$").ok_or(HashError::Syntax)?)
}

fn iterated(text: &str) -> Result<Recipe, HashError> {
    let [name, iterations, salt, digest] = super::parts(text)?;
    let algorithm = match name {
        "MD5" => Algorithm::Md5,
        "SHA-1" => Algorithm::Sha1,
        "SHA-256" => Algorithm::Sha256,
        "SHA-384" => Algorithm::Sha384,
        "SHA-512" => Algorithm::Sha512,
        _ => return Err(HashError::Unsupported),
    };
    let work =
        Digested { algorithm, before: base64(salt)?, after: Vec::new(), iterations: number(iterations)? };
    digested(work, base64(digest)?)
}
