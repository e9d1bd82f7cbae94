//! The dial as feature flags say it: the last good value of each.

use super::super::{BasisPoints, Dial, RollbackMode};

/// What feature flags say of the dial. A flag that never had a good value leaves it to the file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Flagged {
    pub(crate) cutover: Option<BasisPoints>,
    pub(crate) migrate: Option<BasisPoints>,
    pub(crate) rollback: Option<RollbackMode>,
    pub(crate) paused: Option<bool>,
}

impl Flagged {
    /// Whether any flag ever had a good value.
    pub(crate) fn says_something(&self) -> bool {
        *self != Self::default()
    }

    /// The dial that these flags and the file's values and rules make.
    pub(super) fn dial(&self, file: &Dial) -> Dial {
        let dial = Dial::new(
            self.cutover.unwrap_or(file.cutover),
            self.migrate.unwrap_or(file.migrate),
            self.rollback.unwrap_or(file.rollback),
            file.rules.clone(),
        );
        Dial { paused: self.paused.unwrap_or(file.paused), ..dial }
    }
}

#[cfg(feature = "openfeature")]
mod reading {
    use serde_json::Value;

    use super::{BasisPoints, Flagged, RollbackMode};

    /// One of the flags that the dial is made of.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(crate) enum DialFlag {
        Cutover,
        Migrate,
        RollbackMode,
        Paused,
    }

    impl DialFlag {
        pub(crate) const ALL: [Self; 4] = [Self::Cutover, Self::Migrate, Self::RollbackMode, Self::Paused];

        /// The word in logs, metrics and answers: the configuration's.
        pub(crate) const fn as_str(self) -> &'static str {
            match self {
                Self::Cutover => "cutover",
                Self::Migrate => "migrate",
                Self::RollbackMode => "rollback_mode",
                Self::Paused => "paused",
            }
        }
    }

    impl Flagged {
        /// Whether this flag ever had a good value.
        pub(crate) fn says(&self, flag: DialFlag) -> bool {
            match flag {
                DialFlag::Cutover => self.cutover.is_some(),
                DialFlag::Migrate => self.migrate.is_some(),
                DialFlag::RollbackMode => self.rollback.is_some(),
                DialFlag::Paused => self.paused.is_some(),
            }
        }

        /// Takes a flag's value, or leaves what was before and says what the value has to be.
        pub(crate) fn take(&mut self, flag: DialFlag, value: &Value) -> Result<(), &'static str> {
            const SHARE: &str = "must be a number from 0 to 100, in percent, with at most two decimals";
            match flag {
                DialFlag::Cutover => self.cutover = Some(share(value).ok_or(SHARE)?),
                DialFlag::Migrate => self.migrate = Some(share(value).ok_or(SHARE)?),
                DialFlag::RollbackMode => {
                    let mode = match value.as_str() {
                        Some("keep") => RollbackMode::Keep,
                        Some("legacy") => RollbackMode::Legacy,
                        _ => return Err("must be keep or legacy"),
                    };
                    self.rollback = Some(mode);
                }
                DialFlag::Paused => self.paused = Some(value.as_bool().ok_or("must be true or false")?),
            }
            Ok(())
        }
    }

    /// A share in percent: `12.5`, or the text that the configuration takes, `"12.5%"`. Of a number as it is printed,
    /// so that nothing is rounded to something that nobody wrote.
    fn share(value: &Value) -> Option<BasisPoints> {
        match value {
            Value::Number(number) => BasisPoints::parse_percent(&number.to_string()),
            Value::String(text) => BasisPoints::parse_percent(text),
            _ => None,
        }
    }

    #[cfg(test)]
    mod tests {
        use serde_json::json;

        use super::*;

        fn taken(flag: DialFlag, value: &Value) -> Option<Flagged> {
            let mut flagged = Flagged::default();
            flagged.take(flag, value).ok().map(|()| flagged)
        }

        #[test]
        fn a_share_is_a_number_in_percent_or_the_text_of_one() {
            for (value, points) in [
                (json!(0), 0),
                (json!(5), 500),
                (json!(5.0), 500),
                (json!(12.5), 1250),
                (json!(33.33), 3333),
                (json!(1e1), 1000),
                (json!(100), 10_000),
                (json!("12.5%"), 1250),
            ] {
                let share = BasisPoints::new(points);
                let expected = Flagged { cutover: share, ..Flagged::default() };
                assert_eq!(taken(DialFlag::Cutover, &value), Some(expected), "{value}");
                let expected = Flagged { migrate: share, ..Flagged::default() };
                assert_eq!(taken(DialFlag::Migrate, &value), Some(expected), "{value}");
            }
        }

        #[test]
        fn what_is_out_of_range_or_of_another_type_changes_nothing() {
            let shares =
                [json!(-1), json!(100.01), json!(101), json!(0.001), json!(1e300), json!("all"), json!(true)];
            let modes = [json!("Keep"), json!(""), json!(0), json!({"mode": "legacy"})];
            let switches = [json!("true"), json!(1), json!([])];
            let tried = [
                (DialFlag::Cutover, shares.as_slice()),
                (DialFlag::Migrate, &shares),
                (DialFlag::RollbackMode, &modes),
                (DialFlag::Paused, &switches),
            ];
            let before = Flagged {
                cutover: BasisPoints::new(700),
                migrate: BasisPoints::new(900),
                rollback: Some(RollbackMode::Legacy),
                paused: Some(true),
            };
            for (flag, values) in tried {
                for value in values {
                    let mut flagged = before;
                    assert!(flagged.take(flag, value).is_err(), "{flag:?} {value}");
                    assert_eq!(flagged, before, "{flag:?} {value}");
                }
            }
        }
    }
}

#[cfg(feature = "openfeature")]
pub(crate) use reading::DialFlag;
