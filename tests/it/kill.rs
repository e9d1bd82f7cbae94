//! Killed (SIGKILL) at every step of a migration, and cut off from Scalekit's answers: nobody is created twice,
//! nobody is lost, and the next sign-in works.
//!
//! Each case is one person: a first sign-in stops for good at a named step, the process is killed there and started
//! again on the same store, and the person signs in again.

use std::{io::Write as _, net::TcpStream, thread};

use serde_json::{Value, json};

use crate::support::{
    crossfade::Crossfade,
    http,
    scene::{Cast, ORGANIZATION, PASSWORD, Person, Scene},
    wait,
};

/// What Scalekit may do with a create whose person exists: which of these it really does is not documented.
const BEHAVIOURS: [&str; 5] = ["conflict", "bad_request", "existing", "internal", "second_user"];

/// The steps of a person whom Scalekit does not know, in their order.
const STEPS: [&str; 10] = [
    "claim",
    "store_claimed",
    "find_by_external_id",
    "store_looked_up",
    "find_by_email",
    "store_intent",
    "create",
    "store_created",
    "read_back",
    "store_end",
];

/// The steps at which a create's lost answer is looked for.
const OUTCOME_STEPS: [&str; 2] = ["store_open", "await_outcome"];

const FAILPOINT: &str = "CROSSFADE_FAILPOINT";

/// The create, and nothing else: its answer is lost on the way once it was carried out.
fn answer_lost() -> Value {
    json!({ "kind": "lost", "method": "POST", "path": "/api/v1/organizations/", "times": 1 })
}

fn moments(steps: &[&str]) -> Vec<String> {
    steps.iter().flat_map(|step| [format!("before:{step}"), format!("after:{step}")]).collect()
}

