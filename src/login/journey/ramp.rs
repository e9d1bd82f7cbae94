//! A whole population over a ramp, by the real decision and the real row (REL-09): who is over stays over, a device is
//! no other person, and the share of those who are not pinned follows the dial both ways.

use std::{array, thread};

use super::*;
use crate::{
    clock::Timestamp,
    config::{HandOffs, Migration, OnExisting},
    identity::{CanonicalEmail, ExternalId, LegacyId},
    login::tests::{rules, source},
    proxy::tests::figures,
    rollout::{BasisPoints, BucketSalt, Dial, RollbackMode, Rules},
};

const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);

/// In basis points; the fifth step goes back.
const RAMP: [u16; 7] = [10, 100, 500, 2500, 1000, 5000, 10_000];

const DEVICES: usize = 3;

/// Everybody is created when they sign in, so that a name is known after the first sign-in by it.
fn settings(cutover: u16) -> Arc<Settings> {
    let cutover = BasisPoints::new(cutover).unwrap();
    Arc::new(Settings {
        dial: Dial::new(cutover, BasisPoints::ALL, RollbackMode::Keep, Rules::default()),
        salt: BucketSalt::new(&[7; 32]),
        sources: [(source(), rules())].into(),
        hand_offs: HandOffs { default: HandOff::Hosted, organizations: [].into() },
        on_existing: OnExisting::LinkVerified,
        migration: Migration::default(),
    })
}

/// Somebody with three devices: two spellings of their address, and their user name.
struct Person {
    number: usize,
    names: [LoginName; DEVICES],
    row: Option<Row>,
    lanes: [Option<Lane>; DEVICES],
}

impl Person {
    fn new(number: usize) -> Self {
        let name = |text: String| LoginName::parse(&text).unwrap();
        let names = [
            name(format!("p{number}@example.com")),
            name(format!(" P{number}@Example.COM")),
            name(format!("user{number}")),
        ];
        Self { number, names, row: None, lanes: [None; DEVICES] }
    }

    /// Every second one never gets to the end of a hand-off, and so is never pinned.
    fn crosses(&self) -> bool {
        self.number.is_multiple_of(2)
    }

    fn is_pinned(&self) -> bool {
        self.row.as_ref().is_some_and(|row| row.crossed_at.is_some())
    }

    /// Whether the ledger finds the person by what this device types.
    fn is_identified(&self, device: usize) -> bool {
        let name = &self.names[device];
        self.row.as_ref().is_some_and(|row| {
            let typed = Alias::Typed(name.canonical().to_owned());
            let email = name.email().map(|email| Alias::Email(email.clone()));
            row.aliases.iter().any(|alias| *alias == typed || Some(alias) == email.as_ref())
        })
    }

    /// Decides with the row in hand, and gives it back: nothing is copied.
    fn decided(&mut self, settings: &Arc<Settings>, device: usize, by_key: bool) -> Decided {
        let row = if by_key || self.is_identified(device) { self.row.take() } else { None };
        let had = row.is_some();
        let mut decided = decide_with(Arc::clone(settings), self.names[device].clone(), None, row, None);
        if had {
            self.row = decided.row.take();
        }
        decided
    }

    /// One sign-in with the right password.
    fn signs_in(&mut self, settings: &Arc<Settings>, device: usize) -> Lane {
        let began = self.decided(settings, device, false);
        let mut lane = began.decision.lane;
        if began.migrates() {
            if self.row.is_none() {
                let id = format!("{}", self.number);
                let key = PersonKey { source: source(), id: LegacyId::parse(&id).unwrap() };
                let fresh = Row::fresh(key, began.bucket, ExternalId::received(id), NOW);
                self.row = Some(Row { state: RowState::Done, ..fresh });
            }
            let again = self.decided(settings, device, true).decision.lane;
            // A sign-in ends in the lane it began in where the application has answered already.
            if began.decision.lane == Lane::New {
                lane = again;
            }
            let (number, typed) = (self.number, self.names[device].canonical().to_owned());
            let crosses = self.crosses() && lane == Lane::New;
            let row = self.row.as_mut().unwrap();
            row.add_alias(Alias::Typed(typed));
            let address = format!("p{number}@example.com");
            if row.aliases.len() == 1 {
                row.add_alias(Alias::Email(CanonicalEmail::parse(&address).unwrap()));
            }
            if crosses && row.crossed_at.is_none() {
                row.crossed_at = Some(NOW);
            }
        }
        lane
    }
}

