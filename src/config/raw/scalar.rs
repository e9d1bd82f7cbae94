//! Durations, sizes and percentages as people write them.

use std::{borrow::Cow, fmt, time::Duration};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::rollout::BasisPoints;

/// A duration: a whole number and one unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::config) struct Span(pub(in crate::config) Duration);

const UNITS: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("ms", 1), ("s", 1000)];

impl Span {
    fn parse(text: &str) -> Option<Self> {
        let digits = text.find(|c: char| !c.is_ascii_digit())?;
        let (number, unit) = text.split_at_checked(digits)?;
        let (_, millis) = UNITS.iter().find(|(name, _)| *name == unit)?;
        let span = Self(Duration::from_millis(number.parse::<u64>().ok()?.checked_mul(*millis)?));
        (span.0 <= Self::LONGEST).then_some(span)
    }

    /// Nothing here lasts longer; above it, arithmetic on points in time could overflow.
    const LONGEST: Duration = Duration::from_hours(24 * 3650);
}

/// In the largest unit that leaves no rest.
impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = self.0.as_millis();
        let fits = |millis_of: u64| millis != 0 && millis.is_multiple_of(u128::from(millis_of));
        let (unit, of) = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000)]
            .into_iter()
            .find(|(_, of)| fits(*of))
            .unwrap_or(if millis == 0 { ("s", 1000) } else { ("ms", 1) });
        write!(f, "{}{unit}", millis / u128::from(of))
    }
}

/// A number of bytes: a plain number, or one with KiB, MiB or GiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::config) struct Size(pub(in crate::config) u64);

impl Size {
    fn parse(text: &str) -> Option<Self> {
        let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (number, unit) = text.split_at_checked(digits)?;
        let shift = match unit.trim_start() {
            "" | "B" => 0,
            "KiB" => 10,
            "MiB" => 20,
            "GiB" => 30,
            _ => return None,
        };
        number.parse::<u64>().ok()?.checked_mul(1 << shift).map(Self)
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 => f.write_str("0"),
            bytes if bytes.is_multiple_of(1 << 30) => write!(f, "{}GiB", bytes >> 30),
            bytes if bytes.is_multiple_of(1 << 20) => write!(f, "{}MiB", bytes >> 20),
            bytes if bytes.is_multiple_of(1 << 10) => write!(f, "{}KiB", bytes >> 10),
            bytes => write!(f, "{bytes}"),
        }
    }
}

/// A share of people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::config) struct Percent(pub(in crate::config) BasisPoints);

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

const SPAN: &str = "a duration: a whole number with ms, s, m, h or d, such as 500ms or 30m";
const SIZE: &str = "a size: bytes as a whole number, or with KiB, MiB or GiB, such as 16KiB";
const PERCENT: &str = "a percentage from 0% to 100% with at most two decimals, such as 12.5%";

/// Reads text or a number as one of the types above.
struct Reading<T> {
    expected: &'static str,
    text: fn(&str) -> Option<T>,
}

impl<T> de::Visitor<'_> for Reading<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.expected)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        (self.text)(text).ok_or_else(|| E::custom(format!("must be {}", self.expected)))
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<T, E> {
        self.visit_str(&number.to_string())
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<T, E> {
        self.visit_str(&number.to_string())
    }

    fn visit_f64<E: de::Error>(self, number: f64) -> Result<T, E> {
        self.visit_str(&number.to_string())
    }
}

macro_rules! written {
    ($type:ident, $expected:expr, $parse:expr, $schema:tt) => {
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_any(Reading { expected: $expected, text: $parse })
            }
        }

        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl JsonSchema for $type {
            fn schema_name() -> Cow<'static, str> {
                stringify!($type).into()
            }

            fn inline_schema() -> bool {
                true
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!($schema)
            }
        }
    };
}

written!(Span, SPAN, Span::parse, { "type": "string", "pattern": "^[0-9]+(ms|s|m|h|d)$" });
written!(Size, SIZE, Size::parse, {
    "oneOf": [
        { "type": "integer", "minimum": 0 },
        { "type": "string", "pattern": "^[0-9]+ ?(B|KiB|MiB|GiB)?$" },
    ]
});
written!(Percent, PERCENT, |text| BasisPoints::parse_percent(text).map(Percent), {
    "oneOf": [
        { "type": "number", "minimum": 0, "maximum": 100 },
        { "type": "string", "pattern": "^[0-9]{1,3}(\\.[0-9]{1,2})?%?$" },
    ]
});

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_a_number_and_a_unit() {
        for (text, millis) in
            [("0s", 0), ("500ms", 500), ("5s", 5000), ("30m", 1_800_000), ("2d", 172_800_000)]
        {
            assert_eq!(Span::parse(text), Some(Span(Duration::from_millis(millis))), "{text}");
        }
        for bad in ["", "5", "s", "5 s", "-5s", "1.5s", "5S", "5sec", "99999999999999999999s", "4000000d"] {
            assert_eq!(Span::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn sizes_are_bytes_or_have_a_binary_unit() {
        for (text, bytes) in
            [("0", 0), ("16KiB", 16_384), ("10 MiB", 10_485_760), ("7", 7), ("1GiB", 1 << 30)]
        {
            assert_eq!(Size::parse(text), Some(Size(bytes)), "{text}");
        }
        for bad in ["", "KiB", "1KB", "1k", "-1", "1.5MiB", "99999999999GiB", "18446744073709551615KiB"] {
            assert_eq!(Size::parse(bad), None, "{bad}");
        }
    }

    proptest::proptest! {
        #[test]
        fn print_then_parse_is_identity(number in 0_u64..=315_360_000_000) {
            let span = Span(Duration::from_millis(number));
            proptest::prop_assert_eq!(Span::parse(&span.to_string()), Some(span));
            proptest::prop_assert_eq!(Size::parse(&Size(number).to_string()), Some(Size(number)));
        }
    }
}
