//! Auth0's `custom_password_hash`.

use super::{
    HashError,
    algorithm::Algorithm,
    argon2, bcrypt,
    digest::{ByteEncoding, Digested, Keyed, SaltPosition, digested, keyed},
    fields::Fields,
    ldap,
    object::Fallback,
    pbkdf2,
    recipe::{PasswordEncoding, Recipe, Step},
    scrypt::{Scrypt, log2_of},
};

/// The salt with its place.
struct Salt {
    bytes: Vec<u8>,
    position: SaltPosition,
}

pub(super) fn parse(mut fields: Fields<'_>, row: Fallback<'_>) -> Result<Recipe, HashError> {
    let algorithm = fields.need_text("algorithm")?;
    let mut hash = fields.object("hash")?;
    let (value, encoding) = match &mut hash {
        Some(hash) => (hash.text("value")?.or(row.value), hash.choice("encoding", ByteEncoding::from_name)?),
        None => (row.value, None),
    };
    let value = value.ok_or(HashError::Syntax)?;
    let salt = salt(&mut fields, row)?;
    let recipe = match algorithm {
        "argon2" | "pbkdf2" | "bcrypt" | "ldap" => {
            // The salt is inside the text.
            if salt.is_some() || encoding.is_some_and(|encoding| encoding != ByteEncoding::Utf8) {
                return Err(HashError::Syntax);
            }
            whole_text(algorithm, value)?
        }
        "hmac" => {
            let hash = hash.as_mut().ok_or(HashError::Syntax)?;
            let algorithm = hash.need_choice("digest", Algorithm::from_name)?;
            let mut key = hash.need_object("key")?;
            let key_encoding = key.choice("encoding", ByteEncoding::from_name)?.unwrap_or(ByteEncoding::Utf8);
            let bytes = key_encoding.read(key.need_text("value")?)?;
            key.end()?;
            if salt.is_some() {
                return Err(HashError::Syntax);
            }
            keyed(Keyed { algorithm, key: bytes }, binary(value, encoding)?)?
        }
        "scrypt" => {
            let n_log2 = log2_of(fields.need_number("cost")?)?;
            let (r, p) = (fields.need_number("blockSize")?, fields.need_number("parallelization")?);
            let key = binary(value, encoding)?;
            if usize::try_from(fields.need_number("keylen")?) != Ok(key.len()) {
                return Err(HashError::Syntax);
            }
            let salt = salt.ok_or(HashError::Syntax)?.bytes;
            Recipe::new(Scrypt { n_log2, r, p, salt }, key)
        }
        "md4" | "md5" | "sha1" | "sha256" | "sha512" => {
            let algorithm = Algorithm::from_name(algorithm).ok_or(HashError::Unsupported)?;
            let (before, after) = salt.map(|salt| salt.position.around(salt.bytes)).unwrap_or_default();
            digested(Digested { algorithm, before, after, iterations: 1 }, binary(value, encoding)?)?
        }
        _ => return Err(HashError::Unsupported),
    };
    let password = match fields.object("password")? {
        None => None,
        Some(mut password) => {
            let encoding = password.choice("encoding", PasswordEncoding::from_name)?;
            password.end()?;
            encoding
        }
    };
    if let Some(hash) = hash {
        hash.end()?;
    }
    fields.end()?;
    Ok(recipe.after(Step::Encode(password.unwrap_or(PasswordEncoding::Utf8))))
}

fn salt(fields: &mut Fields<'_>, row: Fallback<'_>) -> Result<Option<Salt>, HashError> {
    let Some(mut salt) = fields.object("salt")? else {
        let bytes = row.salt.map(|salt| salt.as_bytes().to_vec());
        return Ok(bytes.map(|bytes| Salt { bytes, position: SaltPosition::Prefix }));
    };
    let encoding = salt.choice("encoding", ByteEncoding::from_name)?.unwrap_or(ByteEncoding::Utf8);
    let position = salt.choice("position", SaltPosition::from_name)?.unwrap_or(SaltPosition::Prefix);
    let value = salt.text("value")?.or(row.salt).ok_or(HashError::Syntax)?;
    salt.end()?;
    Ok(Some(Salt { bytes: encoding.read(value)?, position }))
}

/// A digest: hexadecimal or base64, never text.
fn binary(value: &str, encoding: Option<ByteEncoding>) -> Result<Vec<u8>, HashError> {
    match encoding {
        Some(encoding @ (ByteEncoding::Hex | ByteEncoding::Base64)) => encoding.read(value),
        Some(ByteEncoding::Utf8) | None => Err(HashError::Syntax),
    }
}

/// Algorithms whose value is a self-contained text.
fn whole_text(algorithm: &str, value: &str) -> Result<Recipe, HashError> {
    match algorithm {
        "argon2" => argon2::parse(value),
        "pbkdf2" => pbkdf2::phc_auth0(value),
        "bcrypt" if value.starts_with("$2a$") || value.starts_with("$2b$") => bcrypt::parse(value),
        "ldap" => ldap::parse_without_crypt(value),
        _ => Err(HashError::Unsupported),
    }
}
