//! How the dial is told.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use super::{reach::People, rules::RuleSeen};
use crate::{
    admin::api::Control,
    config::AdminRole,
    jobs::Stands,
    login::{Doubt, Ledger as _, Why},
    rollout::{BasisPoints, Dial, DialSource, FlagState, Lane, RollbackMode},
};

/// A share of people as the configuration writes it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Percent(pub(super) BasisPoints);

impl Serialize for Percent {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Percent {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let read = BasisPoints::parse_percent(text.trim_end());
        let wanted = "must be a percentage from 0% to 100% with at most two decimals, as in 12.5%";
        read.map(Self).ok_or_else(|| D::Error::custom(wanted))
    }
}

impl JsonSchema for Percent {
    fn schema_name() -> Cow<'static, str> {
        "Percent".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "A share of people: a percentage with at most two decimals.",
            "pattern": "^(100(\\.0{1,2})?|[0-9]{1,2}(\\.[0-9]{1,2})?)%?$",
            "examples": ["12.5%"],
        })
    }
}

/// What becomes of people who crossed when the dial goes back.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "RollbackMode")]
pub(super) enum Mode {
    /// They stay in the new lane.
    Keep,
    /// They go back to legacy.
    Legacy,
}

impl From<Mode> for RollbackMode {
    fn from(mode: Mode) -> Self {
        match mode {
            Mode::Keep => Self::Keep,
            Mode::Legacy => Self::Legacy,
        }
    }
}

impl From<RollbackMode> for Mode {
    fn from(mode: RollbackMode) -> Self {
        match mode {
            RollbackMode::Keep => Self::Keep,
            RollbackMode::Legacy => Self::Legacy,
        }
    }
}

/// Who says where the dial stands.
#[derive(Clone, Copy, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "DialSource")]
pub(super) enum Source {
    /// The store's record.
    Store,
    /// The configuration file.
    File,
    /// Feature flags of flagd.
    Flagd,
}

impl From<DialSource> for Source {
    fn from(source: DialSource) -> Self {
        match source {
            DialSource::Store => Self::Store,
            DialSource::File => Self::File,
            DialSource::Flagd => Self::Flagd,
        }
    }
}

/// The way a sign-in takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "Lane")]
pub(super) enum LaneName {
    Legacy,
    New,
}

impl From<Lane> for LaneName {
    fn from(lane: Lane) -> Self {
        match lane {
            Lane::Legacy => Self::Legacy,
            Lane::New => Self::New,
        }
    }
}

/// How the dial stands.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Rollout {
    /// Names this state in the next change; 0 before the first one.
    version: u64,
    /// What counts now, at the replica that answered.
    in_force: InForce,
    /// Who may say so, by the configuration (`rollout.source`).
    source: Source,
    /// Whether the file and the store's record say different things.
    differs: bool,
    /// Whether the store's record was read at the last look; if not, the one from before counts.
    store_answers: bool,
    /// The store's record, where it is there and cannot be read; a change over it has to say `overwrite_unreadable`.
    unreadable: Option<UnreadableRecord>,
    /// With `source: flagd`, the feature flags that are not followed now: their last good value counts, or the file's.
    flags_not_followed: Vec<FlagTrouble>,
    file: OfFile,
    /// What was set last through this API.
    record: Option<Record>,
    /// After a rollback to legacy: the allow rules, and the pins of operators, whose people take the new lane
    /// nevertheless, if they are in Scalekit already. Nobody is created for them.
    still_new: Vec<RuleSeen>,
    /// How far people are; null while the ledger cannot be asked.
    people: Option<People>,
    /// Why the store is in doubt, where it is, and nobody is created: the word of `/store`. Not told with a refusal.
    store_doubt: Option<&'static str>,
}

/// A record that nobody can read here, and that counts for nothing meanwhile.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct UnreadableRecord {
    /// 0 where not even that can be known.
    version: u64,
    /// Goes on from "the record".
    why: String,
    /// A newer Crossfade wrote it: there is nothing wrong with it, and a replica of that release reads it.
    is_newer: bool,
}

/// A feature flag that is not followed, and why.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct FlagTrouble {
    /// What it stands for: `cutover`, `migrate`, `rollback_mode` or `paused`.
    flag: &'static str,
    why: &'static str,
}

/// The dial in force.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct InForce {
    from: Source,
    /// Share of people whose sign-ins take the new lane.
    cutover: Percent,
    /// Share of people who are created in Scalekit when they sign in; never below `cutover`.
    migrate: Percent,
    rollback: Mode,
    /// Nobody who has not crossed takes the new lane or is created.
    paused: bool,
}

/// The configuration file's word.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct OfFile {
    cutover: Percent,
    migrate: Percent,
    rollback: Mode,
    deny_rules: usize,
    allow_rules: usize,
}

/// The store's record.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Record {
    cutover: Percent,
    migrate: Percent,
    rollback: Mode,
    paused: bool,
    /// People whom an operator pinned to the new lane.
    named_new: usize,
    /// People whom an operator holds in legacy.
    named_legacy: usize,
    /// RFC 3339, UTC.
    changed_at: String,
    /// The name of the token that made the change.
    changed_by: String,
    reason: Option<String>,
}

impl Rollout {
    /// With what the ledger says of people, where it can be asked.
    pub(super) async fn seen(control: &Control, role: AdminRole) -> Self {
        let stands = control.dialing.stands();
        let counts = control.gate.journeys.ledger.counts().await;
        let people = counts.map(|counts| People::of(&counts, &stands.standing.dial()));
        let doubt = control.gate.journeys.store_standing().doubt;
        Self { people: people.ok(), store_doubt: doubt.map(Doubt::as_str), ..Self::of(&stands, role) }
    }

    pub(super) fn of(stands: &Stands, role: AdminRole) -> Self {
        let standing = &stands.standing;
        let (dial, file) = (standing.dial(), &standing.file);
        Self {
            version: stands.version(),
            in_force: InForce::of(&dial, standing.in_force()),
            source: standing.source.into(),
            differs: standing.disagrees(),
            store_answers: stands.store_answers,
            unreadable: stands.unreadable.map(|record| UnreadableRecord {
                version: record.version,
                why: record.why.to_string(),
                is_newer: matches!(record.why, Why::Newer { .. }),
            }),
            flags_not_followed: stands
                .flag_troubles
                .iter()
                .map(|&(flag, why)| FlagTrouble { flag, why })
                .collect(),
            file: OfFile {
                cutover: Percent(file.cutover),
                migrate: Percent(file.migrate()),
                rollback: file.rollback.into(),
                deny_rules: file.rules.deny.len(),
                allow_rules: file.rules.allow.len(),
            },
            record: standing.record.as_ref().map(Record::of),
            still_new: RuleSeen::still_new(standing, role),
            people: None,
            store_doubt: None,
        }
    }
}

impl InForce {
    fn of(dial: &Dial, from: DialSource) -> Self {
        Self {
            from: from.into(),
            cutover: Percent(dial.cutover),
            migrate: Percent(dial.migrate()),
            rollback: dial.rollback.into(),
            paused: dial.paused,
        }
    }
}

impl Record {
    fn of(record: &FlagState) -> Self {
        let named = |lane: Lane| record.people.iter().filter(|named| named.lane == lane).count();
        Self {
            cutover: Percent(record.cutover),
            migrate: Percent(record.migrate),
            rollback: record.rollback.into(),
            paused: record.paused,
            named_new: named(Lane::New),
            named_legacy: named(Lane::Legacy),
            changed_at: record.changed_at.to_string(),
            changed_by: record.changed_by.clone(),
            reason: record.reason.clone(),
        }
    }
}
