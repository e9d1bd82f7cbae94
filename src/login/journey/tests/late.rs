//! Processes that stand still on the way to a create: one that comes too late is not sent, whatever it is late for.

use std::sync::atomic::AtomicBool;

use super::*;

/// Stands still once, before a step, for so long.
struct Sleeper {
    clock: Arc<TestClock>,
    before: &'static str,
    sleeps: Duration,
    has_slept: AtomicBool,
    told: Mutex<Vec<String>>,
}

impl Witness for Sleeper {
    fn step(&self, moment: Moment, step: &'static str, _: &Row) {
        if (moment, step) == (Moment::Before, self.before) && !self.has_slept.swap(true, Ordering::SeqCst) {
            self.clock.advance(self.sleeps);
        }
    }

    fn moved(&self, _: &RowState, _: &Row) {}

    fn notice(&self, _: &Row, _: Notice) {}

    fn failed(&self, step: &'static str, error: &(dyn std::error::Error + 'static), _: &Row) {
        self.told.lock().unwrap().push(format!("{step}: {error}"));
    }

    fn unavailable(&self, _: &'static str, _: &(dyn std::error::Error + 'static)) {}

    fn doubted(&self, _: Option<Doubt>) {}

    fn removed_again(&self, _: usize) {}

    fn unreadable(&self, _: &PersonKey) {}
}

/// What was told of a first sign-in that sleeps so long before a step. It sends nothing, and the next one creates.
async fn told_of_one_that_sleeps(sleeps: Duration, before: &'static str) -> Vec<String> {
    let mut world = cutover();
    let clock = TestClock::at(Timestamp::from_seconds(1_800_000_000));
    let sleeper = Sleeper {
        clock: Arc::clone(&clock),
        before,
        sleeps,
        has_slept: AtomicBool::new(false),
        told: Mutex::default(),
    };
    let sleeper = Arc::new(sleeper);
    world.journeys.clock = clock;
    world.journeys.witness = Arc::clone(&sleeper) as _;
    let outcome = world.sign_in("ann", "right").await;
    assert!(sleeper.has_slept.load(Ordering::SeqCst), "{before}");
    assert_eq!(outcome, Outcome::Forward(WhyForward::Later), "{sleeps:?} before {before}");
    assert_eq!((world.users(), world.row("ann").create_sent_at), (0, None), "{sleeps:?} before {before}");
    let told = sleeper.told.lock().unwrap().clone();
    assert!(is_hand_over(&world.sign_in("ann", "right").await));
    assert_eq!(world.users(), 1);
    told
}

const TOO_LATE: &str = "create: it came too late for its claim, and nothing was sent";

/// Somebody else may have created the person by now.
#[tokio::test]
async fn whoever_slept_through_the_lease_sends_no_create() {
    let lease = Migration::default().lease;
    assert_eq!(told_of_one_that_sleeps(lease, "create").await, [TOO_LATE]);
}

/// The intent is a new one, so that the claim alone tells: it lasts for two more seconds, and a call may take three.
#[tokio::test]
async fn a_claim_that_would_end_during_the_call_sends_no_create() {
    let Migration { lease, scalekit_budget, .. } = Migration::default();
    let slept = lease.saturating_sub(scalekit_budget) + Duration::from_secs(1);
    assert_eq!(told_of_one_that_sleeps(slept, "find_by_email").await, [TOO_LATE]);
}

/// The claim lasts for long enough, and others take the create's time for over: they would look and send their own.
#[tokio::test]
async fn an_intent_that_others_take_for_over_sends_no_create() {
    let Migration { lease, scalekit_budget, outcome_budget, .. } = Migration::default();
    for slept in [outcome_budget, Duration::from_secs(15)] {
        assert!(slept + scalekit_budget < lease);
        told_of_one_that_sleeps(slept, "create").await;
    }
}
