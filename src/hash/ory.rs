//! Ory Kratos' import prefixes.

use super::{
    HashError,
    algorithm::Algorithm,
    digest::{Digested, Keyed, digested, keyed},
    encoding::{base64, hex},
    md5_crypt,
    recipe::Recipe,
    sha_crypt,
};

pub(super) fn parse(text: &str) -> Result<Recipe, HashError> {
    let (name, rest) =
        text.strip_prefix('$').and_then(|rest| rest.split_once('$')).ok_or(HashError::Syntax)?;
    match name {
        "md5-crypt" => md5_crypt::parse(&format!("$1${rest}")),
        "sha256-crypt" => sha_crypt::parse(&format!("$5${rest}")),
        "sha512-crypt" => sha_crypt::parse(&format!("$6${rest}")),
        "md5" | "sha1" | "sha256" | "sha512" => {
            let algorithm = Algorithm::from_name(name).ok_or(HashError::Unsupported)?;
            template(algorithm, rest)
        }
        _ => match name.strip_prefix("hmac-").map(Algorithm::from_name) {
            Some(Some(algorithm)) => mac(algorithm, rest),
            _ => Err(HashError::Unsupported),
        },
    }
}

/// `pf=template$salt$hash`, each in base64; without a template it is a bare digest.
fn template(algorithm: Algorithm, text: &str) -> Result<Recipe, HashError> {
    let (before, after, digest) = match text.strip_prefix("pf=") {
        None => (Vec::new(), Vec::new(), base64(text)?),
        Some(rest) => {
            let [template, salt, digest] = super::parts(rest)?;
            let template = String::from_utf8(base64(template)?).map_err(|_| HashError::Syntax)?;
            let (before, after) = template.split_once("{PASSWORD}").ok_or(HashError::Syntax)?;
            if after.contains("{PASSWORD}") {
                return Err(HashError::Unsupported);
            }
            let salt = base64(salt)?;
            (fill(before, &salt), fill(after, &salt), base64(digest)?)
        }
    };
    digested(Digested { algorithm, before, after, iterations: 1 }, digest)
}

/// The salt is bytes, so it is put in after the text was split.
fn fill(part: &str, salt: &[u8]) -> Vec<u8> {
    part.split("{SALT}").map(str::as_bytes).collect::<Vec<_>>().join(salt)
}

/// `hash$key`: base64 of the digest's hexadecimal text, base64 of the key.
fn mac(algorithm: Algorithm, text: &str) -> Result<Recipe, HashError> {
    let [mac, key] = super::parts(text)?;
    let written = String::from_utf8(base64(mac)?).map_err(|_| HashError::Syntax)?;
    keyed(Keyed { algorithm, key: base64(key)? }, hex(&written)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config::HashCeilings,
        hash::{
            Judgement,
            encoding::{to_base64, to_hex},
            recipe::Arena,
        },
    };

    fn judge(text: &str) -> Result<Judgement, HashError> {
        parse(text)?.judge(b"pw", &HashCeilings::default(), &mut Arena::default())
    }

    #[test]
    fn a_template_places_salt_and_password() {
        let digest = to_base64(&Algorithm::Sha256.digest(&[b"a\xffb", b"pw", b"-\xff"]));
        let (template, salt) = (to_base64(b"a{SALT}b{PASSWORD}-{SALT}"), to_base64(b"\xff"));
        assert_eq!(judge(&format!("$sha256$pf={template}${salt}${digest}")), Ok(Judgement::Match));
        assert_eq!(
            judge(&format!("$md5${}", to_base64(&Algorithm::Md5.digest(&[b"pw"])))),
            Ok(Judgement::Match)
        );
    }

    #[test]
    fn an_hmac_is_kept_as_hexadecimal_text() {
        let mac = to_base64(to_hex(&Algorithm::Sha256.hmac(b"key", b"pw")).as_bytes());
        assert_eq!(judge(&format!("$hmac-sha256${mac}${}", to_base64(b"key"))), Ok(Judgement::Match));
        assert_eq!(judge("$hmac-crc32$AA==$AA=="), Err(HashError::Unsupported));
    }
}
