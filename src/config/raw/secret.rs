//! Where a secret is to be found. The file itself never holds one.

use std::{borrow::Cow, fmt};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{self, MapAccess, Visitor},
    ser::SerializeMap as _,
};
use serde_saphyr::Commented;

/// `{file: PATH}` or `{env: NAME}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::config) enum SecretRef {
    File(String),
    Env(String),
}

const FIX: &str = "a secret never stands in this file: write {file: PATH} or {env: NAME}";

impl<'de> Deserialize<'de> for SecretRef {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // By hand, so that a secret that does stand here ends up in no message.
        deserializer.deserialize_any(Reading)
    }
}

struct Reading;

impl<'de> Visitor<'de> for Reading {
    type Value = SecretRef;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("{file: PATH} or {env: NAME}")
    }

    fn visit_str<E: de::Error>(self, _: &str) -> Result<SecretRef, E> {
        Err(E::custom(FIX))
    }

    fn visit_bool<E: de::Error>(self, _: bool) -> Result<SecretRef, E> {
        Err(E::custom(FIX))
    }

    fn visit_u64<E: de::Error>(self, _: u64) -> Result<SecretRef, E> {
        Err(E::custom(FIX))
    }

    fn visit_i64<E: de::Error>(self, _: i64) -> Result<SecretRef, E> {
        Err(E::custom(FIX))
    }

    fn visit_f64<E: de::Error>(self, _: f64) -> Result<SecretRef, E> {
        Err(E::custom(FIX))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<SecretRef, A::Error> {
        let (mut file, mut env) = (None, None);
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "file" => file = Some(map.next_value::<String>()?),
                "env" => env = Some(map.next_value::<String>()?),
                _ => return Err(de::Error::custom("has a key that is neither `file` nor `env`: remove it")),
            }
        }
        match (file, env) {
            (Some(file), None) => Ok(SecretRef::File(file)),
            (None, Some(env)) => Ok(SecretRef::Env(env)),
            (Some(_), Some(_)) => Err(de::Error::custom("has both `file` and `env`: remove one of them")),
            (None, None) => Err(de::Error::custom("has neither `file` nor `env`: add one of them")),
        }
    }
}

impl Serialize for SecretRef {
    /// The reference with a comment in place of the content: it can be read again, and shows nothing.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (key, place) = match self {
            Self::File(path) => ("file", path),
            Self::Env(name) => ("env", name),
        };
        let mut map = serializer.serialize_map(Some(1))?;
        map.serialize_entry(key, &Commented(place, "REDACTED".into()))?;
        map.end()
    }
}

impl JsonSchema for SecretRef {
    fn schema_name() -> Cow<'static, str> {
        "SecretRef".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "Where the secret is: a file (its last line break is not part of it) or a variable.",
            "type": "object",
            "oneOf": [{ "required": ["file"] }, { "required": ["env"] }],
            "properties": {
                "file": { "type": "string", "description": "A path, relative to the folder of this file." },
                "env": { "type": "string", "description": "The name of an environment variable." },
            },
            "additionalProperties": false,
        })
    }
}
