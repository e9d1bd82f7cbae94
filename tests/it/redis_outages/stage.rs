//! Who uses the two processes while Redis is in trouble, and what must hold for them.

use std::{
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
    time::Duration,
};

use serde_json::Value;

use super::site::{BO, Site, Tried};
use crate::{
    edge::figures,
    support::{http::Visitor, scene::Person, shapes::servers, wait},
};

/// How long anything may be other than normal.
pub(super) const NORMAL_AGAIN: Duration = Duration::from_secs(10);

pub(super) fn people(count: usize) -> Vec<Person> {
    (0..count).map(|n| Person::new(&format!("p{n}"))).collect()
}

/// What becomes of everything that Redis held.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Afterwards {
    Kept,
    /// Rows and sessions may be gone; who was moved is found again at Scalekit.
    Lost,
}

/// What a browser with a session saw.
enum Seen {
    Itself,
    Nobody,
    Busy,
}

/// Looks with a browser at what the program says of its session and at what the application is told.
fn look(browser: &Visitor, email: &str, path: &str) -> Seen {
    let answer = browser.get(path);
    match answer.status {
        503 => {
            assert!(answer.header("retry-after").is_some(), "{}", answer.text());
            Seen::Busy
        }
        200 | 401 => {
            let said: Value = answer.json();
            let Some(named) = said["email"].as_str() else { return Seen::Nobody };
            assert_eq!(named, email, "somebody else's session");
            Seen::Itself
        }
        status => panic!("{status}: {}", answer.text()),
    }
}

/// What was seen and tried at each process so far.
#[derive(Default)]
pub(super) struct Watch {
    over: AtomicBool,
    seen: [[AtomicUsize; 3]; 2],
    tried: [[AtomicUsize; 3]; 2],
}

impl Watch {
    /// How often a session could not be asked for.
    pub(super) fn busy(&self, at: usize) -> usize {
        self.seen[at][Seen::Busy as usize].load(Ordering::Relaxed)
    }

    /// How often somebody who signed in was asked to come back later.
    pub(super) fn turned_away(&self, at: usize) -> usize {
        self.tried[at][Tried::Busy as usize].load(Ordering::Relaxed)
    }

    pub(super) fn handed_over(&self, at: usize) -> usize {
        self.tried[at][Tried::HandedOver as usize].load(Ordering::Relaxed)
    }

    /// Over both processes.
    fn sum(of: &[[AtomicUsize; 3]; 2], kind: usize) -> usize {
        of.iter().map(|at| at[kind].load(Ordering::Relaxed)).sum()
    }

    fn looks(&self, at: usize) -> usize {
        self.seen[at].iter().map(|kind| kind.load(Ordering::Relaxed)).sum()
    }

    /// People sign in at a process, one after the other.
    fn try_all(&self, site: &Site, at: usize, people: &[Person]) {
        for person in people.iter().cycle().take_while(|_| !self.over.load(Ordering::Relaxed)) {
            let tried = site.sign_in(at, person);
            self.tried[at][tried as usize].fetch_add(1, Ordering::Relaxed);
            let _ = wait::within(Duration::from_millis(50), || None::<()>);
        }
    }

    /// Signed-in browsers use a process, one after the other.
    fn look_all(&self, at: usize, browsers: &[(Visitor, &str)]) {
        for (browser, email) in browsers.iter().cycle().take_while(|_| !self.over.load(Ordering::Relaxed)) {
            for path in ["/.crossfade/session", "/api/me"] {
                let seen = look(browser, email, path);
                self.seen[at][seen as usize].fetch_add(1, Ordering::Relaxed);
            }
            thread::park_timeout(Duration::from_millis(10));
        }
    }
}

