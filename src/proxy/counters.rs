//! What the data plane counts, for whoever exports it.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use http::StatusCode;

use super::failure::FailureKind;
use crate::pages::Problem;

/// Every refusal, in the order of its counter.
const PROBLEMS: [Problem; 16] = [
    Problem::BadRequest,
    Problem::MethodNotAllowed,
    Problem::RequestTimeout,
    Problem::ContentTooLarge,
    Problem::UriTooLong,
    Problem::ExpectationFailed,
    Problem::Misdirected,
    Problem::HeadTooLarge,
    Problem::NotImplemented,
    Problem::Loop,
    Problem::BadGateway,
    Problem::GatewayTimeout,
    Problem::Overloaded,
    Problem::Internal,
    Problem::NotFound,
    Problem::Forbidden,
];

/// Counts since start, shared by all threads; relaxed, because each number stands alone.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    answers: [AtomicU64; 5],
    refused: [AtomicU64; PROBLEMS.len()],
    upstream_failures: [AtomicU64; FailureKind::ALL.len()],
    /// Requests under way.
    pub(crate) in_flight: AtomicU64,
    /// Open client connections.
    pub(crate) connections: AtomicU64,
    /// Client connections that were closed at once for being one too many.
    pub(crate) turned_away: AtomicU64,
    /// Requests that were sent a second time (REL-34).
    pub(crate) retries: AtomicU64,
    /// Requests whose handling panicked (REL-33).
    pub(crate) panics: AtomicU64,
    /// Connections that were cut at the end of a drain.
    pub(crate) cut: AtomicU64,
}

impl Counters {
    pub(crate) fn answered(&self, status: StatusCode) {
        if let Some(count) = self.answers.get(usize::from(status.as_u16() / 100).wrapping_sub(1)) {
            count.fetch_add(1, Relaxed);
        }
    }

    pub(crate) fn refused(&self, problem: Problem) {
        let slot = PROBLEMS.iter().position(|known| *known == problem);
        if let Some(count) = slot.and_then(|slot| self.refused.get(slot)) {
            count.fetch_add(1, Relaxed);
        }
    }

    pub(crate) fn upstream_failed(&self, kind: FailureKind) {
        if let Some(count) = self.upstream_failures.get(kind as usize) {
            count.fetch_add(1, Relaxed);
        }
    }

    /// Answers by status class, `1xx` … `5xx`.
    pub(crate) fn answers(&self) -> impl Iterator<Item = (&'static str, u64)> {
        ["1xx", "2xx", "3xx", "4xx", "5xx"]
            .into_iter()
            .zip(self.answers.iter().map(|count| count.load(Relaxed)))
    }

    /// Refused requests by [`Problem::as_str`].
    pub(crate) fn refusals(&self) -> impl Iterator<Item = (&'static str, u64)> {
        PROBLEMS
            .iter()
            .map(|problem| problem.as_str())
            .zip(self.refused.iter().map(|count| count.load(Relaxed)))
    }

    /// Failed upstream requests by [`FailureKind::as_str`].
    pub(crate) fn upstream_failures(&self) -> impl Iterator<Item = (&'static str, u64)> {
        FailureKind::ALL
            .iter()
            .map(|kind| kind.as_str())
            .zip(self.upstream_failures.iter().map(|count| count.load(Relaxed)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_refusal_has_its_own_counter() {
        let counters = Counters::default();
        for problem in PROBLEMS {
            counters.refused(problem);
        }
        assert!(counters.refusals().all(|(_, count)| count == 1));
    }

    #[test]
    fn answers_are_counted_by_class() {
        let counters = Counters::default();
        counters.answered(StatusCode::NO_CONTENT);
        counters.answered(StatusCode::BAD_GATEWAY);
        let counts: Vec<_> = counters.answers().map(|(_, count)| count).collect();
        assert_eq!(counts, [0, 1, 0, 0, 1]);
    }
}
