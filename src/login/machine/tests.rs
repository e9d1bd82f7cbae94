//! Single steps whose reasons the walk over all worlds does not tell apart.

use super::*;
use crate::{
    identity::{CanonicalEmail, ExternalId},
    login::{
        Membership,
        tests::{FakeDirectory, record},
    },
    rollout::Bucket,
};

const SENT: Timestamp = Timestamp::from_seconds(1_800_000_000);

/// A run that has sent its create.
fn waiting() -> Machine {
    let ann = record("ann");
    let fresh = Row::fresh(ann.key(), Bucket::test(1), ExternalId::received("ann".into()), SENT);
    let row = Row {
        state: RowState::Claimed,
        organization: Some(FakeDirectory::organization_id()),
        create_sent_at: Some(SENT),
        ..fresh
    };
    let outcome_budget = Duration::from_secs(10);
    let rules = Rules { on_existing: OnExisting::LinkVerified, outcome_budget, creating: Creating::Allowed };
    Machine::new(row, rules)
}

/// Somebody else's user with one membership, as Scalekit answers a create of a known address with.
fn somebody_else(organization: OrganizationId, since: Option<Timestamp>) -> DirectoryUser {
    DirectoryUser {
        id: UserId("usr_1".into()),
        external_id: Some(ExternalId::received("another".into())),
        email: CanonicalEmail::parse("ann@example.com").ok(),
        email_verified: true,
        memberships: vec![Membership { organization, status: MembershipStatus::Active, since }],
    }
}

#[test]
fn of_somebody_elses_memberships_only_the_one_that_this_call_made_is_taken_back() {
    let ours = FakeDirectory::organization_id();
    let before = |seconds: u64| Some(Timestamp::from_millis(SENT.millis() - 1000 * seconds));
    for (organization, since, is_taken_back) in [
        (ours.clone(), Some(SENT), true),
        // The clocks may differ by a minute.
        (ours.clone(), before(60), true),
        (ours.clone(), before(61), false),
        (ours.clone(), before(24 * 60 * 60), false),
        (OrganizationId("org_2".into()), Some(SENT), false),
        // Scalekit does not say when.
        (ours.clone(), None, true),
    ] {
        let user = somebody_else(organization.clone(), since);
        let expected = if is_taken_back {
            Command::RemoveMembership(organization.clone(), user.id.clone())
        } else {
            Command::Stop(Stop::Conflict(SetAside::CreatedForeign))
        };
        assert_eq!(waiting().step(Event::Created(user), SENT), expected, "{organization:?} since {since:?}");
    }
}
