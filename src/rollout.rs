//! Which lane one sign-in takes, and why: pure, from facts that others gathered.
//!
//! Never does I/O and never looks at the time: the same facts give the same [`Lane`] with the same `Reason` on
//! every replica. Start reading at [`weigh()`]; what turns the dial is in `flags`.

mod bucket;
mod decide;
mod flags;

pub(crate) use bucket::{Bucket, BucketSalt};
#[cfg(test)]
pub(crate) use decide::decide;
pub(crate) use decide::{Decision, Facts, Forced, Known, Reason, weigh};
#[cfg(feature = "openfeature")]
pub(crate) use flags::DialFlag;
pub(crate) use flags::{
    Change, ChangeRefused, DialSource, FlagState, Flagged, Judgement, NamedPerson, Standing,
};

use serde::{Deserialize, Serialize};

/// The way one sign-in takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Lane {
    /// The application decides; the browser notices nothing.
    Legacy,
    /// The sign-in ends in a Scalekit session.
    New,
}

/// A share of people in hundredths of a percent: 0 … 10,000.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub(crate) struct BasisPoints(u16);

impl BasisPoints {
    pub(crate) const ALL: Self = Self(10_000);
    pub(crate) const NONE: Self = Self(0);

    /// `None` above 10,000.
    pub(crate) const fn new(points: u16) -> Option<Self> {
        if points <= 10_000 { Some(Self(points)) } else { None }
    }

    /// Reads `12.5%`, `12.5`, `0.01%`: a percentage with at most two decimals. `None` for anything else.
    pub(crate) fn parse_percent(text: &str) -> Option<Self> {
        let number = text.strip_suffix('%').unwrap_or(text);
        let (whole, decimals) = number.split_once('.').unwrap_or((number, ""));
        let digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
        let dot_needs_decimals = number.contains('.') && decimals.is_empty();
        if whole.is_empty() || whole.len() > 3 || decimals.len() > 2 || dot_needs_decimals {
            return None;
        }
        if !digits(whole) || !digits(decimals) {
            return None;
        }
        let hundredths: u16 = format!("{decimals:0<2}").parse().ok()?;
        Self::new(whole.parse::<u16>().ok()?.checked_mul(100)?.checked_add(hundredths)?)
    }

    pub(crate) const fn get(self) -> u16 {
        self.0
    }
}

impl<'de> Deserialize<'de> for BasisPoints {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let points = u16::deserialize(deserializer)?;
        Self::new(points).ok_or_else(|| serde::de::Error::custom("a share is at most 10000 basis points"))
    }
}

/// As a percentage: `12.5%`.
impl std::fmt::Display for BasisPoints {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (whole, rest) = (self.0 / 100, self.0 % 100);
        match (rest, rest % 10) {
            (0, _) => write!(f, "{whole}%"),
            (_, 0) => write!(f, "{whole}.{}%", rest / 10),
            _ => write!(f, "{whole}.{rest:02}%"),
        }
    }
}

/// What happens to people who already crossed when the dial goes back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum RollbackMode {
    /// Not rolled back: crossed people stay in the new lane.
    #[default]
    Keep,
    /// Crossed people go back to legacy; born-new people stay (REL-10).
    Legacy,
}

/// Whom a rule names.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum RuleSubject {
    /// A canonical identifier: e-mail or trimmed login name.
    Person(String),
    /// An e-mail domain, lower-case A-labels, exact.
    Domain(String),
    /// A legacy organisation's external id.
    Organization(String),
}

/// Rules that come before the percentage; the first matching deny rule wins over every allow rule.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub(crate) struct Rules {
    pub(crate) deny: Vec<RuleSubject>,
    pub(crate) allow: Vec<RuleSubject>,
}

/// The dial as it stands at one moment; read once per sign-in, so that a change is atomic per request (REL-09).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Dial {
    pub(crate) cutover: BasisPoints,
    migrate: BasisPoints,
    pub(crate) rollback: RollbackMode,
    pub(crate) rules: Rules,
    /// Nobody who has not crossed takes the new lane or is created; nothing else changes.
    pub(crate) paused: bool,
}

impl Dial {
    pub(crate) fn new(
        cutover: BasisPoints,
        migrate: BasisPoints,
        rollback: RollbackMode,
        rules: Rules,
    ) -> Self {
        Self { cutover, migrate, rollback, rules, paused: false }
    }

    /// The migrate percent in effect: never below the cutover percent, and after going back to legacy not above it:
    /// nobody is created who does not take the new lane (REL-10).
    pub(crate) fn migrate(&self) -> BasisPoints {
        match self.rollback {
            RollbackMode::Keep => self.migrate.max(self.cutover),
            RollbackMode::Legacy => self.cutover,
        }
    }

    /// Whether a person of this bucket is created in Scalekit when they sign in, whatever their lane.
    pub(crate) fn migrates(&self, bucket: Bucket) -> bool {
        !self.paused && bucket.is_within(self.migrate())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentage_has_at_most_two_decimals_and_one_reading() {
        for (text, points) in
            [("0", 0), ("0.01%", 1), ("0.1%", 10), ("12.5", 1250), ("100%", 10_000), ("007", 700)]
        {
            assert_eq!(BasisPoints::parse_percent(text).map(BasisPoints::get), Some(points), "{text}");
        }
        for bad in ["", "%", "100.01", "101", "-1", "1.", ".5", "1.234", "1e2", " 1", "1 %", "999999"] {
            assert_eq!(BasisPoints::parse_percent(bad), None, "{bad}");
        }
    }

    proptest::proptest! {
        #[test]
        fn parse_after_print_is_identity(points in 0_u16..=10_000) {
            let points = BasisPoints::new(points).unwrap();
            proptest::prop_assert_eq!(BasisPoints::parse_percent(&points.to_string()), Some(points));
        }
    }

    #[test]
    fn the_migrate_percent_is_never_below_the_cutover_percent() {
        let dial = Dial::new(BasisPoints(500), BasisPoints(100), RollbackMode::Keep, Rules::default());
        assert_eq!(dial.migrate(), BasisPoints(500));
    }

    #[test]
    fn after_going_back_to_legacy_the_migrate_percent_creates_nobody() {
        let back = |cutover| {
            Dial::new(BasisPoints(cutover), BasisPoints::ALL, RollbackMode::Legacy, Rules::default())
        };
        assert_eq!(back(0).migrate(), BasisPoints::NONE);
        assert!(!back(0).migrates(Bucket::test(0)));
        assert_eq!(back(500).migrate(), BasisPoints(500), "of those whom the dial takes over all the same");
    }
}
