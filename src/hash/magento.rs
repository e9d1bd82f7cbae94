//! Magento: `hex:salt`, with the versions of the digests that were laid over each other behind it.

use super::{
    HashError,
    algorithm::Algorithm,
    digest::{Digested, digested},
    encoding::hex,
    recipe::{Recipe, Step, Text},
};

/// More layers than Magento has versions.
const MOST_LAYERS: usize = 4;

pub(super) fn parse(text: &str) -> Result<Recipe, HashError> {
    let mut fields = text.split(':');
    let digest = hex(fields.next().unwrap_or_default())?;
    let salt = fields.next().ok_or(HashError::Syntax)?.as_bytes().to_vec();
    let mut layers = fields.map(version).collect::<Result<Vec<_>, _>>()?;
    if layers.len() > MOST_LAYERS {
        return Err(HashError::Syntax);
    }
    // Without a version the length tells MD5 (Magento 1) from SHA-256 (its Enterprise edition, early Magento 2).
    let last = layers.pop().unwrap_or(if digest.len() == 16 { Algorithm::Md5 } else { Algorithm::Sha256 });
    let work = Digested { algorithm: last, before: salt.clone(), after: Vec::new(), iterations: 1 };
    let recipe = digested(work, digest)?;
    // An upgrade digested the old hash's text, with the same salt in front.
    Ok(layers.into_iter().rev().fold(recipe, |recipe, algorithm| {
        recipe.after(Step::Digest { algorithm, salt: salt.clone(), text: Text::Hex })
    }))
}

fn version(text: &str) -> Result<Algorithm, HashError> {
    match text {
        "0" => Ok(Algorithm::Md5),
        "1" => Ok(Algorithm::Sha256),
        // 2 and 3 are libsodium's Argon2.
        "2" => Err(HashError::Unsupported),
        _ if text.starts_with("3_") => Err(HashError::Unsupported),
        _ => Err(HashError::Syntax),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config::HashCeilings,
        hash::{Judgement, encoding::to_hex, recipe::Arena},
    };

    #[test]
    fn versions_are_laid_over_each_other() {
        let inner = to_hex(&Algorithm::Md5.digest(&[b"salt", b"pw"]));
        let outer = to_hex(&Algorithm::Sha256.digest(&[b"salt", inner.as_bytes()]));
        for (text, expected) in [
            (format!("{inner}:salt"), Judgement::Match),
            (format!("{inner}:salt:0"), Judgement::Match),
            (format!("{outer}:salt:0:1"), Judgement::Match),
            (format!("{outer}:salt:1"), Judgement::NoMatch),
        ] {
            let recipe = parse(&text).unwrap();
            assert_eq!(
                recipe.judge(b"pw", &HashCeilings::default(), &mut Arena::default()),
                Ok(expected),
                "{text}"
            );
        }
        assert_eq!(parse(&format!("{outer}:salt:2")).unwrap_err(), HashError::Unsupported);
    }
}
