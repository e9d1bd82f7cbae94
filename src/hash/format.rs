//! The formats by name: which settings each takes, and who reads its texts.

use serde_json::{Map, Value, json};

use super::{
    HashError, StoredHash, argon2, aspnet, bcrypt, des_crypt,
    digest::{self, DigestSettings, HmacSettings},
    fields::{Fields, Refusal},
    firebase::{self, FirebaseSettings},
    ldap, magento, md5_crypt,
    object::Source,
    ory, pbkdf2, phpass,
    recipe::Recipe,
    scrypt::{self, Ln},
    sha_crypt, spring, stormpath,
    symfony::SymfonySettings,
    werkzeug, yescrypt,
};

/// Longest stored text and salt that are looked at; the longest real one, a JSON object, has some hundred bytes.
const LONGEST_TEXT: usize = 16 * 1024;

/// A format whose text says everything, with a text of typical cost.
pub(super) struct TextFormat {
    name: &'static str,
    parse: fn(&str) -> Result<Recipe, HashError>,
    sample: &'static str,
}

/// Zero bytes in the alphabets that the samples need.
macro_rules! zeros {
    (bcrypt) => {
        "$2b$10$....................................................."
    };
    (b64 16) => {
        "AAAAAAAAAAAAAAAAAAAAAA"
    };
    (b64 32) => {
        "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
    };
    (b64 64) => {
        "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
    };
    (hex 32) => {
        "0000000000000000000000000000000000000000000000000000000000000000"
    };
    (crypt 32) => {
        "..........................................."
    };
}

static TEXT_FORMATS: &[TextFormat] = &[
    TextFormat { name: "bcrypt", parse: bcrypt::parse, sample: zeros!(bcrypt) },
    TextFormat { name: "django-bcrypt", parse: bcrypt::django, sample: concat!("bcrypt$", zeros!(bcrypt)) },
    TextFormat {
        name: "django-bcrypt-sha256",
        parse: bcrypt::django_sha256,
        sample: concat!("bcrypt_sha256$", zeros!(bcrypt)),
    },
    TextFormat {
        name: "passlib-bcrypt-sha256",
        parse: bcrypt::passlib_sha256,
        sample: "$bcrypt-sha256$v=2,t=2b,r=12$......................$...............................",
    },
    TextFormat { name: "wordpress-bcrypt", parse: bcrypt::wordpress, sample: concat!("$wp", zeros!(bcrypt)) },
    TextFormat { name: "phpass", parse: phpass::phpass, sample: "$P$B.............................." },
    TextFormat { name: "drupal7", parse: phpass::drupal7, sample: concat!("$S$D........", zeros!(crypt 32)) },
    TextFormat {
        name: "phc-argon2",
        parse: argon2::parse,
        sample: concat!("$argon2id$v=19$m=19456,t=2,p=1$", zeros!(b64 16), "$", zeros!(b64 32)),
    },
    TextFormat {
        name: "django-argon2",
        parse: argon2::django,
        sample: concat!("argon2$argon2id$v=19$m=102400,t=2,p=8$", zeros!(b64 16), "$", zeros!(b64 32)),
    },
    TextFormat {
        name: "django-pbkdf2",
        parse: pbkdf2::django,
        sample: concat!("pbkdf2_sha256$600000$0000000000000000000000$", zeros!(b64 32)),
    },
    TextFormat {
        name: "passlib-pbkdf2",
        parse: pbkdf2::passlib,
        sample: concat!("$pbkdf2-sha256$29000$", zeros!(b64 16), "$", zeros!(b64 32)),
    },
    TextFormat {
        name: "phc-pbkdf2",
        parse: pbkdf2::phc,
        sample: concat!("$pbkdf2-sha256$i=100000,l=32$", zeros!(b64 16), "$", zeros!(b64 32)),
    },
    TextFormat {
        name: "atlassian-pkcs5s2",
        parse: pbkdf2::atlassian,
        sample: concat!("{PKCS5S2}", zeros!(b64 32), "AAAAAAAAAAAAAAAAAAAAA"),
    },
    TextFormat {
        name: "django-scrypt",
        parse: scrypt::django,
        sample: concat!("scrypt$16384$0000000000000000000000$8$1$", zeros!(b64 64)),
    },
    TextFormat {
        name: "scrypt-crypt7",
        parse: scrypt::crypt7,
        sample: concat!("$7$C6..../....00000000000000$", zeros!(crypt 32)),
    },
    TextFormat {
        name: "yescrypt",
        parse: yescrypt::parse,
        sample: concat!("$y$j9T$......................$", zeros!(crypt 32)),
    },
    TextFormat {
        name: "sha-crypt",
        parse: sha_crypt::parse,
        sample: concat!("$6$................$", zeros!(crypt 32), zeros!(crypt 32)),
    },
    TextFormat { name: "md5crypt", parse: md5_crypt::parse, sample: "$1$........$......................" },
    TextFormat { name: "descrypt", parse: des_crypt::parse, sample: "............." },
    TextFormat { name: "ldap", parse: ldap::parse, sample: "{SSHA}AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA" },
    TextFormat {
        name: "django-salted-digest",
        parse: digest::django,
        sample: "sha1$00000000$0000000000000000000000000000000000000000",
    },
    TextFormat {
        name: "werkzeug",
        parse: werkzeug::parse,
        sample: concat!("scrypt:32768:8:1$0000000000000000$", zeros!(hex 32), zeros!(hex 32)),
    },
    TextFormat {
        name: "aspnet-identity",
        parse: aspnet::parse,
        sample: "AQAAAAIAAYagAAAAEAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA==",
    },
    TextFormat {
        name: "firescrypt-string",
        parse: firebase::string,
        sample: concat!(
            "$firescrypt$ln=14,r=8,p=1$",
            zeros!(b64 16),
            "$",
            zeros!(b64 64),
            "$Bw$",
            zeros!(b64 64)
        ),
    },
    TextFormat {
        name: "stormpath1",
        parse: stormpath::first,
        sample: concat!("$stormpath1$", zeros!(b64 16), "$", zeros!(b64 32)),
    },
    TextFormat {
        name: "stormpath2",
        parse: stormpath::second,
        sample: concat!("$stormpath2$SHA-512$1$", zeros!(b64 16), "$", zeros!(b64 64)),
    },
    TextFormat {
        name: "shiro1",
        parse: stormpath::shiro,
        sample: concat!("$shiro1$SHA-256$500000$", zeros!(b64 16), "$", zeros!(b64 32)),
    },
    TextFormat {
        name: "ory",
        parse: ory::parse,
        sample: concat!("$sha256$pf=e1NBTFR9e1BBU1NXT1JEfQ==$AAAA$", zeros!(b64 32)),
    },
    TextFormat { name: "magento", parse: magento::parse, sample: concat!(zeros!(hex 32), ":00000000:1") },
];

