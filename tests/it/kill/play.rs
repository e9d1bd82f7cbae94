//! One play: a scene whose Crossfade dies again and again, and the figures of what came of it.

use std::thread;

use serde_json::{Value, json};

use crate::support::{
    crossfade::Crossfade,
    http,
    scene::{Cast, ORGANIZATION, PASSWORD, Person, Scene},
    wait,
};

const FAILPOINT: &str = "CROSSFADE_FAILPOINT";

/// What came of the cases.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Figures {
    cases: usize,
    duplicates: usize,
    lost: usize,
    /// Next sign-ins that did not end as they should.
    stranded: Vec<String>,
}

impl Figures {
    fn add(mut self, other: Self) -> Self {
        self.cases += other.cases;
        self.duplicates += other.duplicates;
        self.lost += other.lost;
        self.stranded.extend(other.stranded);
        self
    }

    /// Says the figures, and fails unless all but the first are zero.
    #[expect(clippy::print_stdout, reason = "the figures of the test are part of its result")]
    pub(super) fn judge(self, what: &str, cases: usize) {
        println!(
            "{what}: {} cases, {} duplicates, {} lost, {} stranded",
            self.cases,
            self.duplicates,
            self.lost,
            self.stranded.len()
        );
        assert_eq!(self, Self { cases, ..Self::default() }, "{what}");
    }
}

/// Runs one play for each behaviour at the same time.
pub(super) fn for_each_behaviour(
    behaviours: &[&'static str],
    play: impl Fn(&'static str) -> Figures + Sync,
) -> Figures {
    thread::scope(|scope| {
        let play = &play;
        let plays: Vec<_> = behaviours.iter().map(|behaviour| scope.spawn(move || play(behaviour))).collect();
        plays.into_iter().map(|play| play.join().unwrap()).fold(Figures::default(), Figures::add)
    })
}

/// One person each for so many cases.
pub(super) fn people(cases: usize) -> Vec<Person> {
    (1..=cases).map(|number| Person::new(&format!("person-{number:03}"))).collect()
}

/// A scene with one Crossfade that dies again and again.
pub(super) struct Play {
    pub(super) scene: Scene,
    crossfade: Crossfade,
    behaviour: &'static str,
    pub(super) figures: Figures,
}

impl Play {
    pub(super) fn set(behaviour: &'static str, mut cast: Cast, environment: &[(&str, &str)]) -> Self {
        let mut settings = json!({ "on_duplicate": behaviour });
        if let Value::Object(more) = cast.settings {
            settings.as_object_mut().unwrap().extend(more);
        }
        cast.settings = settings;
        let scene = Scene::set(&cast);
        let crossfade = scene.start(environment);
        Self { scene, crossfade, behaviour, figures: Figures::default() }
    }

    /// A first sign-in that ends in the process's death at this step, and the process of afterwards.
    pub(super) fn killed_at(&mut self, point: &str, person: &Person, fault: Option<&Value>) {
        self.crossfade.set(FAILPOINT, Some(point));
        self.crossfade.start_again();
        if let Some(fault) = fault {
            self.scene.scalekit.set_faults(fault);
        }
        let visitor = self.scene.visitor();
        let request = self.scene.filled_in(&visitor, &person.email, PASSWORD);
        // In the legacy lane the application's answer arrives all the same; in the new lane there is none.
        let victim = thread::spawn(move || http::fails(request));
        wait::until(&format!("{point} is reached ({})", self.behaviour), || {
            self.crossfade.process.stderr().contains("failpoint reached").then_some(())
        });
        self.crossfade.kill();
        victim.join().unwrap();
        self.scene.scalekit.clear_faults();
        self.crossfade.set(FAILPOINT, None);
        self.crossfade.start_again();
    }

    pub(super) fn count(&mut self, case: &str, person: &Person) {
        let users = self.scene.users_with(&person.email);
        self.figures.cases += 1;
        self.figures.duplicates += users.len().saturating_sub(1);
        self.figures.lost += usize::from(users.is_empty());
        for user in &users {
            let memberships = &user["memberships"];
            let whole = user["external_id"] == person.external_id().as_str()
                && user["email_verified"] == true
                && memberships.as_array().is_some_and(|all| all.len() == 1)
                && memberships[0]["organization_id"] == ORGANIZATION;
            if !whole {
                self.stranded(case, &format!("the user is not as it should be: {user}"));
            }
        }
    }

    pub(super) fn stranded(&mut self, case: &str, why: &str) {
        self.figures.stranded.push(format!("{} · {case}: {why}", self.behaviour));
    }

    /// The next sign-in of the new lane: handed over at once, and through Scalekit's pages into a session.
    pub(super) fn next_sign_in(&mut self, case: &str, person: &Person) {
        let visitor = self.scene.visitor();
        let answer = self.scene.sign_in(&visitor, &person.email, PASSWORD);
        self.count(case, person);
        if !self.scene.is_handed_over(&answer) {
            let at = answer.header("location").unwrap_or("nowhere").to_owned();
            return self.stranded(case, &format!("not handed over but {} to {at}", answer.status));
        }
        let back = self.scene.confirm_mailbox(&visitor, &answer, &person.email);
        let home = visitor.get("/");
        let signed_in = back.status == 303
            && visitor.cookie("crossfade").is_some()
            && home.text().contains(&person.email);
        if !signed_in {
            self.stranded(case, &format!("no session: {} then {}", back.status, home.text()));
        }
    }

    /// The person goes to the application, and the foreign user is as it was.
    pub(super) fn met_a_foreign_user(&mut self, case: &str, person: &Person) {
        self.figures.cases += 1;
        let visitor = self.scene.visitor();
        let answer = self.scene.sign_in(&visitor, &person.email, PASSWORD);
        if !Scene::is_in_the_application(&answer) {
            self.stranded(case, &format!("not let in but {}", answer.status));
        }
        // A 500 says nothing of a duplicate: the person is tried again at the next sign-in.
        if self.behaviour != "internal" {
            let metrics = self.crossfade.admin_visitor();
            wait::until("the conflict is recorded", || {
                let line = "crossfade_migrations_total{source=\"app\",result=\"conflict\"}";
                metrics.get("/metrics").text().contains(line).then_some(())
            });
        }
        let users = self.scene.users_with(&person.email);
        self.figures.duplicates += users.len().saturating_sub(1);
        self.figures.lost += usize::from(users.is_empty());
        for user in users {
            let untouched = user["external_id"].as_str().is_some_and(|id| id.starts_with("elsewhere-"));
            if !untouched || user["memberships"] != json!([]) {
                self.stranded(case, &format!("the foreign user was changed: {user}"));
            }
        }
    }
}
