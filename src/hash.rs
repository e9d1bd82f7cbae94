//! Password hashes of other people's systems: reading their text and checking a password against it.
//!
//! Each format family has its own file; each turns a stored text into a `Recipe`, and only there are ceilings
//! checked (SEC-39), work done and results compared, in constant time. A malformed hash is a typed error, never a
//! match and never a plain "no"; no text is ever tried as a second format. Hashing runs on threads of its own behind
//! a bounded queue, [`HashPool`]. Start reading at [`HashFormat`].

mod algorithm;
mod argon2;
mod aspnet;
mod auth0;
mod bcrypt;
mod des_crypt;
mod digest;
mod encoding;
mod fields;
mod firebase;
mod format;
mod gigya;
mod identify;
mod keycloak;
mod kinds;
mod ldap;
mod magento;
mod md5_crypt;
mod object;
mod okta;
mod ory;
mod pbkdf2;
mod phpass;
mod pool;
mod recipe;
mod scrypt;
mod sha_crypt;
mod spring;
mod stormpath;
mod symfony;
#[cfg(test)]
mod tests;
mod werkzeug;
mod yescrypt;

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use serde_json::Value;

pub(crate) use fields::Refusal;
pub(crate) use format::{possible_formats, takes_settings};
pub(crate) use identify::identify;
pub(crate) use pool::{HashPool, PoolError};

use crate::{config::HashCeilings, identity::Password};
use format::Format;
use kinds::{Kinds, Rest};
use recipe::{Arena, Recipe};

/// The longest password that is hashed at all; the sign-in path refuses far shorter ones.
const LONGEST_PASSWORD: usize = 1 << 20;

/// A hash as a source stores it.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct StoredHash {
    /// The stored text, trailing ASCII white space removed (`CHAR(n)` columns pad with it).
    pub(crate) text: String,
    /// The salt where it is kept in a field of its own.
    pub(crate) salt: Option<String>,
}

impl StoredHash {
    /// A hash as it came out of its column or file.
    pub(crate) fn new(text: &str, salt: Option<&str>) -> Self {
        Self {
            text: text.trim_ascii_end().to_owned(),
            salt: salt.map(|salt| salt.trim_ascii_end().to_owned()),
        }
    }
}

/// Hashes are secrets (SEC-50).
impl fmt::Debug for StoredHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

/// How a source's hashes are to be read: `"auto"` for self-describing text, else a format's name with its settings.
#[derive(Clone)]
pub(crate) struct HashFormat {
    format: Arc<Format>,
    /// The kinds of hashes that this source has shown.
    kinds: Arc<Mutex<Kinds>>,
}

/// Keys and peppers are among the settings.
impl fmt::Debug for HashFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("HashFormat").field(&self.format.name()).finish()
    }
}

/// The configured format is not one of ours, or its settings do not fit; lower-case text that names the setting.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct FormatError(pub(crate) String);

/// Why a hash cannot be judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum HashError {
    #[error("not a hash of this format")]
    Syntax,
    #[error("a parameter is out of range")]
    Range,
    #[error("a variant that is not supported")]
    Unsupported,
    #[error("locked or without a password")]
    Unusable,
    #[error("more costly than the configured ceiling")]
    CostLimit,
    /// Above 1 MiB; for crypt's formats, which take the password anew in every round, above 4 KiB.
    #[error("the password is too long for this format")]
    PasswordTooLong,
}

impl HashError {
    /// The word that the command line prints.
    pub(crate) fn kind(self) -> &'static str {
        match self {
            Self::Syntax => "syntax",
            Self::Range => "range",
            Self::Unsupported => "unsupported",
            Self::Unusable => "unusable",
            Self::CostLimit => "cost_limit",
            Self::PasswordTooLong => "password_too_long",
        }
    }
}

/// What was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Judgement {
    Match,
    NoMatch,
}

/// What a stored hash would cost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Inspection {
    /// Parameters that decide the cost, by name.
    pub(crate) costs: Vec<(&'static str, u64)>,
    /// Why it would be refused unhashed.
    pub(crate) refused: Option<HashError>,
}