/// A format with its settings.
pub(super) enum Format {
    /// Self-describing text, by its exact prefix.
    Auto,
    Text(&'static TextFormat),
    WerkzeugHmac,
    PhcScrypt(Ln),
    Devise {
        pepper: String,
    },
    Spring {
        secret: String,
    },
    Digest(DigestSettings),
    Hmac(HmacSettings),
    Symfony(SymfonySettings),
    Firebase(FirebaseSettings),
    Object {
        source: Source,
        given: Option<Map<String, Value>>,
    },
}

/// Formats that take settings; the others are complete as a name.
const WITH_SETTINGS: [&str; 8] = [
    "digest",
    "hmac",
    "symfony-digest",
    "firebase-scrypt",
    "devise-bcrypt",
    "werkzeug-hmac",
    "phc-scrypt",
    "spring-delegating",
];

/// Whether a format of this name reads settings beside its name.
pub(crate) fn takes_settings(name: &str) -> bool {
    WITH_SETTINGS.contains(&name) || Source::ALL.iter().any(|source| source.name() == name)
}

impl Format {
    pub(super) fn read(settings: &Value) -> Result<Self, Refusal> {
        let no_settings = Map::new();
        let (name, map) = match settings {
            Value::String(name) => (name.as_str(), &no_settings),
            Value::Object(map) => (Fields::of(map, "").need_text("format")?, map),
            _ => {
                let text = "must be a format's name, or an object with `format` and its settings".to_owned();
                return Err(Refusal { kind: HashError::Syntax, text });
            }
        };
        let mut fields = Fields::of(map, "");
        fields.value("format");
        let format = Self::named(name, map, &mut fields)?;
        fields.end()?;
        Ok(format)
    }

    fn named(name: &str, map: &Map<String, Value>, fields: &mut Fields<'_>) -> Result<Self, Refusal> {
        Ok(match name {
            "auto" => Self::Auto,
            "digest" => Self::Digest(DigestSettings::read(fields)?),
            "hmac" => Self::Hmac(HmacSettings::read(fields)?),
            "symfony-digest" => Self::Symfony(SymfonySettings::read(fields)?),
            "firebase-scrypt" => Self::Firebase(FirebaseSettings::read(fields)?),
            "devise-bcrypt" => Self::Devise { pepper: fields.need_text("pepper")?.to_owned() },
            "spring-delegating" => {
                Self::Spring { secret: fields.text("secret")?.unwrap_or_default().to_owned() }
            }
            "werkzeug-hmac" => {
                fields.choice("framework", |framework| (framework == "werkzeug").then_some(()))?;
                Self::WerkzeugHmac
            }
            "phc-scrypt" => {
                let ln_is = fields.choice("ln_is", |name| match name {
                    "N" => Some(Ln::N),
                    "log2" => Some(Ln::Log2),
                    _ => None,
                })?;
                Self::PhcScrypt(ln_is.unwrap_or(Ln::Log2))
            }
            _ => match Source::ALL.into_iter().find(|source| source.name() == name) {
                Some(source) => Self::object(source, map, fields),
                None => Self::Text(text_format(name).ok_or_else(|| Refusal {
                    kind: HashError::Unsupported,
                    text: "format: is not the name of a known format".to_owned(),
                })?),
            },
        })
    }

