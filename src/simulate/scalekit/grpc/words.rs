//! The words that several messages use: package `scalekit.v1.commons`, and a moment in time.

use std::{collections::BTreeMap, fmt};

use prost::Message;
use serde::{Deserialize, Deserializer, Serialize, de::Error as _};

use crate::clock::Timestamp;

/// `google.protobuf.Timestamp`.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub(super) struct Moment {
    #[prost(int64, tag = "1")]
    seconds: i64,
    #[prost(int32, tag = "2")]
    nanos: i32,
}

/// RFC 3339 in UTC; the stand-in's clock knows milliseconds, and no year before 1970.
impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = u64::from(self.nanos.unsigned_abs() / 1_000_000);
        let seconds = u64::try_from(self.seconds).unwrap_or(0);
        Timestamp::from_millis(seconds.saturating_mul(1000).saturating_add(millis)).fmt(f)
    }
}

/// From RFC 3339 in UTC, the way the API writes it.
impl<'de> Deserialize<'de> for Moment {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        moment(&text).ok_or_else(|| D::Error::custom(format!("{text} is no moment in UTC")))
    }
}

/// `2026-01-31T09:15:00.250Z`, with any fraction.
fn moment(text: &str) -> Option<Moment> {
    let (date, time) = text.strip_suffix('Z')?.split_once('T')?;
    let (time, fraction) = time.split_once('.').unwrap_or((time, "0"));
    let numbers = |text: &str, by: char| {
        let parts: Option<Vec<i64>> = text.split(by).map(|part| part.parse().ok()).collect();
        <[i64; 3]>::try_from(parts?).ok()
    };
    let ([year, month, day], [hour, minute, second]) = (numbers(date, '-')?, numbers(time, ':')?);
    let nanos: i32 = format!("{fraction:0<9}").parse().ok()?;
    // Days since 1970-01-01 in the Gregorian calendar, with years that begin in March.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = 365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 1 - 719_468;
    Some(Moment { seconds: ((days * 24 + hour) * 60 + minute) * 60 + second, nanos })
}

/// An answer that says nothing: `google.protobuf.Empty`.
#[derive(Clone, PartialEq, Eq, Message, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Nothing {}

#[derive(Clone, PartialEq, Eq, Message, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Role {
    #[prost(string, optional, tag = "1")]
    id: Option<String>,
    #[prost(string, optional, tag = "2")]
    name: Option<String>,
    #[prost(string, optional, tag = "3")]
    display_name: Option<String>,
}

#[derive(Clone, PartialEq, Message, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Membership {
    #[prost(string, tag = "1")]
    organization_id: String,
    #[prost(message, optional, tag = "2")]
    join_time: Option<Moment>,
    #[prost(int32, tag = "3")]
    #[serde(deserialize_with = "standing")]
    membership_status: i32,
    #[prost(message, repeated, tag = "4")]
    roles: Vec<Role>,
    #[prost(string, optional, tag = "5")]
    name: Option<String>,
    #[prost(btree_map = "string, string", tag = "7")]
    metadata: BTreeMap<String, String>,
    #[prost(string, optional, tag = "9")]
    display_name: Option<String>,
    #[prost(string, optional, tag = "10")]
    inviter_email: Option<String>,
    #[prost(message, optional, tag = "11")]
    created_at: Option<Moment>,
    #[prost(message, optional, tag = "12")]
    accepted_at: Option<Moment>,
    #[prost(message, optional, tag = "13")]
    expires_at: Option<Moment>,
    #[prost(string, optional, tag = "14")]
    provisioning_method: Option<String>,
    #[prost(string, repeated, tag = "15")]
    permissions: Vec<String>,
}

fn standing<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i32, D::Error> {
    number(deserializer, &["", "ACTIVE", "INACTIVE", "PENDING_INVITE", "INVITE_EXPIRED"])
}

pub(super) fn region<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i32, D::Error> {
    number(deserializer, &["", "US", "EU"])
}

/// The number of an enum's word: its place among `words`.
fn number<'de, D: Deserializer<'de>>(deserializer: D, words: &[&str]) -> Result<i32, D::Error> {
    let word = String::deserialize(deserializer)?;
    let place = words.iter().position(|known| *known == word).and_then(|place| i32::try_from(place).ok());
    place.ok_or_else(|| D::Error::custom(format!("{word} has no number")))
}

#[derive(Clone, PartialEq, Message, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Profile {
    #[prost(string, tag = "1")]
    id: String,
    #[prost(string, tag = "2")]
    given_name: String,
    #[prost(string, tag = "3")]
    family_name: String,
    #[prost(string, tag = "4")]
    name: String,
    #[prost(string, tag = "5")]
    locale: String,
    #[prost(bool, tag = "6")]
    email_verified: bool,
    #[prost(string, tag = "7")]
    phone_number: String,
    #[prost(btree_map = "string, string", tag = "8")]
    metadata: BTreeMap<String, String>,
    #[prost(btree_map = "string, string", tag = "9")]
    custom_attributes: BTreeMap<String, String>,
    #[prost(message, repeated, tag = "10")]
    external_identities: Vec<Nothing>,
    #[prost(string, tag = "12")]
    preferred_username: String,
    #[prost(bool, tag = "13")]
    phone_number_verified: bool,
    #[prost(string, tag = "14")]
    picture: String,
    #[prost(string, repeated, tag = "15")]
    groups: Vec<String>,
    #[prost(string, tag = "16")]
    gender: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_read_as_the_clock_writes_it() {
        for millis in [0, 951_782_399_999, 951_782_400_000, 1_709_164_800_250, 4_107_542_400_007] {
            let read = moment(&Timestamp::from_millis(millis).to_string()).unwrap();
            assert_eq!(read.to_string(), Timestamp::from_millis(millis).to_string());
            let total = read.seconds * 1000 + i64::from(read.nanos / 1_000_000);
            assert_eq!(total, i64::try_from(millis).unwrap());
        }
        assert_eq!(moment("1970-01-01T00:00:01Z").unwrap(), Moment { seconds: 1, nanos: 0 });
        assert!(moment("1970-01-01T00:00:01+01:00").is_none());
    }
}
