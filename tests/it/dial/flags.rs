//! The dial by feature flags of flagd (`rollout.source: flagd`).

use super::*;
use crate::support::flagd::{Flagd, Manner, TOKEN};

const CUTOVER: &str = "crossfade-cutover-percent";
const MIGRATE: &str = "crossfade-migrate-percent";
const ROLLBACK: &str = "crossfade-rollback-mode";
const PAUSED: &str = "crossfade-paused";

/// A play whose dial flagd turns; the file says 1 % and 2 %.
fn by_flags(flagd: &Flagd) -> (Scene, Crossfade, String) {
    let scene = Scene::set(&Cast { people: vec![Person::new("ann")], ..Cast::default() });
    let section = format!(
        "source: flagd\n  flagd: {{url: 'http://{}', token: {{env: FLAGD_TOKEN}}}}\n  cutover: 1%",
        flagd.address
    );
    let configuration = with_api(scene.configuration())
        .replace("cutover: 100%", &section)
        .replace("migrate: 100%", "migrate: 2%");
    let environment = [TOKENS.as_slice(), &[("FLAGD_TOKEN", TOKEN)]].concat();
    let one = Scene::start_as(&configuration, &environment);
    (scene, one, configuration)
}

fn in_force(at: &Crossfade) -> (String, String, String, bool) {
    let dial = status(at)["in_force"].take();
    let word = |name: &str| dial[name].as_str().unwrap().to_owned();
    (word("cutover"), word("migrate"), word("rollback"), dial["paused"].as_bool().unwrap())
}

fn dial(cutover: &str, migrate: &str, rollback: &str, paused: bool) -> (String, String, String, bool) {
    (cutover.to_owned(), migrate.to_owned(), rollback.to_owned(), paused)
}

/// Why each flag that is not followed is not.
fn not_followed(at: &Crossfade) -> Vec<(String, String)> {
    let troubles = status(at)["flags_not_followed"].take();
    let word = |trouble: &Value, name: &str| trouble[name].as_str().unwrap().to_owned();
    troubles.as_array().unwrap().iter().map(|trouble| (word(trouble, "flag"), word(trouble, "why"))).collect()
}

/// Waits until whole looks were taken that began after now.
fn looked(at: &Crossfade) {
    let looks = || {
        let metrics = at.admin_visitor().get("/metrics").text();
        let looks = metrics.lines().filter(|line| line.starts_with("crossfade_rollout_flag_looks_total{"));
        looks.map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()).sum::<u64>()
    };
    let before = looks();
    wait::until("every flag is looked at twice", || (looks() >= before + 8).then_some(()));
}

#[test]
fn a_flag_turns_the_dial_within_two_seconds_and_nothing_else_does() {
    let flagd = Flagd::start(&[(CUTOVER, json!(0)), (MIGRATE, json!("12.5%")), (ROLLBACK, json!("keep"))]);
    let (_scene, one, configuration) = by_flags(&flagd);
    // From the first sign-in on: a start looks before it is ready.
    assert_eq!(in_force(&one), dial("0%", "12.5%", "keep", false));
    assert_eq!(status(&one)["in_force"]["from"], "flagd");
    assert_eq!(explained(&one, "ann@example.com").0, "legacy");

    let mut slowest = Duration::ZERO;
    for (flag, value, expected) in [
        (CUTOVER, json!(33.33), dial("33.33%", "33.33%", "keep", false)),
        (PAUSED, json!(true), dial("33.33%", "33.33%", "keep", true)),
        (PAUSED, json!(false), dial("33.33%", "33.33%", "keep", false)),
        (ROLLBACK, json!("legacy"), dial("33.33%", "33.33%", "legacy", false)),
        (CUTOVER, json!(100), dial("100%", "100%", "legacy", false)),
    ] {
        let from = now();
        flagd.set(flag, value);
        wait::until("the flag is in force", || (in_force(&one) == expected).then_some(()));
        slowest = slowest.max(from.elapsed());
    }
    figures::note(&format!("a changed flag is in force after {slowest:.1?} at most"));
    assert!(slowest < SEEN_WITHIN, "{slowest:?}");
    assert_eq!(explained(&one, "ann@example.com").0, "new");

    for arguments in [["set", "50%"].as_slice(), &["pause"], &["rollback", "--mode", "legacy"]] {
        let (exit, _, said) = rollout(&one, arguments);
        assert_eq!(exit, Some(1), "{arguments:?}: {said}");
        assert!(said.contains("flags_rule") && said.contains("rollout.source: store"), "{said}");
    }
    let table = turned(&one, &["status"]);
    assert!(table.contains("feature flags of flagd (rollout.source: flagd)\n"), "{table}");

    // Another source by a reload, and back: at once what flagd says, not the file's values for a moment.
    one.take(&configuration.replace("source: flagd", "source: file"));
    assert_eq!(in_force(&one), dial("1%", "2%", "keep", false));
    one.take(&configuration);
    assert_eq!(in_force(&one), dial("100%", "100%", "legacy", false));
    let said = one.process.said();
    let turns = said.lines().filter(|line| line.contains("\"event\":\"rollout_changed\""));
    let by = turns.filter(|line| line.contains("\"rollout.who\":\"flagd\"")).count();
    assert_eq!(by, 6, "the start and five changes are each on record once:\n{said}");
    one.assert_never_said(&[OPERATOR, TOKEN]);
}

