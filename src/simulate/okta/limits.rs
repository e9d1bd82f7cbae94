//! The organisation's rate limit: one fixed window, told in three header fields on every answer.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};

use super::{
    Okta,
    errors::{Failure, limit_fields},
};
use crate::{clock::Timestamp, simulate::backstage::locked};

/// How much of the current window is used.
#[derive(Default)]
pub(super) struct Limits {
    window_ends_secs: u64,
    used: u32,
}

impl Limits {
    /// Takes one request from the window; what remains, or nothing when it was used up.
    fn take(&mut self, now: Timestamp, window_secs: u64, most: u32) -> Option<u32> {
        if now.seconds() >= self.window_ends_secs {
            *self = Self { window_ends_secs: now.seconds() + window_secs, used: 0 };
        }
        let remaining = most.checked_sub(self.used)?.checked_sub(1)?;
        self.used += 1;
        Some(remaining)
    }
}

/// Answers 429 beyond the limit, and says on every answer how much is left.
pub(super) async fn enforce(State(okta): State<Arc<Okta>>, request: Request, next: Next) -> Response {
    let (most, now) = (okta.options.requests_per_window, okta.backstage.clock().now());
    let (taken, reset) = {
        let mut limits = locked(&okta.limits);
        (limits.take(now, okta.options.window_secs, most), limits.window_ends_secs)
    };
    let mut response = match taken {
        Some(_) => next.run(request).await,
        None => Failure::E0000047.into_response(),
    };
    if !response.headers().contains_key("x-rate-limit-limit") {
        limit_fields(&mut response, most, taken.unwrap_or(0), reset);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_gives_its_number_and_then_waits_for_the_next() {
        let mut limits = Limits::default();
        let at = Timestamp::from_seconds;
        assert_eq!(limits.take(at(100), 60, 2), Some(1));
        assert_eq!(limits.take(at(101), 60, 2), Some(0));
        assert_eq!(limits.take(at(159), 60, 2), None);
        assert_eq!(limits.take(at(160), 60, 2), Some(1));
    }
}
