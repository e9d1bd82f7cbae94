//! Hashes that are JSON objects rather than texts: which fields come from the settings and which from the row.

use serde_json::{Map, Value};

use super::{HashError, StoredHash, auth0, fields::Fields, gigya, keycloak, okta, recipe::Recipe};

/// The systems that export objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    Okta,
    Auth0,
    Keycloak,
    Gigya,
}

impl Source {
    pub(super) const ALL: [Self; 4] = [Self::Okta, Self::Auth0, Self::Keycloak, Self::Gigya];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Okta => "okta-hash",
            Self::Auth0 => "auth0-custom",
            Self::Keycloak => "keycloak",
            Self::Gigya => "gigya",
        }
    }

    /// The settings that hold (parts of) the object.
    pub(super) fn keys(self) -> &'static [&'static str] {
        match self {
            Self::Okta => &["hash"],
            Self::Auth0 => &["custom_password_hash"],
            Self::Keycloak => &["credentialData", "secretData"],
            Self::Gigya => &["password"],
        }
    }

    /// Reads the row. Without an object in the settings the row's text is the whole object; with one, the row gives
    /// what the settings leave out: the value (its text) and the salt.
    pub(super) fn parse(
        self,
        given: Option<&Map<String, Value>>,
        stored: &StoredHash,
    ) -> Result<Recipe, HashError> {
        let row;
        let map = if let Some(map) = given {
            map
        } else {
            row = serde_json::from_str::<Map<String, Value>>(&stored.text).map_err(|_| HashError::Syntax)?;
            &row
        };
        let fallback = if given.is_some() {
            Fallback {
                value: Some(stored.text.as_str()).filter(|text| !text.is_empty()),
                salt: stored.salt.as_deref(),
            }
        } else {
            Fallback { value: None, salt: stored.salt.as_deref() }
        };
        match self {
            Self::Okta => okta::parse(Self::inner(map, "hash")?, fallback),
            Self::Auth0 => auth0::parse(Self::inner(map, "custom_password_hash")?, fallback),
            Self::Gigya => gigya::parse(Self::inner(map, "password")?, fallback),
            Self::Keycloak => keycloak::parse(Fields::of(map, ""), fallback),
        }
    }

    /// The object itself, whether or not it stands under its usual name.
    fn inner<'a>(map: &'a Map<String, Value>, key: &'static str) -> Result<Fields<'a>, HashError> {
        let mut outer = Fields::of(map, "");
        match outer.object(key) {
            // Okta's own `hash` object never holds a text called `hash`; Gigya's `password` may hold `hash`.
            Ok(Some(inner)) => {
                outer.end()?;
                Ok(inner)
            }
            _ => Ok(Fields::of(map, "")),
        }
    }

    /// A typical row, for names that do not exist.
    pub(super) fn sample(self) -> StoredHash {
        let zeros = "A".repeat(43) + "=";
        let text = match self {
            Self::Okta => {
                let (salt, value) = (".".repeat(22), ".".repeat(31));
                format!(r#"{{"algorithm":"BCRYPT","workFactor":10,"salt":"{salt}","value":"{value}"}}"#)
            }
            Self::Auth0 => {
                format!(r#"{{"algorithm":"bcrypt","hash":{{"value":"$2b$10${}"}}}}"#, ".".repeat(53))
            }
            Self::Keycloak => format!(
                r#"{{"credentialData":{{"hashIterations":27500,"algorithm":"pbkdf2-sha256"}},"secretData":{{"value":"{zeros}","salt":"{zeros}"}}}}"#
            ),
            Self::Gigya => format!(
                r#"{{"hash":"{}","hashSettings":{{"algorithm":"pbkdf2","rounds":3000,"salt":"{}"}}}}"#,
                "A".repeat(22) + "==",
                "A".repeat(22) + "=="
            ),
        };
        StoredHash { text, salt: None }
    }
}

/// What the row's own columns say, where the object leaves it out.
#[derive(Clone, Copy)]
pub(super) struct Fallback<'a> {
    pub(super) value: Option<&'a str>,
    pub(super) salt: Option<&'a str>,
}
