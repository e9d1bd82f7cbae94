//! Gigya (SAP Customer Data Cloud): settings per person.
//!
//! Only what is documented well enough to be right: `sha1_hashbytes`, `md5_double_salted`, `sha512Hexa`, `symphony2`
//! and `custom` (which calls a URL) are refused as unsupported.

use super::{
    HashError,
    algorithm::Algorithm,
    bcrypt,
    digest::{Digested, digested},
    encoding::base64,
    fields::Fields,
    md5_crypt,
    object::Fallback,
    pbkdf2::Pbkdf2,
    phpass,
    recipe::Recipe,
};

/// Rounds of Gigya's own accounts.
const NATIVE_ROUNDS: u64 = 3000;

pub(super) fn parse(mut fields: Fields<'_>, row: Fallback<'_>) -> Result<Recipe, HashError> {
    // Exports say `hash`, imports `hashedPassword`.
    let value = match (fields.text("hashedPassword")?, fields.text("hash")?) {
        (Some(_), Some(_)) => return Err(HashError::Syntax),
        (Some(value), None) | (None, Some(value)) => value,
        (None, None) => row.value.ok_or(HashError::Syntax)?,
    };
    let mut settings = fields.need_object("hashSettings")?;
    fields.end()?;
    let algorithm = settings.need_text("algorithm")?;
    let salt = settings.text("salt")?.or(row.salt).unwrap_or_default();
    let rounds = settings.number("rounds")?;
    let format = settings.text("format")?;
    settings.end()?;
    match algorithm {
        "bcrypt" => bcrypt::parse(value),
        "md5_crypt" => md5_crypt::parse(value),
        "drupal" => phpass::drupal7(value),
        "pbkdf2" | "pbkdf2_sha256" => {
            let algorithm = if algorithm == "pbkdf2" { Algorithm::Sha1 } else { Algorithm::Sha256 };
            let work = Pbkdf2 { algorithm, iterations: rounds.unwrap_or(NATIVE_ROUNDS), salt: base64(salt)? };
            Ok(Recipe::new(work, base64(value)?))
        }
        "md5" | "sha1" | "sha256" | "sha512" => {
            // Nothing says what more rounds would go over.
            if rounds.is_some_and(|rounds| rounds != 1) {
                return Err(HashError::Unsupported);
            }
            let algorithm = Algorithm::from_name(algorithm).ok_or(HashError::Unsupported)?;
            let (before, after) = around(format, salt)?;
            digested(Digested { algorithm, before, after, iterations: 1 }, base64(value)?)
        }
        _ => Err(HashError::Unsupported),
    }
}

/// What stands before and after the password in a template such as `$password$salt`.
fn around(format: Option<&str>, salt: &str) -> Result<(Vec<u8>, Vec<u8>), HashError> {
    let format = match format {
        Some(format) => format,
        None if salt.is_empty() => "$password",
        // A salt nobody knows the place of.
        None => return Err(HashError::Syntax),
    };
    let (before, after) = format.split_once("$password").ok_or(HashError::Syntax)?;
    if after.contains("$password") || (salt.is_empty() && format.contains("$salt")) {
        return Err(HashError::Syntax);
    }
    let fill = |part: &str| part.replace("$salt", salt).into_bytes();
    Ok((fill(before), fill(after)))
}
