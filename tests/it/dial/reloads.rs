//! A changed file that meets an outage of the store: what cannot wait does not, and the rest is not forgotten.

use super::*;

const DASHBOARD: &str = "    - {name: dashboard, role: viewer, token: {env: VIEWER_TOKEN}}\n";

#[test]
fn a_reload_in_an_outage_shuts_a_token_out_and_turns_the_dial_at_once_and_the_rest_later() {
    let scene = Scene::set(&Cast { people: vec![Person::new("ann")], ..Cast::default() });
    let mut redis = Redis::start();
    let shared = in_place_of_the_file(&redis.section(), scene.configuration());
    let configuration = with_api(&shared).replace("cutover: 100%", "source: file\n  cutover: 100%");
    let environment = [&TOKENS[..], &[("REDIS_PASSWORD", redis::PASSWORD)]].concat();
    let one = Scene::start_as(&configuration, &environment);
    assert_eq!(rollout_as(VIEWER, &one, &["status"]).0, Some(0));
    let shows = |line: &str| one.admin_visitor().get("/metrics").text().lines().any(|found| found == line);
    assert!(shows("crossfade_rollout_cutover_ratio 1.0"));

    redis.process.kill();
    assert!(configuration.contains(DASHBOARD));
    let changed = configuration.replace(DASHBOARD, "").replace("cutover: 100%", "cutover: 0%");
    let from = now();
    one.reload(&changed);
    let is_out = || {
        let request = one.admin_visitor().request(Method::GET, "/api/v1/audit").bearer_auth(VIEWER);
        (one.admin_visitor().send(request).status == 401).then_some(())
    };
    wait::until("the token is out", is_out);
    wait::until("the dial is turned", || shows("crossfade_rollout_cutover_ratio 0.0").then_some(()));
    let took = from.elapsed();
    figures::note(&format!(
        "a token is out and the file's dial turned {took:.1?} after the file, store away"
    ));
    assert!(took < Duration::from_secs(5), "{took:?}");
    let reloaded = "crossfade_config_reloads_total{result=\"ok\"} ";
    assert!(!one.admin_visitor().get("/metrics").text().contains(reloaded), "the rest waits");

    redis.start_again();
    wait::until("all of it is in force", || {
        one.admin_visitor().get("/metrics").text().contains(reloaded).then_some(())
    });
    assert_eq!(status(&one)["in_force"]["cutover"], "0%");
    assert!(!one.process.said().contains("config_refused"), "{}", one.process.said());
}
