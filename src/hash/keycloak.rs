//! Keycloak's credentials: `credentialData` says how, `secretData` holds salt and value.

use serde_json::{Map, Value};

use super::{
    HashError,
    algorithm::Algorithm,
    argon2::{self, Argon2Work},
    encoding::{base64, number},
    fields::Fields,
    object::Fallback,
    pbkdf2::Pbkdf2,
    recipe::Recipe,
};
use ::argon2::Version;

pub(super) fn parse(mut fields: Fields<'_>, row: Fallback<'_>) -> Result<Recipe, HashError> {
    let credential = unfold(fields.value("credentialData").ok_or(HashError::Syntax)?)?;
    let secret = fields.value("secretData").map(unfold).transpose()?.unwrap_or_default();
    fields.end()?;

    let mut secret = Fields::of(&secret, "secretData");
    let value = base64(secret.text("value")?.or(row.value).ok_or(HashError::Syntax)?)?;
    let salt = base64(secret.text("salt")?.or(row.salt).ok_or(HashError::Syntax)?)?;
    secret.value("additionalParameters");
    secret.end()?;

    let mut how = Fields::of(&credential, "credentialData");
    let iterations = how.need_number("hashIterations")?;
    let name = how.need_text("algorithm")?;
    let more = how.object("additionalParameters")?;
    how.end()?;
    let algorithm = match name {
        "pbkdf2" => Algorithm::Sha1,
        "pbkdf2-sha256" => Algorithm::Sha256,
        "pbkdf2-sha512" => Algorithm::Sha512,
        "argon2" => return argon2(more.ok_or(HashError::Syntax)?, iterations, salt, value),
        _ => return Err(HashError::Unsupported),
    };
    Ok(Recipe::new(Pbkdf2 { algorithm, iterations, salt }, value))
}

/// Both are JSON in a string in the database and in exports.
fn unfold(value: &Value) -> Result<Map<String, Value>, HashError> {
    match value {
        Value::Object(map) => Ok(map.clone()),
        Value::String(text) => serde_json::from_str(text).map_err(|_| HashError::Syntax),
        _ => Err(HashError::Syntax),
    }
}

fn argon2(mut more: Fields<'_>, passes: u64, salt: Vec<u8>, value: Vec<u8>) -> Result<Recipe, HashError> {
    let mut count = |key: &'static str| -> Result<u64, HashError> {
        number(more.listed_text(key)?.ok_or(HashError::Syntax)?)
    };
    let (memory_kib, lanes, length) = (count("memory")?, count("parallelism")?, count("hashLength")?);
    let algorithm = argon2::algorithm(more.listed_text("type")?.ok_or(HashError::Syntax)?)?;
    let version = match more.listed_text("version")? {
        Some("1.3") => Version::V0x13,
        Some("1.0") => Version::V0x10,
        Some(_) => return Err(HashError::Unsupported),
        None => return Err(HashError::Syntax),
    };
    more.end()?;
    if usize::try_from(length) != Ok(value.len()) {
        return Err(HashError::Syntax);
    }
    Ok(Recipe::new(
        Argon2Work { algorithm, version, memory_kib, passes, lanes, salt, data: Vec::new() },
        value,
    ))
}
