//! Findings for people: a line each, its fix below it, colour only where somebody sees it.

use std::fmt::Write as _;

use super::Tally;
use crate::{
    config::Environment,
    findings::{Finding, Level},
};

/// Where a fix and a long line go on.
const INDENT: &str = "      ";

/// Columns a line may take before it is broken.
const WIDTH: usize = 100;

/// How lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Style {
    Plain,
    Coloured,
}

impl Style {
    /// Colour on a terminal, unless somebody said not to (<https://no-color.org>).
    pub(super) fn of(terminal: bool, environment: &Environment) -> Self {
        let refused = environment.get("NO_COLOR").is_some_and(|value| !value.is_empty());
        let dumb = environment.get("TERM") == Some("dumb");
        if terminal && !refused && !dumb { Self::Coloured } else { Self::Plain }
    }

    pub(super) fn heading(self, name: &str) -> String {
        self.painted("1", name)
    }

    pub(super) fn finding(self, finding: &Finding) -> String {
        let sign = match finding.level {
            Level::Ok => self.painted("32", "✓"),
            Level::Warn => self.painted("33", "!"),
            Level::Fail | Level::Unreachable => self.painted("31", "✗"),
            Level::Skipped => self.painted("2", "–"),
        };
        let told = match finding.level {
            Level::Ok | Level::Skipped => format!("{}: {}", finding.check, finding.seen),
            _ if finding.place.is_empty() || finding.seen.starts_with(&finding.place) => {
                format!("{}: {}", finding.check, finding.seen)
            }
            _ => format!("{}: {} [{}]", finding.check, finding.seen, finding.place),
        };
        let mut line = format!("  {sign} {}", broken(&told, "    "));
        if let Some(fix) = &finding.fix {
            let _ = write!(line, "\n{INDENT}→ {}", broken(fix, "        "));
        }
        line
    }

    pub(super) fn summary(self, tally: &Tally) -> String {
        let mut parts = Vec::new();
        for (level, word, colour) in [
            (Level::Fail, "failed", "31"),
            (Level::Unreachable, "not reachable", "31"),
            (Level::Warn, "to look at", "33"),
            (Level::Ok, "well", "32"),
            (Level::Skipped, "not tried", "2"),
        ] {
            let count = tally.of(level);
            if count > 0 {
                parts.push(self.painted(colour, &format!("{count} {word}")));
            }
        }
        format!("\n{}", parts.join(", "))
    }

    fn painted(self, code: &str, text: &str) -> String {
        match self {
            Self::Plain => text.to_owned(),
            Self::Coloured => format!("\u{1b}[{code}m{text}\u{1b}[0m"),
        }
    }
}

/// The text in lines of at most [`WIDTH`] columns, all but the first behind `indent`.
fn broken(text: &str, indent: &str) -> String {
    let mut lines = String::new();
    let mut column = indent.len();
    for word in text.split(' ') {
        let length = word.chars().count();
        if column > indent.len() && column + 1 + length > WIDTH {
            lines.push('\n');
            lines.push_str(indent);
            column = indent.len();
        } else if column > indent.len() {
            lines.push(' ');
            column += 1;
        }
        lines.push_str(word);
        column += length;
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(level: Level) -> Finding {
        Finding {
            check: "token",
            place: "scalekit.client_secret".into(),
            level,
            seen: "answered 401".into(),
            fix: matches!(level, Level::Fail).then(|| "make a new one".to_owned()),
        }
    }

    #[test]
    fn a_failure_shows_its_place_and_its_fix() {
        let plain = Style::Plain.finding(&finding(Level::Fail));
        assert_eq!(plain, "  ✗ token: answered 401 [scalekit.client_secret]\n      → make a new one");
        assert_eq!(Style::Plain.finding(&finding(Level::Ok)), "  ✓ token: answered 401");
        assert!(Style::Coloured.finding(&finding(Level::Ok)).contains("\u{1b}[32m✓\u{1b}[0m"));
    }

    #[test]
    fn colour_is_for_terminals_whose_owner_wants_it() {
        let with = |pairs: &[(&str, &str)]| {
            Environment::new(pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())))
        };
        assert_eq!(Style::of(true, &with(&[])), Style::Coloured);
        assert_eq!(Style::of(true, &with(&[("NO_COLOR", "")])), Style::Coloured);
        assert_eq!(Style::of(true, &with(&[("NO_COLOR", "1")])), Style::Plain);
        assert_eq!(Style::of(true, &with(&[("TERM", "dumb")])), Style::Plain);
        assert_eq!(Style::of(false, &with(&[])), Style::Plain);
    }

    #[test]
    fn long_lines_are_broken_between_words() {
        let text = "word ".repeat(40);
        let lines = broken(text.trim_end(), "    ");
        assert!(lines.lines().all(|line| line.chars().count() <= WIDTH));
        assert_eq!(lines.split_whitespace().count(), 40);
    }
}
