//! The order of the lanes (design, "One sign-in", step 4).

use serde::{Deserialize, Serialize};

use super::{Bucket, Dial, Lane, RollbackMode, RuleSubject};
use crate::identity::{CanonicalEmail, LoginName};

/// What the ledger knows of a person, as far as the lane depends on it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Known {
    /// No row, or one that says nothing of the lane (NONE, CLAIMED, CREATED).
    #[default]
    Nothing,
    /// DONE: exists in Scalekit, and did not cross.
    Moved,
    /// Removed by the directory or an operator: never brought back by a legacy password (truth 5).
    Tombstone,
    /// Unknown to every legacy store: there is no old door for them.
    BornNew,
    /// CONFLICT or INELIGIBLE: judged anew at each sign-in, in the legacy lane.
    SetAside,
    /// A new-lane hand-off ended in a session before.
    Crossed,
}

/// A verified force token: a lane for one browser, for a limited time.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Forced {
    pub(crate) lane: Lane,
    /// A canonical name of the one person whom alone it is for.
    pub(crate) only: Option<String>,
}

impl Forced {
    fn is_for(&self, names: &[LoginName]) -> bool {
        self.only.as_ref().is_none_or(|only| names.iter().any(|name| name.canonical() == only))
    }
}

/// Without the name.
impl std::fmt::Debug for Forced {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Forced").field("lane", &self.lane).finish_non_exhaustive()
    }
}

/// The facts of one sign-in.
#[derive(Clone, Debug)]
pub(crate) struct Facts<'a> {
    pub(crate) known: Known,
    pub(crate) forced: Option<&'a Forced>,
    /// What was typed, and every other name that is known of the person: what holds for one of their names holds for
    /// the person, whichever they sign in by.
    pub(crate) names: &'a [LoginName],
    pub(crate) organization: Option<&'a str>,
    pub(crate) bucket: Bucket,
}

/// Why a lane was taken; a closed set, used in logs and as a metric label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Reason {
    Tombstone,
    BornNew,
    SetAside,
    ForceToken,
    DenyRule,
    AllowRule,
    RollbackMode,
    Crossed,
    WithinCutover,
    BeyondCutover,
    /// Would take the new lane, but for the pause.
    Paused,
}

impl Reason {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Tombstone => "tombstone",
            Self::BornNew => "born_new",
            Self::SetAside => "set_aside",
            Self::ForceToken => "force_token",
            Self::DenyRule => "deny_rule",
            Self::AllowRule => "allow_rule",
            Self::RollbackMode => "rollback_mode",
            Self::Crossed => "crossed",
            Self::WithinCutover => "within_cutover",
            Self::BeyondCutover => "beyond_cutover",
            Self::Paused => "paused",
        }
    }
}

/// A lane and its reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Decision {
    pub(crate) lane: Lane,
    pub(crate) reason: Reason,
}

/// A decision, and the rule that it rests on where it is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Weighed<'dial> {
    pub(crate) decision: Decision,
    pub(crate) rule: Option<&'dial RuleSubject>,
}

/// Decides the lane. The first line that applies wins; their order is the contract.
pub(crate) fn weigh<'dial>(dial: &'dial Dial, facts: &Facts<'_>) -> Weighed<'dial> {
    let (lane, reason, rule) = match facts.known {
        Known::Tombstone => (Lane::Legacy, Reason::Tombstone, None),
        Known::BornNew => (Lane::New, Reason::BornNew, None),
        Known::SetAside => (Lane::Legacy, Reason::SetAside, None),
        Known::Nothing | Known::Moved | Known::Crossed => by_dial(dial, facts),
    };
    let is_over = !matches!(facts.known, Known::Nothing | Known::Moved);
    if dial.paused && lane == Lane::New && !is_over && reason != Reason::ForceToken {
        return Weighed { decision: Decision { lane: Lane::Legacy, reason: Reason::Paused }, rule };
    }
    Weighed { decision: Decision { lane, reason }, rule }
}

/// The lane alone.
#[cfg(test)]
pub(crate) fn decide(dial: &Dial, facts: &Facts<'_>) -> Decision {
    weigh(dial, facts).decision
}

fn by_dial<'dial>(dial: &'dial Dial, facts: &Facts<'_>) -> (Lane, Reason, Option<&'dial RuleSubject>) {
    let crossed = facts.known == Known::Crossed;
    if let Some(forced) = facts.forced.filter(|forced| forced.is_for(facts.names)) {
        return (forced.lane, Reason::ForceToken, None);
    }
    if let Some(rule) = that_names(&dial.rules.deny, facts) {
        return (Lane::Legacy, Reason::DenyRule, Some(rule));
    }
    let went_back = dial.rollback == RollbackMode::Legacy;
    let allowed = that_names(&dial.rules.allow, facts);
    // After going back a rule takes over whoever exists in Scalekit, and nobody is created for it (REL-10).
    if allowed.is_some() && !(went_back && facts.known == Known::Nothing) {
        return (Lane::New, Reason::AllowRule, allowed);
    }
    if crossed && went_back {
        (Lane::Legacy, Reason::RollbackMode, None)
    } else if crossed {
        (Lane::New, Reason::Crossed, None)
    } else if facts.bucket.is_within(dial.cutover) {
        (Lane::New, Reason::WithinCutover, None)
    } else if allowed.is_some() {
        (Lane::Legacy, Reason::RollbackMode, allowed)
    } else {
        (Lane::Legacy, Reason::BeyondCutover, None)
    }
}

