//! Okta's importable hash object.

use super::{
    HashError,
    algorithm::Algorithm,
    bcrypt,
    digest::{Digested, SaltPosition, digested},
    encoding::base64,
    fields::Fields,
    object::Fallback,
    pbkdf2::Pbkdf2,
    recipe::Recipe,
};

pub(super) fn parse(mut fields: Fields<'_>, row: Fallback<'_>) -> Result<Recipe, HashError> {
    let algorithm = fields.need_text("algorithm")?;
    let value = fields.text("value")?.or(row.value).ok_or(HashError::Syntax)?;
    let salt = fields.text("salt")?.or(row.salt);
    let recipe = match algorithm {
        "BCRYPT" => {
            let cost = fields.need_number("workFactor")?;
            bcrypt::from_parts(cost, salt.ok_or(HashError::Syntax)?, value, false)?
        }
        "PBKDF2" => {
            let algorithm = match fields.need_text("digestAlgorithm")? {
                "SHA256_HMAC" => Algorithm::Sha256,
                "SHA512_HMAC" => Algorithm::Sha512,
                _ => return Err(HashError::Unsupported),
            };
            let (iterations, size) = (fields.need_number("iterationCount")?, fields.number("keySize")?);
            let key = base64(value)?;
            if size.is_some_and(|size| usize::try_from(size) != Ok(key.len())) {
                return Err(HashError::Syntax);
            }
            let salt = base64(salt.ok_or(HashError::Syntax)?)?;
            Recipe::new(Pbkdf2 { algorithm, iterations, salt }, key)
        }
        "SHA-512" | "SHA-256" | "SHA-1" | "MD5" => {
            let algorithm = Algorithm::from_name(algorithm).ok_or(HashError::Unsupported)?;
            let position = fields.choice("saltOrder", SaltPosition::from_name)?;
            let (before, after) = match (salt, position) {
                (None, None) => (Vec::new(), Vec::new()),
                (Some(salt), Some(position)) => position.around(base64(salt)?),
                // A salt nobody knows the place of, or a place without its salt.
                _ => return Err(HashError::Syntax),
            };
            digested(Digested { algorithm, before, after, iterations: 1 }, base64(value)?)?
        }
        _ => return Err(HashError::Unsupported),
    };
    fields.end()?;
    Ok(recipe)
}
