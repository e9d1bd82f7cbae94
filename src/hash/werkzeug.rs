//! Werkzeug, Flask's password helper: `method:parameters$salt$hex`. The salt is its own text.

use super::{
    HashError,
    algorithm::Algorithm,
    encoding::{hex, number},
    pbkdf2::{self, Pbkdf2},
    recipe::Recipe,
    scrypt::{Scrypt, log2_of},
};

pub(super) fn parse(text: &str) -> Result<Recipe, HashError> {
    let [method, salt, key] = super::parts(text)?;
    let salt = salt.as_bytes().to_vec();
    let fields: Vec<&str> = method.split(':').collect();
    match fields.as_slice() {
        ["pbkdf2", name, iterations] => {
            let algorithm = Algorithm::from_name(name).ok_or(HashError::Unsupported)?;
            pbkdf2::with_digest_length(Pbkdf2 { algorithm, iterations: number(iterations)?, salt }, hex(key)?)
        }
        ["scrypt", n, r, p] => {
            let key = hex(key)?;
            if key.len() != 64 {
                return Err(HashError::Syntax);
            }
            Ok(Recipe::new(Scrypt { n_log2: log2_of(number(n)?)?, r: number(r)?, p: number(p)?, salt }, key))
        }
        ["pbkdf2" | "scrypt", ..] => Err(HashError::Syntax),
        _ => Err(HashError::Unsupported),
    }
}