impl HashFormat {
    /// Reads a source's `hash_format` setting. Three shapes are accepted:
    ///
    /// `"auto"`: the text says what it is, by its exact prefix (bcrypt, Argon2, scrypt, `$5$`, `{SSHA}`, …). Text
    /// that does not is refused; nothing is ever tried as one format after the other.
    ///
    /// A name, for formats that need no settings: `bcrypt`, `django-bcrypt`, `django-bcrypt-sha256`,
    /// `passlib-bcrypt-sha256`, `wordpress-bcrypt`, `phpass`, `drupal7`, `phc-argon2`, `django-argon2`,
    /// `django-pbkdf2`, `passlib-pbkdf2`, `phc-pbkdf2`, `atlassian-pkcs5s2`, `phc-scrypt`, `django-scrypt`,
    /// `scrypt-crypt7`, `yescrypt`, `sha-crypt`, `md5crypt`, `descrypt`, `ldap`, `django-salted-digest`, `werkzeug`,
    /// `werkzeug-hmac`, `aspnet-identity`, `firescrypt-string`, `stormpath1`, `stormpath2`, `shiro1`, `ory`,
    /// `magento`, `spring-delegating`, `symfony-digest`; and, where each row holds the exported JSON object,
    /// `okta-hash`, `auth0-custom`, `keycloak` (`{"credentialData", "secretData"}`), `gigya`.
    ///
    /// An object `{"format": name, …}` with that format's settings:
    ///
    /// - `digest`: `algorithm` (`md4 md5 ripemd160 sha1 sha224 sha256 sha384 sha512 whirlpool`), `hash_encoding`
    ///   (`hex`, the default, or `base64`), `salt_position` (`prefix`, the default, or `suffix`), `salt_encoding`
    ///   (`utf8`, the default, `hex`, `base64`), `salt` (one for everybody; a salt column wins), `password_encoding`
    ///   (`utf8`, the default, `ascii`, `latin1`, `utf16le`), `iterations` (1). Naming any of the salt's settings
    ///   makes a row without salt an error.
    /// - `hmac`: `digest` (as `algorithm` above), `key`, `key_encoding` (`utf8`, the default, `hex`, `base64`),
    ///   `hash_encoding`.
    /// - `symfony-digest`: `algorithm` (`sha512`), `iterations` (5000), `encode_as_base64` (true), `salt`.
    /// - `firebase-scrypt`: `base64_signer_key`, `base64_salt_separator`, `rounds`, `mem_cost`, `salt`,
    ///   `algorithm` (`SCRYPT`).
    /// - `devise-bcrypt`: `pepper`.
    /// - `phc-scrypt`: `ln_is` (`log2`, the default; `N` for Ory's dialect, which writes N itself).
    /// - `spring-delegating`: `secret`, where the application's encoders had one.
    /// - `werkzeug-hmac`: `framework` (`werkzeug`), a reminder only.
    /// - `okta-hash`: `hash`; `auth0-custom`: `custom_password_hash`; `keycloak`: `credentialData`, `secretData`;
    ///   `gigya`: `password`. The parts of the object that are the same for everybody; the row's text is then its
    ///   value, the salt column its salt.
    ///
    /// Unknown keys and wrong types are errors that name the key.
    pub(crate) fn from_settings(settings: &Value) -> Result<Self, FormatError> {
        Self::read(settings).map_err(|refusal| FormatError(refusal.text))
    }

    /// The same, keeping what kind of error it is.
    pub(crate) fn read(settings: &Value) -> Result<Self, Refusal> {
        Ok(Self { format: Arc::new(Format::read(settings)?), kinds: Arc::default() })
    }

    /// The format's name.
    pub(crate) fn name(&self) -> &'static str {
        self.format.name()
    }

    /// Reads a hash without computing anything.
    pub(crate) fn inspect(
        &self,
        stored: &StoredHash,
        ceilings: &HashCeilings,
    ) -> Result<Inspection, HashError> {
        let recipe = self.format.parse(stored)?;
        Ok(Inspection { costs: recipe.costs(), refused: recipe.check(ceilings).err() })
    }

    /// Takes note of what kind of hash a source holds, if it may be computed at all.
    pub(crate) fn meet(&self, stored: &StoredHash, ceilings: &HashCeilings) {
        let recipe = self.format.parse(stored);
        if let Some(recipe) = recipe.ok().filter(|recipe| recipe.check(ceilings).is_ok()) {
            self.kinds().meet(&recipe);
        }
    }

    /// What every guess at this source costs: the parameters of the dearest hash of each function that was met.
    pub(crate) fn costs_of_a_guess(&self) -> Vec<Vec<(&'static str, u64)>> {
        self.kinds().all().iter().map(Recipe::costs).collect()
    }

    /// Judges a password, and does what a guess at the source's dearest hashes would cost beside.
    fn judge(
        &self,
        stored: &StoredHash,
        password: &Password,
        ceilings: &HashCeilings,
        arena: &mut Arena,
    ) -> Result<Judgement, HashError> {
        let recipe = self.recipe(stored, password, ceilings)?;
        let others = {
            let mut kinds = self.kinds();
            kinds.meet(&recipe);
            kinds.beside(Some(&recipe))
        };
        let judgement = recipe.judge(password.expose(), ceilings, arena)?;
        work_off(&others, password, arena);
        Ok(judgement)
    }

    fn recipe(
        &self,
        stored: &StoredHash,
        password: &Password,
        ceilings: &HashCeilings,
    ) -> Result<Recipe, HashError> {
        if password.expose().len() > LONGEST_PASSWORD {
            return Err(HashError::PasswordTooLong);
        }
        let recipe = self.format.parse(stored)?;
        recipe.check(ceilings)?;
        Ok(recipe)
    }

    /// Does the work of the dearest hashes that the source holds, or of a typical one before any was met, for nobody.
    fn judge_nobody(&self, password: &Password, ceilings: &HashCeilings, arena: &mut Arena) -> Judgement {
        let mut kinds = self.kinds().clone();
        if kinds.all().is_empty()
            && let Ok(sample) = self.format.sample()
            && sample.check(ceilings).is_ok()
        {
            kinds.meet(&sample);
        }
        if password.expose().len() <= LONGEST_PASSWORD {
            work_off(&kinds.beside(None), password, arena);
        }
        Judgement::NoMatch
    }

    fn kinds(&self) -> MutexGuard<'_, Kinds> {
        self.kinds.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Work for nobody.
fn work_off(rests: &[Rest], password: &Password, arena: &mut Arena) {
    for (recipe, rounds) in rests {
        // Whatever comes out: there is nobody it could match, and a password that is too long costs everybody the same.
        let _ = recipe.work_off(*rounds, password.expose(), arena);
    }
}

/// Judges a password against a stored hash, on the calling thread; may take long.
pub(crate) fn verify(
    format: &HashFormat,
    stored: &StoredHash,
    password: &Password,
    ceilings: &HashCeilings,
) -> Result<Judgement, HashError> {
    let recipe = format.recipe(stored, password, ceilings)?;
    recipe.judge(password.expose(), ceilings, &mut Arena::default())
}

/// The fields of a text separated by `$`: exactly as many as are asked for.
fn parts<const N: usize>(text: &str) -> Result<[&str; N], HashError> {
    let parts: Vec<&str> = text.splitn(N + 1, '$').collect();
    parts.try_into().map_err(|_| HashError::Syntax)
}