    /// The parts of an object that the settings give for everybody.
    fn object(source: Source, map: &Map<String, Value>, fields: &mut Fields<'_>) -> Self {
        let mut given = Map::new();
        for key in source.keys() {
            if let Some(value) = fields.value(key) {
                given.insert((*key).to_owned(), value.clone());
            }
        }
        debug_assert!(given.len() <= map.len());
        Self::Object { source, given: (!given.is_empty()).then_some(given) }
    }

    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Text(format) => format.name,
            Self::WerkzeugHmac => "werkzeug-hmac",
            Self::PhcScrypt(_) => "phc-scrypt",
            Self::Devise { .. } => "devise-bcrypt",
            Self::Spring { .. } => "spring-delegating",
            Self::Digest(_) => "digest",
            Self::Hmac(_) => "hmac",
            Self::Symfony(_) => "symfony-digest",
            Self::Firebase(_) => "firebase-scrypt",
            Self::Object { source, .. } => source.name(),
        }
    }

    /// Reads a stored hash. Computes nothing.
    pub(super) fn parse(&self, stored: &StoredHash) -> Result<Recipe, HashError> {
        let text = stored.text.as_str();
        if text.len() > LONGEST_TEXT || stored.salt.as_ref().is_some_and(|salt| salt.len() > LONGEST_TEXT) {
            return Err(HashError::Syntax);
        }
        // Unix marks a locked account so, Django one without a password; no alphabet of a hash has either.
        if text.starts_with(['!', '*']) {
            return Err(HashError::Unusable);
        }
        match self {
            Self::Auto => match super::identify(text) {
                Some("phc-scrypt") => scrypt::phc(text, Ln::Log2),
                Some("spring-delegating") => spring::parse(text, ""),
                Some(name) => (text_format(name).ok_or(HashError::Unsupported)?.parse)(text),
                None => Err(HashError::Syntax),
            },
            Self::Text(format) => (format.parse)(text),
            Self::WerkzeugHmac => digest::werkzeug(text),
            Self::PhcScrypt(ln_is) => scrypt::phc(text, *ln_is),
            Self::Devise { pepper } => bcrypt::devise(text, pepper),
            Self::Spring { secret } => spring::parse(text, secret),
            Self::Digest(settings) => settings.parse(stored),
            Self::Hmac(settings) => settings.parse(stored),
            Self::Symfony(settings) => settings.parse(stored),
            Self::Firebase(settings) => settings.parse(stored),
            Self::Object { source, given } => source.parse(given.as_ref(), stored),
        }
    }

    /// A hash of typical cost that nobody has.
    pub(super) fn sample(&self) -> Result<Recipe, HashError> {
        let text = |text: &str| StoredHash { text: text.to_owned(), salt: None };
        let stored = match self {
            Self::Auto | Self::Devise { .. } => text(zeros!(bcrypt)),
            Self::Text(format) => text(format.sample),
            Self::WerkzeugHmac => text(concat!("sha256$00000000$", zeros!(hex 32))),
            Self::PhcScrypt(Ln::Log2) => {
                text(concat!("$scrypt$ln=14,r=8,p=1$", zeros!(b64 16), "$", zeros!(b64 32)))
            }
            Self::PhcScrypt(Ln::N) => {
                text(concat!("$scrypt$ln=16384,r=8,p=1$", zeros!(b64 16), "$", zeros!(b64 32)))
            }
            Self::Spring { .. } => text(concat!("{bcrypt}", zeros!(bcrypt))),
            Self::Digest(settings) => settings.sample(),
            Self::Hmac(settings) => settings.sample(),
            Self::Symfony(settings) => settings.sample(),
            Self::Firebase(settings) => settings.sample(),
            // With parts in the settings, no made-up row fits them all: the object alone is as costly.
            Self::Object { source, .. } => return source.parse(None, &source.sample()),
        };
        self.parse(&stored)
    }
}

