//! Every interleaving of two replicas' runs of the real machine with every fault, against a model of Scalekit and of
//! the ledger: a breadth-first walk over all reachable worlds.
//!
//! The promises are checked on the way (`world`), and afterwards that every world still leads to a finished person
//! without the help of a fault. Seeded mistakes show that the walk finds what it looks for.

mod entry;
mod world;

use std::{collections::HashMap, fmt::Write as _};

use self::{
    entry::{Asked, Step, real},
    world::{Before, Broken, Duplicate, Setting, World},
};
use super::{Command, Creating, Event, Machine, Phase, RowState, Stop};

/// What a walk found.
struct Walk {
    worlds: usize,
    steps: usize,
    questions: usize,
}

/// How a promise was broken, step by step.
struct Story {
    broken: Broken,
    told: String,
}

/// Walks through every world that can be reached.
fn walk(setting: Setting, step: Step) -> Result<Walk, Story> {
    let mut asked = Asked::new(step);
    let first = World::first(setting);
    let mut numbers = HashMap::from([(first, 0)]);
    let mut worlds = vec![first];
    // How each world was first met, and from which worlds it is reached without a fault.
    let mut met: Vec<(usize, &'static str)> = vec![(0, "begin")];
    let mut reached_from: Vec<Vec<usize>> = vec![Vec::new()];
    let mut steps = 0;
    let mut here = 0;
    while here < worlds.len() {
        let world = worlds[here];
        let nexts = world.next(setting, &mut asked).map_err(|broken| tell(broken, here, &met, &worlds))?;
        for next in nexts {
            steps += 1;
            let number = *numbers.entry(next.world).or_insert_with(|| {
                worlds.push(next.world);
                met.push((here, next.what));
                reached_from.push(Vec::new());
                worlds.len() - 1
            });
            if !next.is_fault {
                reached_from[number].push(here);
            }
        }
        here += 1;
    }
    match dead_end(setting, &worlds, &reached_from) {
        Some(dead) => Err(tell("a dead end: the person can never finish", dead, &met, &worlds)),
        None => Ok(Walk { worlds: worlds.len(), steps, questions: asked.questions() }),
    }
}

/// A world from which nobody finishes unless something fails.
fn dead_end(setting: Setting, worlds: &[World], reached_from: &[Vec<usize>]) -> Option<usize> {
    let mut finishes: Vec<bool> = worlds.iter().map(|world| world.is_finished(setting)).collect();
    let mut open: Vec<usize> = (0..worlds.len()).filter(|number| finishes[*number]).collect();
    while let Some(number) = open.pop() {
        for from in &reached_from[number] {
            if !std::mem::replace(&mut finishes[*from], true) {
                open.push(*from);
            }
        }
    }
    finishes.iter().position(|finishes| !finishes)
}

fn tell(broken: Broken, at: usize, met: &[(usize, &'static str)], worlds: &[World]) -> Story {
    let (mut path, mut here) = (Vec::new(), at);
    while here != 0 {
        path.push(met[here].1);
        here = met[here].0;
    }
    path.reverse();
    let mut told = path.join("\n  ");
    let _ = write!(told, "\n{:#?}", worlds[at]);
    Story { broken, told }
}

const PLAIN: Setting = Setting {
    duplicate: Duplicate::Refused,
    before: Before::Nobody,
    lags: false,
    removes: false,
    loses: false,
    ignores_fences: false,
    never_doubts: false,
};

/// Whether everything is walked through: `CROSSFADE_TESTS=long tests/run`.
#[expect(clippy::disallowed_methods, reason = "the tests' own setting, not the product's")]
fn long() -> bool {
    std::env::var_os("CROSSFADE_TESTS").is_some_and(|form| form == "long")
}

/// What is walked through in the short form: each of Scalekit's ways once with nobody and once with somebody there,
/// and each misfortune.
fn short_settings() -> Vec<Setting> {
    use Duplicate::{Existing, Internal, NothingIsUnique, Refused};
    let plain = |duplicate, before, lags| Setting { duplicate, before, lags, ..PLAIN };
    vec![
        plain(Refused, Before::Nobody, true),
        plain(Existing, Before::Nobody, true),
        plain(Internal, Before::Nobody, true),
        plain(NothingIsUnique, Before::Nobody, true),
        plain(Refused, Before::Linkable, false),
        plain(Existing, Before::Stranger, true),
        Setting { removes: true, ..PLAIN },
        Setting { loses: true, ..PLAIN },
        Setting { duplicate: NothingIsUnique, loses: true, ..PLAIN },
    ]
}

/// All settings there are.
fn all_settings() -> Vec<Setting> {
    let mut all = Vec::new();
    for duplicate in
        [Duplicate::Refused, Duplicate::Existing, Duplicate::Internal, Duplicate::NothingIsUnique]
    {
        for before in [Before::Nobody, Before::Linkable, Before::Stranger] {
            for lags in [false, true] {
                all.push(Setting { duplicate, before, lags, ..PLAIN });
            }
        }
        all.push(Setting { duplicate, lags: true, removes: true, ..PLAIN });
        all.push(Setting { duplicate, lags: true, loses: true, ..PLAIN });
    }
    all
}

#[test]
fn no_interleaving_and_no_fault_breaks_a_promise_or_leaves_a_dead_end() {
    let (mut worlds, mut steps, mut questions) = (0, 0, 0);
    for setting in if long() { all_settings() } else { short_settings() } {
        match walk(setting, real) {
            Ok(walk) => {
                println!("{:>8} worlds, {:>9} steps: {setting:?}", walk.worlds, walk.steps);
                worlds += walk.worlds;
                steps += walk.steps;
                questions += walk.questions;
            }
            Err(story) => panic!("{}: {setting:?}\n  {}", story.broken, story.told),
        }
    }
    println!("figure: {worlds} worlds, {steps} steps, the machine was asked {questions} different questions");
    assert!(worlds > 10_000, "the walk is over almost before it began: {worlds}");
}

/// Creates without a word in the row.
fn forgets_its_intent(machine: &mut Machine, event: Event) -> Command {
    let command = real(machine, event);
    if matches!(command, Command::Create(_)) {
        machine.row.create_sent_at = None;
    }
    command
}

/// Does not wait for what became of an earlier create.
fn does_not_wait(machine: &mut Machine, event: Event) -> Command {
    match real(machine, event) {
        Command::AwaitOutcome if machine.phase == Phase::Looking => Command::FindByEmail,
        command => command,
    }
}

/// Sends a create again whose answer was lost.
fn tries_again(machine: &mut Machine, event: Event) -> Command {
    match (event, machine.new_user()) {
        (Event::CreateUnknown, Some(new)) => Command::Create(Box::new(new)),
        (event, _) => real(machine, event),
    }
}

/// Takes the create's own answer for a look at what was created.
fn does_not_read_back(machine: &mut Machine, event: Event) -> Command {
    match real(machine, event) {
        Command::ReadBack(_) => machine.stop(Stop::Done),
        command => command,
    }
}

/// Creates whatever the run may do.
fn creates_in_doubt(machine: &mut Machine, event: Event) -> Command {
    machine.rules.creating = Creating::Allowed;
    real(machine, event)
}

/// Begins with a removed person as with any other.
fn forgets_tombstones(machine: &mut Machine, event: Event) -> Command {
    if machine.row.state == RowState::Tombstone {
        machine.row.state = RowState::Claimed;
    }
    real(machine, event)
}

/// Begins with somebody who is there as with any other.
fn forgets_done(machine: &mut Machine, event: Event) -> Command {
    if machine.row.state == RowState::Done {
        machine.row.state = RowState::Claimed;
    }
    real(machine, event)
}

/// Never looks again at whoever was refused once.
fn gives_up(machine: &mut Machine, event: Event) -> Command {
    if matches!(machine.row.state, RowState::Conflict { .. }) && matches!(event, Event::Begin(_)) {
        return machine.stop(Stop::Later);
    }
    real(machine, event)
}

/// Links whoever has the e-mail.
fn links_strangers(machine: &mut Machine, event: Event) -> Command {
    match (event, machine.new_user()) {
        (Event::ByEmail(Some(user)), Some(new)) => Command::Link(user.id, Box::new(new)),
        (event, _) => real(machine, event),
    }
}

#[test]
fn the_walk_finds_seeded_mistakes() {
    let lost = Setting { loses: true, ..PLAIN };
    let none = Setting { duplicate: Duplicate::NothingIsUnique, ..PLAIN };
    let cases: [(&str, Setting, Step, &str); 12] = [
        ("no intent", PLAIN, forgets_its_intent, "without stored proof and intent"),
        ("no wait", PLAIN, does_not_wait, "blind second create"),
        ("no wait, nothing unique", none, does_not_wait, "second"),
        ("a second try", PLAIN, tries_again, "blind second create"),
        ("no read back", PLAIN, does_not_read_back, "DONE without"),
        ("creating in doubt", lost, creates_in_doubt, "not allowed"),
        ("no look at the store", Setting { never_doubts: true, ..lost }, real, "not allowed"),
        ("no tombstones", Setting { removes: true, ..PLAIN }, forgets_tombstones, "tombstone was left"),
        ("no DONE", PLAIN, forgets_done, "DONE was left"),
        ("no fences", Setting { ignores_fences: true, ..PLAIN }, real, "old fence"),
        ("giving up", PLAIN, gives_up, "a dead end"),
        ("strangers", Setting { before: Before::Stranger, ..PLAIN }, links_strangers, "somebody else's"),
    ];
    for (mistake, setting, step, expected) in cases {
        match walk(setting, step) {
            Ok(walk) => panic!("{mistake}: not found in {} worlds", walk.worlds),
            Err(story) => {
                println!(
                    "{mistake}: {}, after {} steps",
                    story.broken,
                    story.told.lines().take_while(|line| !line.starts_with("World")).count()
                );
                assert!(story.broken.contains(expected), "{mistake}: {}\n  {}", story.broken, story.told);
            }
        }
    }
}
