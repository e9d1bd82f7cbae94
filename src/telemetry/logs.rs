//! Logs: one JSON object a line on standard error, or a readable line for a developer's terminal.
//!
//! Every line has `time` (UTC), `level`, `target` and `message`, then the fields of the spans around it and its own.

mod layer;
mod line;
mod recent;

use std::{io::Write as _, panic::Location, sync::Arc};

use tracing::{Level, Metadata};
use tracing_subscriber::{
    EnvFilter, Layer as _, Registry,
    filter::{FilterExt as _, LevelFilter, filter_fn},
    layer::SubscriberExt as _,
    util::SubscriberInitExt as _,
};

pub(crate) use recent::{AuditEvent, KEPT_EVENTS, recent_events};

use self::{layer::Lines, line::Line};
use crate::{
    clock::{SharedClock, SystemClock},
    config,
};

/// The target of audit events: they are written whatever the filter says (SEC-51).
pub(super) const AUDIT: &str = "audit";

/// How a line is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Json,
    /// For people at a terminal; not for machines.
    Readable,
}

/// Where whole lines go, each with its line end.
type Sink = Arc<dyn Fn(&[u8]) + Send + Sync>;

/// Logging could not be started.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LogsError {
    #[error("the log filter cannot be read")]
    Filter(#[from] tracing_subscriber::filter::ParseError),
    #[error("logging was started before")]
    Twice(#[from] tracing_subscriber::util::TryInitError),
}

/// Starts logging for this process, and has panics logged like everything else.
pub(crate) fn init(settings: &config::Telemetry, format: Format) -> Result<(), LogsError> {
    let clock = SystemClock::shared();
    let sink: Sink = Arc::new(|line: &[u8]| {
        // When nobody takes the logs any more there is nobody to tell.
        let _ = std::io::stderr().lock().write_all(line);
    });
    subscriber(&settings.log, format, clock.clone(), sink.clone())?.try_init()?;
    std::panic::set_hook(Box::new(move |panic| {
        // Written past the subscriber: the panic may have happened inside it.
        sink(&panic_line(format, &clock, panic.location()));
    }));
    Ok(())
}

fn subscriber(
    filter: &str,
    format: Format,
    clock: SharedClock,
    sink: Sink,
) -> Result<impl tracing::Subscriber + Send + Sync + use<>, LogsError> {
    let always = filter_fn(is_always_kept).with_max_level_hint(LevelFilter::INFO);
    let ceiling = filter_fn(may_speak).with_max_level_hint(LevelFilter::TRACE);
    let wanted = EnvFilter::builder().parse(filter)?.or(always).and(ceiling);
    let lines = Lines { format, clock, sink }.with_filter(wanted);
    Ok(Registry::default().with(lines))
}

/// Audit events, and our own spans from `info` up: an audit event without its request's id is half an event.
fn is_always_kept(event: &Metadata<'_>) -> bool {
    event.target() == AUDIT || (event.is_span() && is_ours(event))
}

/// Libraries write headers, frames and statements below `info`: never wanted here, at no setting (SEC-50).
fn may_speak(event: &Metadata<'_>) -> bool {
    *event.level() <= Level::INFO || is_ours(event)
}

fn is_ours(event: &Metadata<'_>) -> bool {
    event.target().split("::").next() == Some(env!("CARGO_CRATE_NAME"))
}

/// A panic's own text may quote what it was working on, so only its place is told.
fn panic_line(format: Format, clock: &SharedClock, location: Option<&Location<'_>>) -> Vec<u8> {
    let mut line = Line::new(clock.now(), Level::ERROR, "panic");
    line.message("a task panicked; the place is a bug to report");
    if let Some(location) = location {
        line.field("panic.location", location.to_string().into());
    }
    line.write(format)
}

#[cfg(test)]
pub(crate) mod tests {
    use std::sync::Mutex;

    use tracing::subscriber::with_default;

    use super::*;
    use crate::clock::{TestClock, Timestamp};

    /// What `work` logs under this filter.
    pub(crate) fn logged(filter: &str, format: Format, work: impl FnOnce()) -> String {
        let written = Arc::new(Mutex::new(Vec::new()));
        let sink: Sink = {
            let written = written.clone();
            Arc::new(move |line: &[u8]| written.lock().unwrap().extend_from_slice(line))
        };
        let clock = TestClock::at(Timestamp::from_millis(1_700_000_000_123));
        with_default(subscriber(filter, format, clock, sink).unwrap(), work);
        String::from_utf8(written.lock().unwrap().clone()).unwrap()
    }

    #[test]
    fn an_event_is_one_json_line_with_fixed_names_first() {
        let text = logged("info", Format::Json, || {
            let span = tracing::info_span!("request", request.id = "r1", login.lane = tracing::field::Empty);
            let _inside = span.enter();
            span.record("login.lane", "new");
            tracing::info!(target: "crossfade::x", time = "forged", n = 3, ok = true, "hello\n\u{2028}\u{1b}[0m");
        });
        insta::assert_snapshot!(text, @r#"{"time":"2023-11-14T22:13:20.123Z","level":"info","target":"crossfade::x","message":"hello\n\u2028\u001b[0m","request.id":"r1","login.lane":"new","field.time":"forged","n":3,"ok":true}"#);
        assert_eq!(text.lines().count(), 1);
        let parsed: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(parsed["message"], "hello\n\u{2028}\u{1b}[0m");
    }

    #[test]
    fn an_error_is_told_with_its_causes() {
        let error = LogsError::Filter(EnvFilter::builder().parse("a=b=c").unwrap_err());
        let text = logged("info", Format::Json, || {
            let error: &(dyn std::error::Error + 'static) = &error;
            tracing::warn!(error, "failed");
        });
        assert!(text.contains("\"error\":\"the log filter cannot be read: "), "{text}");
    }

    #[test]
    fn a_readable_line_is_one_line_too() {
        let text = logged("info", Format::Readable, || {
            tracing::warn!(target: "crossfade", n = 1, login.lane = "new", who = "a\nb c", "odd\r");
        });
        insta::assert_snapshot!(text, @r#"22:13:20.123 WARN  odd\u000d  n=1 login.lane=new who="a\u000ab c""#);
    }

    #[test]
    fn libraries_are_not_heard_below_info() {
        let text = logged("trace", Format::Json, || {
            tracing::debug!(target: "h2::codec", "canary");
            tracing::trace!(target: "crossfader", "canary");
            tracing::info!(target: "h2::codec", "library");
            tracing::debug!(target: "crossfade::net", "ours");
        });
        assert!(!text.contains("canary"), "{text}");
        assert!(text.contains("library") && text.contains("ours"));
    }

    #[test]
    fn audit_events_pass_every_filter() {
        let text = logged("off", Format::Json, || {
            let _request = tracing::info_span!("request", request.id = "r1").entered();
            tracing::info!(target: AUDIT, "kept");
            tracing::error!("dropped");
        });
        assert!(text.contains("kept") && !text.contains("dropped"), "{text}");
        assert!(text.contains("\"request.id\":\"r1\""), "{text}");
    }

    #[test]
    fn a_panic_tells_its_place_and_nothing_else() {
        let clock: SharedClock = TestClock::at(Timestamp::from_millis(0));
        let line = String::from_utf8(panic_line(Format::Json, &clock, Some(Location::caller()))).unwrap();
        let parsed: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert!(parsed["panic.location"].as_str().unwrap().starts_with("src/telemetry/logs.rs:"), "{line}");
        assert_eq!(parsed["level"], "error");
    }

    /// Marks the process that the test below starts.
    const CHILD: &str = "CROSSFADE_TEST_CHILD";

    /// Runs in a process of its own, because logging and the panic hook belong to the whole process.
    #[test]
    fn a_process_that_logs_and_panics() {
        // Only as the child of the test below.
        if config::environment().get(CHILD).is_none() {
            return;
        }
        let settings = config::Telemetry {
            log: "info".to_owned(),
            subject_key: crate::identity::Secret::new("canary-key".to_owned()),
            full_addresses: false,
        };
        init(&settings, Format::Json).unwrap();
        assert!(matches!(init(&settings, Format::Json), Err(LogsError::Twice(_))));
        tracing::info!(settings = ?settings, "started");
        let panicked = std::thread::spawn(|| panic!("canary of {}", "a person")).join();
        assert!(panicked.is_err());
        tracing::info!("still here");
    }

    #[test]
    fn a_whole_process_logs_json_lines_and_never_a_panics_text() {
        let child = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "telemetry::logs::tests::a_process_that_logs_and_panics"])
            .args(["--nocapture", "--test-threads=1"])
            .env(CHILD, "1")
            .output()
            .unwrap();
        let logs = String::from_utf8(child.stderr).unwrap();
        assert!(child.status.success(), "{logs}");
        assert!(!logs.contains("canary"), "{logs}");
        let events: Vec<serde_json::Value> =
            logs.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let messages: Vec<_> = events.iter().map(|event| event["message"].as_str().unwrap()).collect();
        assert_eq!(messages, ["started", "a task panicked; the place is a bug to report", "still here"]);
        assert!(events[1]["panic.location"].as_str().unwrap().contains("src/telemetry/logs.rs:"), "{logs}");
    }
}