/// What was counted at each step.
#[derive(Clone, Copy, Default)]
struct Step {
    not_pinned: u32,
    not_pinned_new: u32,
    pinned: u32,
    everybody: u32,
    everybody_new: u32,
}

/// One person through the whole ramp.
fn live(person: &mut Person, ramp: &[(u16, Arc<Settings>); RAMP.len()], counts: &mut [Step; RAMP.len()]) {
    let mut before = 0;
    for (step, ((cutover, settings), counts)) in ramp.iter().zip(counts).enumerate() {
        // People do not all come at once.
        if step < person.number % 3 {
            continue;
        }
        let was_pinned = person.is_pinned();
        for turn in 0..DEVICES {
            let device = (person.number + step + turn) % DEVICES;
            let was_identified = person.is_identified(device);
            let lane = person.signs_in(settings, device);
            let left = person.lanes[device] == Some(Lane::New) && lane == Lane::Legacy;
            assert!(!(left && *cutover >= before), "person {} left on a raise to {cutover}", person.number);
            assert!(
                !was_pinned || !was_identified || lane == Lane::New,
                "person {} is pinned and left",
                person.number
            );
            person.lanes[device] = Some(lane);
        }
        let lanes: [Decision; DEVICES] =
            array::from_fn(|device| person.decided(settings, device, false).decision);
        assert!(person.is_identified(0) && person.is_identified(1) && person.is_identified(2));
        assert_eq!(lanes[0], lanes[1], "one person has one lane: {}", person.number);
        assert_eq!(lanes[0], lanes[2], "one person has one lane: {}", person.number);
        let is_new = u32::from(lanes[0].lane == Lane::New);
        counts.everybody += 1;
        counts.everybody_new += is_new;
        counts.pinned += u32::from(person.is_pinned());
        if !person.crosses() {
            counts.not_pinned += 1;
            counts.not_pinned_new += is_new;
        }
        before = *cutover;
    }
}

#[test]
fn over_a_ramp_nobody_who_is_over_leaves_and_the_share_of_the_others_follows_the_dial() {
    let people = if figures::long() { 1_000_000 } else { 50_000 };
    let ramp = RAMP.map(|cutover| (cutover, settings(cutover)));
    let halves = thread::scope(|scope| {
        let half = |from: usize| {
            let ramp = &ramp;
            scope.spawn(move || {
                let mut counts = [Step::default(); RAMP.len()];
                for number in (from..people).step_by(2) {
                    live(&mut Person::new(number), ramp, &mut counts);
                }
                counts
            })
        };
        [half(0), half(1)].map(|half| half.join().unwrap())
    });
    let mut told = Vec::new();
    let mut most = 0.0_f64;
    for (step, cutover) in RAMP.iter().enumerate() {
        let sum =
            |count: fn(&Step) -> u32| halves.iter().map(|half| f64::from(count(&half[step]))).sum::<f64>();
        let dial = f64::from(*cutover) / 100.0;
        let (others, new) = (sum(|step| step.not_pinned), sum(|step| step.not_pinned_new));
        let share = 100.0 * new / others;
        let real = 100.0 * sum(|step| step.everybody_new) / sum(|step| step.everybody);
        let pinned = 100.0 * sum(|step| step.pinned) / sum(|step| step.everybody);
        // Fewer people spread more: four standard deviations of their number, which is 0.3 points for a million.
        let spread = 4.0 * 100.0 * (dial / 100.0 * (1.0 - dial / 100.0) / others).sqrt();
        let may_differ = if figures::long() { 0.3 } else { spread.max(0.3) };
        assert!((share - dial).abs() <= may_differ, "at {dial}%: {share}% of those not pinned");
        most = most.max((share - dial).abs());
        told.push(format!("{dial}%: {share:.2}% (all {real:.2}%, pinned {pinned:.2}%)"));
    }
    figures::note(&format!(
        "ramp of {people} people with {DEVICES} devices, share of those not pinned: {}; off by at most {most:.3} points",
        told.join(", ")
    ));
}