/// What came of the cases.
#[derive(Debug, Default, PartialEq, Eq)]
struct Figures {
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
    fn judge(self, what: &str, cases: usize) {
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
fn for_each_behaviour(behaviours: &[&'static str], play: impl Fn(&'static str) -> Figures + Sync) -> Figures {
    thread::scope(|scope| {
        let play = &play;
        let plays: Vec<_> = behaviours.iter().map(|behaviour| scope.spawn(move || play(behaviour))).collect();
        plays.into_iter().map(|play| play.join().unwrap()).fold(Figures::default(), Figures::add)
    })
}

/// One person each for so many cases.
fn people(cases: usize) -> Vec<Person> {
    (1..=cases).map(|number| Person::new(&format!("person-{number:03}"))).collect()
}

/// A scene with one Crossfade that dies again and again.
struct Play {
    scene: Scene,
    crossfade: Crossfade,
    behaviour: &'static str,
    figures: Figures,
}

impl Play {
    fn set(behaviour: &'static str, mut cast: Cast, environment: &[(&str, &str)]) -> Self {
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
    fn killed_at(&mut self, point: &str, person: &Person, fault: Option<Value>) {
        self.crossfade.set(FAILPOINT, Some(point));
        self.crossfade.start_again();
        if let Some(fault) = &fault {
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

    fn count(&mut self, case: &str, person: &Person) {
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

    fn stranded(&mut self, case: &str, why: &str) {
        self.figures.stranded.push(format!("{} · {case}: {why}", self.behaviour));
    }

    /// The next sign-in of the new lane: handed over at once, and through Scalekit's pages into a session.
    fn next_sign_in(&mut self, case: &str, person: &Person) {
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
}

#[test]
fn killed_at_any_step_nobody_is_doubled_or_lost() {
    let points = moments(&STEPS);
    let figures = for_each_behaviour(&BEHAVIOURS, |behaviour| {
        let people = people(points.len());
        let mut play = Play::set(behaviour, Cast { people: people.clone(), ..Cast::default() }, &[]);
        for (point, person) in points.iter().zip(&people) {
            play.killed_at(point, person, None);
            play.next_sign_in(point, person);
        }
        assert_eq!(play.scene.scalekit.users()["users"].as_array().unwrap().len(), people.len());
        play.figures
    });
    figures.judge("killed at each step, lane new", points.len() * BEHAVIOURS.len());
}

#[test]
fn a_create_whose_answer_is_lost_is_found_even_by_the_next_process() {
    let points = moments(&OUTCOME_STEPS);
    let figures = for_each_behaviour(&BEHAVIOURS, |behaviour| {
        let people = people(points.len() + 1);
        let mut play = Play::set(behaviour, Cast { people: people.clone(), ..Cast::default() }, &[]);
        let (first, others) = people.split_first().unwrap();
        play.scene.scalekit.set_faults(&answer_lost());
        play.next_sign_in("answer lost", first);
        for (point, person) in points.iter().zip(others) {
            play.killed_at(point, person, Some(answer_lost()));
            play.next_sign_in(point, person);
        }
        play.figures
    });
    figures.judge("the create's answer lost", (points.len() + 1) * BEHAVIOURS.len());
}

/// An older server without look-ups by external id, whose search shows a new user only after a while: right after
/// the crash nobody can see that the create was carried out.
#[test]
fn a_create_that_scalekit_does_not_show_yet_is_not_sent_again() {
    let points = ["after:create", "before:store_created"];
    let figures = for_each_behaviour(&BEHAVIOURS, |behaviour| {
        let people = people(points.len());
        let settings = json!({ "external_id_routes": false, "search_delay_ms": 1500 });
        let cast = Cast { people: people.clone(), settings, ..Cast::default() };
        let mut play = Play::set(behaviour, cast, &[("CROSSFADE_SCALEKIT__LOOKUP_BY_EXTERNAL_ID", "false")]);
        for (point, person) in points.iter().zip(&people) {
            play.killed_at(point, person, None);
            play.next_sign_in(point, person);
        }
        assert_eq!(play.scene.scalekit.look("counts")["creates_received"], people.len());
        play.figures
    });
    figures.judge("killed after a create that is not shown yet", points.len() * BEHAVIOURS.len());
}

/// Migrate 100 %, cutover 0 %: the person is created after the application's own yes.
#[test]
fn killed_in_the_legacy_lane_nobody_is_doubled_and_nobody_notices() {
    let behaviours = ["conflict", "second_user"];
    let points = moments(&STEPS);
    let figures = for_each_behaviour(&behaviours, |behaviour| {
        let people = people(points.len());
        let cast = Cast { people: people.clone(), ..Cast::default() };
        let mut play = Play::set(behaviour, cast, &[("CROSSFADE_ROLLOUT__CUTOVER", "0%")]);
        for (point, person) in points.iter().zip(&people) {
            play.killed_at(point, person, None);
            let visitor = play.scene.visitor();
            let answer = play.scene.sign_in(&visitor, &person.email, PASSWORD);
            if !Scene::is_in_the_application(&answer) || !visitor.get("/").text().contains(&person.email) {
                play.stranded(point, &format!("not let in but {}", answer.status));
            }
            // The answer does not wait for the migration longer than a small budget.
            wait::within(wait::PATIENCE, || play.scene.users_with(&person.email).pop());
            play.count(point, person);
        }
        play.figures
    });
    figures.judge("killed at each step, lane legacy", points.len() * behaviours.len());
}

/// Somebody else has the address in Scalekit, and the search does not show them: the create meets them.
#[test]
fn somebody_elses_user_is_never_taken_over_even_when_killed() {
    let foreign = |behaviour: &str| match behaviour {
        "existing" => moments(&["create", "store_foreign", "remove_membership", "store_end"]),
        "conflict" | "bad_request" => moments(&["create", "store_end"]),
        _ => moments(&["create"]),
    };
    // Where nothing is unique there is nobody in the way.
    let behaviours = ["conflict", "bad_request", "existing", "internal"];
    let cases: usize = behaviours.iter().map(|behaviour| foreign(behaviour).len() + 1).sum();
    let figures = for_each_behaviour(&behaviours, |behaviour| {
        let points = foreign(behaviour);
        let people = people(points.len() + 1);
        let users = people.iter().enumerate().map(|(number, person)| {
            json!({ "id": format!("usr_{}", 100_000_000_000_000_000_u64 + number as u64), "email": person.email,
                "external_id": format!("elsewhere-{number}") })
        });
        let cast = Cast {
            people: people.clone(),
            users: users.collect(),
            settings: json!({ "search_delay_ms": 600_000 }),
            ..Cast::default()
        };
        let mut play = Play::set(behaviour, cast, &[]);
        let (first, others) = people.split_first().unwrap();
        play.met_a_foreign_user("not killed", first);
        for (point, person) in points.iter().zip(others) {
            play.killed_at(point, person, None);
            play.met_a_foreign_user(point, person);
        }
        play.figures
    });
    figures.judge("somebody else's user", cases);
}

impl Play {
    /// The person goes to the application, and the foreign user is as it was.
    fn met_a_foreign_user(&mut self, case: &str, person: &Person) {
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

/// The browser goes away while Scalekit works: what was sent is recorded all the same.
#[test]
fn a_client_that_goes_away_leaves_nobody_half_created() {
    for cutover in ["100%", "0%"] {
        let person = Person::new("impatient");
        let scene = Scene::set(&Cast { people: vec![person.clone()], ..Cast::default() });
        let crossfade = scene.start(&[("CROSSFADE_ROLLOUT__CUTOVER", cutover)]);
        scene.scalekit.set_faults(
            &json!({ "kind": "slow", "method": "POST", "path": "/api/v1/organizations/", "delay_ms": 1000 }),
        );
        let stream = half_a_sign_in(&scene, &person);
        wait::until("the create is on its way", || {
            let journal = scene.scalekit.journal();
            let create = |entry: &Value| entry["method"] == "POST" && entry["fault"]["kind"] == "slow";
            journal["requests"].as_array().unwrap().iter().any(create).then_some(())
        });
        drop(stream);
        wait::until("the person is done", || {
            let metrics = crossfade.admin_visitor().get("/metrics").text();
            metrics.contains("crossfade_migrations_total{source=\"app\",result=\"done\"} 1").then_some(())
        });
        scene.scalekit.clear_faults();
        let answer = scene.sign_in(&scene.visitor(), &person.email, PASSWORD);
        let welcome = match cutover {
            "0%" => Scene::is_in_the_application(&answer),
            _ => scene.is_handed_over(&answer),
        };
        assert!(welcome, "{answer:?}");
        assert_eq!(scene.users_with(&person.email).len(), 1);
        assert_eq!(scene.scalekit.look("counts")["creates_received"], 1);
    }
}

/// Sends the form on a connection of its own and reads no answer.
fn half_a_sign_in(scene: &Scene, person: &Person) -> TcpStream {
    let visitor = scene.visitor();
    let csrf = visitor.get("/login").form_value("csrf");
    let body = url::form_urlencoded::Serializer::new(String::new())
        .extend_pairs([("csrf", csrf.as_str()), ("email", &person.email), ("password", PASSWORD)])
        .finish();
    let (host, cookie) = (scene.public(), visitor.cookie("app_csrf").unwrap());
    let head = format!(
        "POST /login HTTP/1.1\r\nhost: {host}\r\norigin: http://{host}\r\ncookie: app_csrf={cookie}\r\n\
         content-type: application/x-www-form-urlencoded\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    let mut stream = TcpStream::connect(host).unwrap();
    stream.write_all(format!("{head}{body}").as_bytes()).unwrap();
    stream
}