/// The formats that a text fits by its syntax, without settings that nobody gave: the one it names itself, or all
/// that read it.
pub(crate) fn possible_formats(text: &str) -> Vec<super::HashFormat> {
    use super::{HashFormat, algorithm::Algorithm};
    let named = |name: &str| HashFormat::from_settings(&Value::String(name.to_owned())).ok();
    if let Some(name) = super::identify(text) {
        return named(name).into_iter().collect();
    }
    let stored = StoredHash { text: text.to_owned(), salt: None };
    let texts = TEXT_FORMATS.iter().map(|format| format.name).chain(["werkzeug-hmac"]).filter_map(named);
    // Hexadecimal text could be base64 of other bytes, too; nobody means that.
    let is_hex = text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let encoding = if is_hex { "hex" } else { "base64" };
    let algorithms = [
        Algorithm::Md5,
        Algorithm::Sha1,
        Algorithm::Sha224,
        Algorithm::Sha256,
        Algorithm::Sha384,
        Algorithm::Sha512,
    ];
    let bare = algorithms.into_iter().flat_map(|algorithm| {
        let digest = json!({"format": "digest", "algorithm": algorithm.name(), "hash_encoding": encoding});
        let hmac =
            json!({"format": "hmac", "digest": algorithm.name(), "hash_encoding": encoding, "key": ""});
        [digest, hmac].into_iter().filter_map(|settings| HashFormat::from_settings(&settings).ok())
    });
    texts.chain(bare).filter(|format| format.format.parse(&stored).is_ok()).collect()
}

fn text_format(name: &str) -> Option<&'static TextFormat> {
    TEXT_FORMATS.iter().find(|format| format.name == name)
}
#[cfg(test)]
pub(super) use tests::every_format;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::HashCeilings;

    /// Settings for every format there is.
    pub(in crate::hash) fn every_format() -> Vec<Format> {
        let names = TEXT_FORMATS.iter().map(|format| json!(format.name));
        let more = [
            json!("auto"),
            json!({"format": "digest", "algorithm": "sha256", "salt_position": "suffix"}),
            json!({"format": "hmac", "digest": "sha1", "key": "k"}),
            json!({"format": "symfony-digest"}),
            json!({"format": "firebase-scrypt", "base64_signer_key": "AAAA", "base64_salt_separator": "Bw==",
                   "rounds": 8, "mem_cost": 14}),
            json!({"format": "devise-bcrypt", "pepper": "p"}),
            json!("werkzeug-hmac"),
            json!("phc-scrypt"),
            json!({"format": "phc-scrypt", "ln_is": "N"}),
            json!("spring-delegating"),
            json!("okta-hash"),
            json!("auth0-custom"),
            json!("keycloak"),
            json!("gigya"),
        ];
        names.chain(more).map(|settings| Format::read(&settings).unwrap()).collect()
    }

    #[test]
    fn every_format_has_a_sample_within_the_ceilings() {
        for format in every_format() {
            let recipe = format.sample().unwrap_or_else(|error| panic!("{}: {error}", format.name()));
            assert_eq!(recipe.check(&HashCeilings::default()), Ok(()), "{}", format.name());
        }
    }

    #[test]
    fn identified_names_are_formats() {
        for format in TEXT_FORMATS {
            if let Some(name) = super::super::identify(format.sample) {
                assert_eq!(name, format.name, "{}", format.sample);
            }
        }
    }

    #[test]
    fn settings_are_refused_by_the_name_of_the_key() {
        for (settings, key) in [
            (json!({"format": "digest", "algorithm": "sha256", "salt_postion": "prefix"}), "salt_postion"),
            (json!({"format": "digest", "algorithm": 256}), "algorithm"),
            (json!({"format": "digest"}), "algorithm"),
            (json!({"format": "digest", "algorithm": "sha256", "iterations": "many"}), "iterations"),
            (json!({"format": "digest", "algorithm": "sha256", "hash_encoding": "utf8"}), "hash_encoding"),
            (json!({"format": "hmac", "digest": "sha256", "key": "canary", "key_encoding": "hex"}), "key"),
            (json!({"format": "bcrypt", "pepper": "canary"}), "pepper"),
            (json!({"format": "devise-bcrypt", "pepper": ["canary"]}), "pepper"),
            (json!({"format": "phc-scrypt", "ln_is": "n"}), "ln_is"),
            (json!({"format": "bcrypto"}), "format"),
            (json!({"algorithm": "sha256"}), "format"),
            (json!(5), "format"),
        ] {
            let refusal = Format::read(&settings).err().unwrap();
            assert!(refusal.text.contains(key), "{settings}: {}", refusal.text);
            assert!(!refusal.text.contains("canary"), "{}", refusal.text);
        }
    }
}