fn that_names<'dial>(rules: &'dial [RuleSubject], facts: &Facts<'_>) -> Option<&'dial RuleSubject> {
    rules.iter().find(|rule| match rule {
        RuleSubject::Person(name) => facts.names.iter().any(|known| known.canonical() == name),
        RuleSubject::Domain(name) => {
            let mut domains = facts.names.iter().filter_map(LoginName::email).map(CanonicalEmail::domain);
            domains.any(|domain| domain == name)
        }
        RuleSubject::Organization(name) => facts.organization == Some(name),
    })
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use proptest::prelude::*;

    use super::*;
    use crate::rollout::{BasisPoints, Rules};

    static ANN: LazyLock<[LoginName; 2]> =
        LazyLock::new(|| ["ann", "ann@example.com"].map(|name| LoginName::parse(name).unwrap()));
    static TO_NEW: LazyLock<Forced> = LazyLock::new(|| Forced { lane: Lane::New, only: None });
    static TO_LEGACY: LazyLock<Forced> =
        LazyLock::new(|| Forced { lane: Lane::Legacy, only: Some("ann@example.com".into()) });
    static FOR_ANOTHER: LazyLock<Forced> =
        LazyLock::new(|| Forced { lane: Lane::New, only: Some("bob@example.com".into()) });

    fn dial(cutover: u16) -> Dial {
        Dial::new(BasisPoints::new(cutover).unwrap(), BasisPoints::NONE, RollbackMode::Keep, Rules::default())
    }

    fn facts(known: Known, bucket: u16) -> Facts<'static> {
        Facts { known, forced: None, names: &*ANN, organization: Some("acme"), bucket: Bucket::test(bucket) }
    }

    #[test]
    fn each_line_of_the_order_decides_when_it_comes_first() {
        use {Known as K, Lane::*, Reason as R};
        let person = || vec![RuleSubject::Person("ann@example.com".into())];
        let domain = || vec![RuleSubject::Domain("example.com".into())];
        let organization = || vec![RuleSubject::Organization("acme".into())];
        let with = |deny, allow, rollback| Dial { rules: Rules { deny, allow }, rollback, ..dial(5000) };
        let user_name = || vec![RuleSubject::Person("ann".into())];
        let forced = |lane, known| {
            let token = if lane == New { &*TO_NEW } else { &*TO_LEGACY };
            Facts { forced: Some(token), ..facts(known, 0) }
        };
        let for_another = Facts { forced: Some(&*FOR_ANOTHER), ..facts(K::Nothing, 9999) };
        let keep = RollbackMode::Keep;
        let back = RollbackMode::Legacy;
        let table = [
            (with(vec![], person(), keep), forced(New, K::Tombstone), Legacy, R::Tombstone),
            (with(person(), vec![], back), forced(Legacy, K::BornNew), New, R::BornNew),
            (with(vec![], person(), keep), forced(New, K::SetAside), Legacy, R::SetAside),
            (with(person(), vec![], keep), forced(New, K::Nothing), New, R::ForceToken),
            (with(vec![], person(), keep), forced(Legacy, K::Crossed), Legacy, R::ForceToken),
            (with(person(), person(), keep), facts(K::Crossed, 0), Legacy, R::DenyRule),
            (with(vec![], vec![], keep), for_another, Legacy, R::BeyondCutover),
            (with(user_name(), person(), keep), facts(K::Moved, 0), Legacy, R::DenyRule),
            (with(domain(), user_name(), keep), facts(K::Nothing, 0), Legacy, R::DenyRule),
            (with(vec![], user_name(), keep), facts(K::Nothing, 9999), New, R::AllowRule),
            (with(vec![], organization(), back), facts(K::Crossed, 9999), New, R::AllowRule),
            (with(vec![], organization(), back), facts(K::Moved, 9999), New, R::AllowRule),
            (with(vec![], organization(), back), facts(K::Nothing, 9999), Legacy, R::RollbackMode),
            (with(vec![], organization(), back), facts(K::Nothing, 4999), New, R::WithinCutover),
            (with(vec![], vec![], back), facts(K::Crossed, 0), Legacy, R::RollbackMode),
            (with(vec![], vec![], keep), facts(K::Crossed, 9999), New, R::Crossed),
            (with(vec![], vec![], back), facts(K::Nothing, 4999), New, R::WithinCutover),
            (with(vec![], vec![], keep), facts(K::Nothing, 5000), Legacy, R::BeyondCutover),
        ];
        for (dial, facts, lane, reason) in table {
            assert_eq!(decide(&dial, &facts), Decision { lane, reason }, "{facts:?}");
        }
    }

    fn any_known() -> impl Strategy<Value = Known> {
        prop_oneof![
            Just(Known::Nothing),
            Just(Known::Moved),
            Just(Known::Tombstone),
            Just(Known::BornNew),
            Just(Known::SetAside),
            Just(Known::Crossed)
        ]
    }

    proptest! {
        #[test]
        fn raising_the_percent_never_moves_anyone_back(
            known in any_known(), bucket in 0_u16..10_000, low in 0_u16..=10_000, high in 0_u16..=10_000,
        ) {
            let (low, high) = (low.min(high), low.max(high));
            let before = decide(&dial(low), &facts(known, bucket)).lane;
            let after = decide(&dial(high), &facts(known, bucket)).lane;
            prop_assert!(before == Lane::Legacy || after == Lane::New);
        }

        #[test]
        fn migrating_without_cutover_never_changes_a_lane(known in any_known(), bucket in 0_u16..10_000) {
            let facts = facts(known, bucket);
            let migrating =
                Dial::new(BasisPoints::NONE, BasisPoints::ALL, RollbackMode::Keep, Rules::default());
            prop_assert_eq!(decide(&migrating, &facts), decide(&dial(0), &facts));
            prop_assert!(migrating.migrates(facts.bucket));
        }
    }
}