#[test]
fn the_last_good_values_stay_whatever_flagd_says_or_does_not() {
    let good =
        [(CUTOVER, json!(25)), (MIGRATE, json!(50)), (ROLLBACK, json!("legacy")), (PAUSED, json!(true))];
    let mut flagd = Flagd::start(&good);
    let (_scene, mut one, _) = by_flags(&flagd);
    // Going back to legacy leaves of the migrate percent what takes the new lane.
    let last_good = dial("25%", "25%", "legacy", true);
    assert_eq!(in_force(&one), last_good);

    for (flag, word, value) in [
        (CUTOVER, "cutover", json!(101)),
        (CUTOVER, "cutover", json!(-1)),
        (MIGRATE, "migrate", json!("most")),
        (ROLLBACK, "rollback_mode", json!("back")),
        (PAUSED, "paused", json!("no")),
    ] {
        flagd.set(flag, value);
        let why = wait::until("the flag is refused", || {
            not_followed(&one).into_iter().find(|(flag, _)| flag == word).map(|(_, why)| why)
        });
        assert!(why.starts_with("must be "), "{why}");
        assert!(turned(&one, &["status"]).contains(&format!("{word}: must be ")));
        let metric = format!("crossfade_rollout_flag_looks_total{{flag=\"{word}\",outcome=\"refused\"}}");
        assert!(one.admin_visitor().get("/metrics").text().contains(&metric), "{metric}");
        assert_eq!(in_force(&one), last_good);
        let (flag, value) = good.iter().find(|(name, _)| *name == flag).unwrap();
        flagd.set(flag, value.clone());
        wait::until("the flag is followed again", || not_followed(&one).is_empty().then_some(()));
    }

    // Gone or disabled flags are no reason to go back to the file's values either.
    flagd.remove(CUTOVER);
    flagd.disable(MIGRATE);
    wait::until("both are missed", || (not_followed(&one).len() == 2).then_some(()));
    assert_eq!(in_force(&one), last_good);
    for (rollback, migrate) in [("keep", "50%"), ("legacy", "25%")] {
        flagd.set(ROLLBACK, json!(rollback));
        let expected = dial("25%", migrate, rollback, true);
        wait::until("its last good value is kept", || (in_force(&one) == expected).then_some(()));
    }

    for manner in [
        Manner::Always(200, "<html>Sign in to the network</html>"),
        Manner::Always(200, r#"{"key":"somebody-elses","value":0}"#),
        Manner::Always(404, "no such page"),
        Manner::Always(500, r#"{"errorDetails":"no"}"#),
    ] {
        flagd.behave(manner);
        looked(&one);
        assert_eq!(not_followed(&one).len(), 4);
        assert_eq!(in_force(&one), last_good);
    }
    for hang in [true, false] {
        if hang {
            flagd.behave(Manner::Silent);
        } else {
            flagd.go_away();
        }
        looked(&one);
        assert_eq!(not_followed(&one).len(), 4, "hang: {hang}");
        assert_eq!(in_force(&one), last_good, "hang: {hang}");
    }
    let said = one.process.said();
    assert!(said.contains("the feature flag for rollout.cutover is not followed"), "{said}");

    flagd.behave(Manner::ByTheProtocol);
    flagd.set(CUTOVER, json!(30));
    flagd.come_back();
    wait::until("flagd is followed again", || (in_force(&one).0 == "30%").then_some(()));

    // A start without flagd goes by the file, says so, and follows flagd as soon as it is there.
    flagd.go_away();
    one.start_again();
    assert_eq!(in_force(&one), dial("1%", "2%", "keep", false));
    let table = turned(&one, &["status"]);
    assert!(table.contains("the configuration file, until flagd says something"), "{table}");
    flagd.come_back();
    wait::until("flagd is followed", || (in_force(&one).0 == "30%").then_some(()));
}

#[test]
fn a_flagd_that_has_not_read_its_flags_yet_lets_nobody_cross_by_the_file() {
    let flagd = Flagd::start(&[]);
    let scene = Scene::set(&Cast { people: vec![Person::new("ann")], ..Cast::default() });
    // The file says 100 %.
    let section = format!(
        "source: flagd\n  flagd: {{url: 'http://{}', token: {{env: FLAGD_TOKEN}}}}\n  cutover: 100%",
        flagd.address
    );
    let configuration = with_api(scene.configuration()).replace("cutover: 100%", &section);
    let environment = [TOKENS.as_slice(), &[("FLAGD_TOKEN", TOKEN)]].concat();
    let one = thread::scope(|scope| {
        scope.spawn(|| {
            // All four, more than once.
            wait::until("the flags are asked for in vain", || (flagd.asked() > 8).then_some(()));
            flagd.set(CUTOVER, json!(0));
        });
        Scene::start_as(&configuration, &environment)
    });
    assert_eq!(in_force(&one).0, "0%", "ready with what the flag says");
    assert_eq!(explained(&one, "ann@example.com").0, "legacy");
    assert!(!one.process.said().contains("the file's values count"));

    // Where no flag says anything the file counts, and the log says so.
    let nothing = Flagd::start(&[]);
    let elsewhere = configuration.replace(&flagd.address.to_string(), &nothing.address.to_string());
    drop(one);
    let one = Scene::start_as(&elsewhere, &environment);
    assert_eq!(in_force(&one).0, "100%");
    assert!(one.process.said().contains("the file's values count"), "{}", one.process.said());
}
