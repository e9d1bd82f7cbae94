use super::*;
use crate::rollout::{Lane, Reason, Rules};

/// Metrics in which everything has happened once.
fn eventful() -> Metrics {
    let metrics = Metrics::new();
    let decision = Decision { lane: Lane::New, reason: Reason::Crossed };
    let took = Duration::from_millis(30);
    metrics.sign_in_ended("form", decision, "hand_over");
    metrics.sign_in_limited("address");
    metrics.storm_changed(false);
    metrics.store_doubted(false);
    metrics.person_swept("done");
    metrics.sweep_ended(0);
    metrics.row_unreadable();
    metrics.migration_ended("crm", "done");
    metrics.legacy_called("crm", "verified", took);
    metrics.scalekit_called("create_user", "ok", took);
    metrics.breaker_stands("scalekit", "closed");
    drop(metrics.hash_waits());
    metrics.hash_done(took);
    metrics.hash_shed();
    metrics.hash_late();
    metrics.request_answered(204);
    metrics.request_refused("smuggling");
    metrics.upstream_failed("connect");
    drop(metrics.request_begun());
    drop(metrics.connection_opened());
    metrics.session_begun();
    metrics.session_ended("idle");
    metrics.sessions_ended("removed", 2);
    metrics.session_refreshed("renewed");
    let half = BasisPoints::new(5000).unwrap();
    let dial = Dial::new(BasisPoints::NONE, half, RollbackMode::Keep, Rules::default());
    metrics.dial_stands(&dial, 7, true);
    metrics.flag_looked_at("cutover", "taken");
    metrics.config_reloaded();
    metrics.config_refused();
    metrics.handshake_failed("timeout");
    metrics.certificates_end([("tls.crt".to_owned(), Timestamp::from_seconds(1_800_000_000))]);
    metrics
}

fn families(text: &str) -> Vec<(String, String)> {
    let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    let mut families: Vec<_> =
        types.map(|line| line.split_once(' ').unwrap()).map(|(n, t)| (n.into(), t.into())).collect();
    families.sort();
    families
}

#[test]
fn the_catalogue() {
    let families = families(&eventful().encode().unwrap());
    let list: Vec<String> = families.iter().map(|(name, kind)| format!("{name} {kind}")).collect();
    insta::assert_snapshot!(list.join("\n"), @r"
    crossfade_build info
    crossfade_config_reloads counter
    crossfade_connections_turned_away counter
    crossfade_dependency_breaker gauge
    crossfade_guessing_storm_active gauge
    crossfade_hash_duration_seconds histogram
    crossfade_hash_jobs counter
    crossfade_hash_queue_jobs gauge
    crossfade_in_flight_requests gauge
    crossfade_legacy_call_duration_seconds histogram
    crossfade_legacy_calls counter
    crossfade_limited_sign_ins counter
    crossfade_migrations counter
    crossfade_open_connections gauge
    crossfade_open_people gauge
    crossfade_proxy_requests counter
    crossfade_refused_requests counter
    crossfade_request_panics counter
    crossfade_request_retries counter
    crossfade_rollout_cutover_ratio gauge
    crossfade_rollout_flag_looks counter
    crossfade_rollout_followed gauge
    crossfade_rollout_migrate_ratio gauge
    crossfade_rollout_paused gauge
    crossfade_rollout_rollback_legacy gauge
    crossfade_rollout_version gauge
    crossfade_scalekit_call_duration_seconds histogram
    crossfade_scalekit_calls counter
    crossfade_session_refreshes counter
    crossfade_sessions_begun counter
    crossfade_sessions_ended counter
    crossfade_sign_ins counter
    crossfade_store_in_doubt gauge
    crossfade_swept_people counter
    crossfade_tls_certificate_not_after_seconds gauge
    crossfade_tls_handshake_failures counter
    crossfade_unreadable_rows counter
    crossfade_upstream_failures counter
    ");
}

#[test]
fn names_follow_the_rules_of_openmetrics() {
    let text = eventful().encode().unwrap();
    assert!(text.ends_with("# EOF\n"));
    for (name, kind) in families(&text) {
        assert!(name.starts_with("crossfade_"), "{name}");
        assert!(name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'), "{name}");
        assert!(!name.ends_with("_total") && !name.ends_with("_count") && !name.ends_with("_info"), "{name}");
        let is_base_unit = name.ends_with("_seconds") || name.ends_with("_ratio");
        for word in ["_ms", "_millis", "_percent", "_minutes", "_kb", "_mb"] {
            assert!(!name.contains(word), "{name}");
        }
        match kind.as_str() {
            "counter" => assert!(text.contains(&format!("\n{name}_total")), "{name}"),
            "histogram" => assert!(is_base_unit, "{name}"),
            "gauge" | "info" => {}
            other => panic!("{name} is a {other}"),
        }
        assert!(text.contains(&format!("# HELP {name} ")), "{name}");
    }
}

#[test]
fn labels_say_what_happened() {
    let text = eventful().encode().unwrap();
    for line in [
        r#"crossfade_sign_ins_total{route="form",lane="new",reason="crossed",outcome="hand_over"} 1"#,
        r#"crossfade_migrations_total{source="crm",result="done"} 1"#,
        r#"crossfade_proxy_requests_total{class="2xx"} 1"#,
        r#"crossfade_proxy_requests_total{class="5xx"} 0"#,
        r#"crossfade_legacy_call_duration_seconds_bucket{le="0.05",source="crm"} 1"#,
        "crossfade_in_flight_requests 0",
        "crossfade_sessions_begun_total 1",
        r#"crossfade_tls_certificate_not_after_seconds{certificate="tls.crt"} 1800000000"#,
    ] {
        assert!(text.lines().any(|found| found == line), "{line}\n{text}");
    }
}

#[test]
fn guards_count_what_is_there_now() {
    let metrics = Metrics::new();
    let (one, two) = (metrics.request_begun(), metrics.clone().request_begun());
    let shows = |n: u8| metrics.encode().unwrap().contains(&format!("crossfade_in_flight_requests {n}\n"));
    assert!(shows(2));
    drop(one);
    assert!(shows(1));
    drop(two);
    assert!(shows(0));
}

#[test]
fn an_odd_status_is_counted_as_other() {
    let metrics = Metrics::new();
    for status in [0, 99, 600, 999, u16::MAX] {
        metrics.request_answered(status);
    }
    let text = metrics.encode().unwrap();
    assert!(text.contains("crossfade_proxy_requests_total{class=\"other\"} 5\n"), "{text}");
}