/// Lets people sign in and use their sessions at both processes while `strike` happens, and holds the site to what must
/// be.
pub(super) fn ride_out(
    site: &Site,
    people: &[Person],
    afterwards: Afterwards,
    what: &str,
    strike: impl FnOnce(&Watch),
) {
    let (ann, crowd) = people.split_first().unwrap();
    let (refused, percentages) = (site.refused_creates(), site.percentages());
    // Of several people, made at either process and used at both.
    let mut made: Vec<(Visitor, &str)> =
        people.iter().take(3).enumerate().map(|(n, one)| (site.moved(n % 2, one), &*one.email)).collect();
    made.push((site.born_new(1, BO), BO));
    let browsers = [0, 1].map(|at| {
        made.iter().map(|(visitor, email)| (site.same_at(at, visitor), *email)).collect::<Vec<_>>()
    });
    let watch = Watch::default();
    let again = thread::scope(|scope| {
        let watching: Vec<_> = [0, 1]
            .into_iter()
            .flat_map(|at| {
                let (watch, browsers) = (&watch, &browsers[at]);
                [
                    scope.spawn(move || watch.try_all(site, at, crowd)),
                    scope.spawn(move || watch.look_all(at, browsers)),
                ]
            })
            .collect();
        wait::until("all of them are at work", || {
            [0, 1].iter().all(|at| watch.looks(*at) > 16).then_some(())
        });
        let again = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let before = [0, 1].map(|at| watch.looks(at));
            strike(&watch);
            let struck = wait::reading();
            let again = wait::within(NORMAL_AGAIN, || site.is_normal(ann).then(|| wait::since(struck)));
            assert!([0, 1].iter().all(|at| watch.looks(*at) > before[*at]), "nobody looked meanwhile");
            again
        }));
        watch.over.store(true, Ordering::Relaxed);
        for watching in watching {
            watching.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        }
        again.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    });
    let [handed_over, let_in, busy] = [0, 1, 2].map(|kind| Watch::sum(&watch.tried, kind));
    let [itself, nobody, away] = [0, 1, 2].map(|kind| Watch::sum(&watch.seen, kind));
    figures::note(&format!(
        "Redis {what}: normal after {again:.1?}; {handed_over} sign-ins handed over, {let_in} let in by the application, \
         {busy} asked to wait; sessions {itself} times their own, {nobody} times nobody's, {away} times asked to wait"
    ));
    assert!(again.is_some(), "Redis {what}: not normal within {NORMAL_AGAIN:?}");
    // Where the store lost everything, nobody new is created until an operator confirms it.
    assert!(handed_over > 0 || (afterwards == Afterwards::Lost && let_in > 0));
    assert!(
        nobody == 0 || afterwards == Afterwards::Lost,
        "a session that Redis kept was somebody's no more"
    );
    let is_lost = |seen| matches!(seen, Seen::Nobody) && afterwards == Afterwards::Lost;
    for (browser, email) in browsers.iter().flatten() {
        let settled = wait::within(NORMAL_AGAIN, || {
            let seen = look(browser, email, "/.crossfade/session");
            (matches!(seen, Seen::Itself) || is_lost(seen)).then_some(())
        });
        settled.expect("a session that Redis kept is of use");
    }
    for (turn, person) in people.iter().enumerate() {
        // Who was never created may have to wait for an operator where the store lost its memory.
        if afterwards == Afterwards::Kept || !site.scene.users_with(&person.email).is_empty() {
            site.moved(turn % 2, person);
        }
        site.assert_one_user(person);
    }
    for at in [0, 1] {
        site.born_new(at, BO);
    }
    assert_eq!(site.scene.users_with(BO).len(), 1);
    // Scalekit's refusals hide second creates. Where a claim may be lost, each process may have had one under way.
    let refused = site.refused_creates() - refused;
    let allowed = if afterwards == Afterwards::Lost { 2 } else { 0 };
    assert!(refused <= allowed, "Redis {what}: {refused} people were to be created who exist");
    assert_eq!(site.percentages(), percentages, "Redis {what}: the dial is elsewhere");
    for process in &site.processes {
        process.assert_never_said(&[servers::PASSWORD, servers::SENTINEL_PASSWORD]);
    }
}
