//! How far long work is, on standard error: a bar that draws itself anew on a terminal, JSON lines otherwise.

use std::{
    io::{self, IsTerminal as _, Write as _},
    time::Duration,
};

use serde_json::json;

use crate::{
    app::Progress,
    cli::output,
    clock::{SharedClock, SystemClock},
};

/// How often a step is told of, beside its first part and its end.
const EVERY: Duration = Duration::from_millis(250);

/// How wide the bar is.
const WIDTH: u64 = 30;

/// Tells of steps as they go on.
pub(super) struct Told {
    is_terminal: bool,
    clock: SharedClock,
    /// The step that was told last, when, and how far it was.
    last: Option<(&'static str, Duration, u64)>,
}

impl Told {
    pub(super) fn new() -> Self {
        Self { is_terminal: io::stderr().is_terminal(), clock: SystemClock::shared(), last: None }
    }

    /// Takes note of a part that is done.
    pub(super) fn tell(&mut self, progress: Progress) {
        let (name, now) = (progress.step.as_str(), self.clock.monotonic());
        let is_told = |(step, at, done): (&str, Duration, u64)| {
            let is_recent = now.saturating_sub(at) < EVERY && progress.done < progress.of;
            step == name && (is_recent || done == progress.done)
        };
        if self.last.is_some_and(is_told) {
            return;
        }
        self.last = Some((name, now, progress.done));
        if self.is_terminal {
            // The next one is written over it. A terminal that is gone is no reason to stop.
            let _ = write!(io::stderr().lock(), "\r\u{1b}[K{}", bar(name, progress.done, progress.of));
        } else {
            let line = json!({ "progress": { "step": name, "done": progress.done, "of": progress.of } });
            output::note(&line.to_string());
        }
    }

    /// Takes the bar away, so that what is said next has its line to itself.
    pub(super) fn end(&self) {
        if self.is_terminal && self.last.is_some() {
            let _ = write!(io::stderr().lock(), "\r\u{1b}[K");
        }
    }
}

fn bar(name: &str, done: u64, of: u64) -> String {
    // What there is nothing of is done.
    let share = |of_all: u64| (done.min(of) * of_all).checked_div(of).unwrap_or(of_all);
    let full = usize::try_from(share(WIDTH)).unwrap_or_default();
    let all = usize::try_from(WIDTH).unwrap_or_default();
    format!("{name:8} [{}{}] {:3}%  {done} of {of}", "#".repeat(full), ".".repeat(all - full), share(100))
}

#[cfg(test)]
mod tests {
    use super::bar;

    #[test]
    fn a_bar_is_as_full_as_the_work_is_done() {
        assert_eq!(bar("people", 500, 1000), "people   [###############...............]  50%  500 of 1000");
        assert_eq!(bar("flows", 0, 0), "flows    [##############################] 100%  0 of 0");
        assert!(bar("check", 999, 1000).contains("#.]  99%"));
    }
}
