//! Spring Security's delegating encoder: `{id}value`. Ids are exact, unlike LDAP's schemes.

use super::{
    HashError,
    algorithm::Algorithm,
    argon2, bcrypt,
    digest::{Digested, digested},
    encoding::{base64, hex},
    ldap,
    pbkdf2::Pbkdf2,
    recipe::Recipe,
    scrypt::Scrypt,
};

/// `secret` is the application's own, which its encoders add to each salt; mostly there is none.
pub(super) fn parse(text: &str, secret: &str) -> Result<Recipe, HashError> {
    let (id, value) =
        text.strip_prefix('{').and_then(|rest| rest.split_once('}')).ok_or(HashError::Syntax)?;
    match id {
        "bcrypt" => bcrypt::parse(value),
        "argon2" | "argon2@SpringSecurity_v5_2" | "argon2@SpringSecurity_v5_8" => argon2::parse(value),
        "scrypt" | "scrypt@SpringSecurity_v4_1" | "scrypt@SpringSecurity_v5_8" => scrypt(value),
        "pbkdf2" | "pbkdf2@SpringSecurity_v5_5" => pbkdf2(value, secret, 8, Algorithm::Sha1, 185_000),
        "pbkdf2@SpringSecurity_v5_8" => pbkdf2(value, secret, 16, Algorithm::Sha256, 310_000),
        "sha256" => standard(value, secret),
        "MD4" => message_digest(value, Algorithm::Md4),
        "MD5" => message_digest(value, Algorithm::Md5),
        "SHA-1" => message_digest(value, Algorithm::Sha1),
        "SHA-256" => message_digest(value, Algorithm::Sha256),
        "ldap" => ldap::parse(value),
        // `noop` is plain text, and never taken.
        _ => Err(HashError::Unsupported),
    }
}

/// Salt and key in one hexadecimal text; keys are 256 bits whatever the digest.
fn pbkdf2(
    value: &str,
    secret: &str,
    salt_length: usize,
    algorithm: Algorithm,
    iterations: u64,
) -> Result<Recipe, HashError> {
    let bytes = hex(value)?;
    match bytes.split_at_checked(salt_length) {
        Some((salt, key)) if key.len() == 32 => {
            let salt = [salt, secret.as_bytes()].concat();
            Ok(Recipe::new(Pbkdf2 { algorithm, iterations, salt }, key.to_vec()))
        }
        _ => Err(HashError::Syntax),
    }
}

/// `$e0801$salt$key`: log2 N, r and p in one hexadecimal number.
fn scrypt(value: &str) -> Result<Recipe, HashError> {
    let [params, salt, key] = super::parts(value.strip_prefix('$').ok_or(HashError::Syntax)?)?;
    let params = u32::from_str_radix(params, 16).map_err(|_| HashError::Syntax)?;
    let (r, p) = (u64::from(params >> 8 & 0xff), u64::from(params & 0xff));
    Ok(Recipe::new(Scrypt { n_log2: params >> 16, r, p, salt: base64(salt)? }, base64(key)?))
}

/// The old standard encoder: 8 bytes of salt, then SHA-256 over salt, secret and password, 1024 times.
fn standard(value: &str, secret: &str) -> Result<Recipe, HashError> {
    let bytes = hex(value)?;
    let (salt, digest) = bytes.split_at_checked(8).ok_or(HashError::Syntax)?;
    let before = [salt, secret.as_bytes()].concat();
    let work = Digested { algorithm: Algorithm::Sha256, before, after: Vec::new(), iterations: 1024 };
    digested(work, digest.to_vec())
}

/// `{salt}hex` or bare hex: the digest of password and salt, braces included.
fn message_digest(value: &str, algorithm: Algorithm) -> Result<Recipe, HashError> {
    let end = value.rfind('}').map_or(0, |end| end + 1);
    let (salt, digest) = value.split_at_checked(end).ok_or(HashError::Syntax)?;
    if end != 0 && !salt.starts_with('{') {
        return Err(HashError::Syntax);
    }
    let after = salt.as_bytes().to_vec();
    digested(Digested { algorithm, before: Vec::new(), after, iterations: 1 }, hex(digest)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config::HashCeilings,
        hash::{Judgement, encoding::to_hex, recipe::Arena},
    };

    fn judge(text: &str, secret: &str, password: &str) -> Result<Judgement, HashError> {
        parse(text, secret)?.judge(password.as_bytes(), &HashCeilings::default(), &mut Arena::default())
    }

    #[test]
    fn the_secret_is_part_of_the_salt() {
        let key = Algorithm::Sha1.pbkdf2(b"pw", b"saltsaltsecret", 185_000, 32);
        let text = format!("{{pbkdf2}}{}{}", to_hex(b"saltsalt"), to_hex(&key));
        assert_eq!(judge(&text, "secret", "pw"), Ok(Judgement::Match));
        assert_eq!(judge(&text, "other", "pw"), Ok(Judgement::NoMatch));
    }

    #[test]
    fn message_digests_keep_the_braces_of_the_salt() {
        let text = format!("{{SHA-1}}{{abc}}{}", to_hex(&Algorithm::Sha1.digest(&[b"pw{abc}"])));
        assert_eq!(judge(&text, "", "pw"), Ok(Judgement::Match));
        let bare = format!("{{MD5}}{}", to_hex(&Algorithm::Md5.digest(&[b"pw"])));
        assert_eq!(judge(&bare, "", "pw"), Ok(Judgement::Match));
    }

    #[test]
    fn plain_text_is_never_taken() {
        assert_eq!(judge("{noop}pw", "", "pw"), Err(HashError::Unsupported));
    }
}
