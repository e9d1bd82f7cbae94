//! The fault matrix (section G of the requirements, as the design settles it) as data: what each fault of each
//! dependency means for somebody who never moved, for somebody who crossed, and for a session.
//!
//! Legacy closes: nobody else knows who an unmigrated person is. Scalekit opens to legacy: it is not needed for that.
//! The store closes what it must be asked for, and passes sign-ins to the application. Whatever is closed never says
//! "wrong password", creates nobody and counts for nothing. Start reading at [`MATRIX`].

mod stage;

use std::{thread, time::Duration};

use self::stage::Stage;
use crate::{edge::figures, support::wait};

/// Who is in trouble.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dependency {
    Legacy,
    Scalekit,
    Store,
}

/// What the trouble is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    Down,
    /// Slower than any budget.
    Slow,
    /// 5xx; a Redis that may not serve.
    Failing,
    /// 429; a Redis that takes nobody in.
    Limited,
    /// A page where data should be; values in Redis that cannot be read.
    Garbage,
    /// A reset in the middle of an answer.
    BreaksOff,
}

/// What somebody must get.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Expected {
    /// 503 that says when to come back, within so many seconds, and that nothing was checked.
    Closed(u64),
    /// The application's own yes.
    Application,
    /// On to Scalekit.
    HandedOver,
    /// The return from Scalekit ends without a session, with 503 that says when to come back.
    Unfinished,
    /// The session is there as ever.
    Lives,
    /// 503 for the session's requests, and the cookie is kept.
    Waits,
    /// As somebody who is not signed in, and the cookie goes.
    SignedOut,
}

use Dependency::{Legacy, Scalekit, Store};
use Expected::{Application, Closed, HandedOver, Lives, SignedOut, Unfinished, Waits};
use Fault::{BreaksOff, Down, Failing, Garbage, Limited, Slow};

/// For an unmigrated sign-in, a crossed sign-in, and a live session.
const MATRIX: [(Dependency, Fault, [Expected; 3]); 18] = [
    (Legacy, Down, [Closed(60), HandedOver, Lives]),
    (Legacy, Slow, [Closed(60), HandedOver, Lives]),
    (Legacy, Failing, [Closed(60), HandedOver, Lives]),
    // Its own wait is passed on.
    (Legacy, Limited, [Closed(2), HandedOver, Lives]),
    (Legacy, Garbage, [Closed(60), HandedOver, Lives]),
    (Legacy, BreaksOff, [Closed(60), HandedOver, Lives]),
    (Scalekit, Down, [Application, Unfinished, Lives]),
    (Scalekit, Slow, [Application, Unfinished, Lives]),
    (Scalekit, Failing, [Application, Unfinished, Lives]),
    (Scalekit, Limited, [Application, Unfinished, Lives]),
    (Scalekit, Garbage, [Application, Unfinished, Lives]),
    (Scalekit, BreaksOff, [Application, Unfinished, Lives]),
    (Store, Down, [Application, Closed(60), Waits]),
    (Store, Slow, [Application, Closed(60), Waits]),
    (Store, Failing, [Application, Closed(60), Waits]),
    (Store, Limited, [Application, Closed(60), Waits]),
    // A row that cannot be read may be that of somebody who was removed: it is not taken for none.
    (Store, Garbage, [Application, Closed(60), SignedOut]),
    (Store, BreaksOff, [Application, Closed(60), Waits]),
];

/// What an answer may take at most, whatever the trouble is, for the same three: each of their own limits, which never add
/// up. What does not need a dependency does not wait for it.
const BUDGETS: [(Dependency, [Duration; 3]); 3] = [
    // All of the verification; then nothing.
    (Legacy, [Duration::from_secs(5), Duration::ZERO, Duration::ZERO]),
    // As configured here, redeeming a code, and the moment that a request waits for a refresh.
    (Scalekit, [Duration::from_millis(1500), Duration::from_secs(6), Duration::from_millis(400)]),
    // A login, twice, and one operation.
    (Store, [Duration::from_secs(1), Duration::from_secs(1), Duration::from_millis(250)]),
];

/// What a busy machine may add. What is slow takes five times as long as the longest budget.
const MARGIN: Duration = Duration::from_secs(4);

/// Plays the rows of one dependency at one process; the cells that went wrong.
fn play(dependency: Dependency) -> Vec<String> {
    let mut stage = Stage::set(dependency);
    let mut wrong = Vec::new();
    let rows = MATRIX.iter().filter(|(whose, _, _)| *whose == dependency);
    let budgets = BUDGETS.iter().find(|(whose, _)| *whose == dependency).expect("each has its budgets").1;
    let mut longest = [Duration::ZERO; 3];
    for (number, (_, fault, [unmigrated, crossed, live])) in rows.enumerate() {
        let person = stage.person(number);
        let arriving = stage.prepare();
        stage.inflict(*fault);
        let cells = [
            ("unmigrated sign-in", stage.unmigrated(&person, *fault, *unmigrated)),
            ("crossed sign-in", timed(|| stage.crossed(arriving, *crossed))),
            ("live session", stage.live(*fault, *live)),
        ];
        for (at, (situation, played)) in cells.into_iter().enumerate() {
            let in_time = played.and_then(|took| {
                longest[at] = longest[at].max(took);
                let most = budgets[at] + MARGIN;
                if took <= most { Ok(()) } else { Err(format!("took {took:.1?}, and may {most:?}")) }
            });
            wrong.extend(in_time.err().map(|why| format!("{dependency:?} {fault:?}, {situation}: {why}")));
        }
        stage.relieve(*fault);
        if let Err(why) = stage.is_well_again(&person) {
            wrong.push(format!("{dependency:?} {fault:?}, afterwards: {why}"));
        }
    }
    figures::note(&format!(
        "fault matrix, {dependency:?}: the longest answers took {longest:.2?}, within {budgets:?}"
    ));
    wrong
}

/// How long something took that was as it should be.
fn timed(play: impl FnOnce() -> Result<(), String>) -> Result<Duration, String> {
    let begun = wait::reading();
    play().map(|()| wait::since(begun))
}

#[test]
fn each_fault_of_each_dependency_means_what_was_settled() {
    let started = wait::reading();
    let wrong: Vec<String> = thread::scope(|scope| {
        let groups = [Legacy, Scalekit, Store].map(|dependency| scope.spawn(move || play(dependency)));
        groups.into_iter().flat_map(|group| group.join().unwrap()).collect()
    });
    let cells = 3 * MATRIX.len();
    let took = wait::since(started);
    figures::note(&format!("fault matrix: {}/{cells} in {:.1} s", cells - wrong.len(), took.as_secs_f64()));
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
