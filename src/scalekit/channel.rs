//! One way to Scalekit: a client with its breaker, and the pause its rate limit asks for.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use http::{HeaderMap, StatusCode, header::RETRY_AFTER};
use reqwest::{Method, RequestBuilder};
use serde::de::DeserializeOwned;
use url::Url;

use super::error::Trouble;
use crate::{
    clock::{Deadline, SharedClock, Timestamp, http_date},
    config::CallRate,
    net::{Answer, ApiClient, ApiSettings, ClientError, Dependencies, is_nested_too_deeply},
};

/// REL-30.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// The first pause after 429 where Scalekit names none; doubled each time, to [`BACK_OFF_MAX`].
const BACK_OFF_MIN: Duration = Duration::from_secs(1);
const BACK_OFF_MAX: Duration = Duration::from_mins(1);

/// The longest pause taken from `Retry-After`: a mistyped day must not stop a migration for one.
const ASKED_MAX: Duration = Duration::from_mins(5);

/// A client, and the moment before which it sends nothing.
pub(super) struct Channel {
    http: ApiClient,
    clock: SharedClock,
    pause: Mutex<Pause>,
}

/// All readings are monotonic.
#[derive(Clone, Copy, Default)]
struct Pause {
    until: Duration,
    /// When `until` was set: answers to calls that left before it tell nothing new.
    set_at: Option<Duration>,
    /// How often in a row a call that waited out the pause met the limit again.
    streak: u32,
}

impl Channel {
    pub(super) fn new(
        name: &'static str,
        (timeout, rate): (Duration, Option<CallRate>),
        clock: SharedClock,
        dependencies: &Dependencies,
    ) -> Result<Self, ClientError> {
        let dependency = name.to_owned();
        let settings = ApiSettings { name, dependency, rate, timeout, connect_timeout: CONNECT_TIMEOUT };
        let http = ApiClient::new(&settings, dependencies)?;
        Ok(Self { http, clock, pause: Mutex::new(Pause::default()) })
    }

    pub(super) fn request(&self, method: Method, url: Url) -> RequestBuilder {
        self.http.request(method, url)
    }

    /// Sends once; anything but a 2xx answer is a [`Trouble`].
    pub(super) async fn send(&self, request: RequestBuilder, deadline: Deadline) -> Result<Answer, Trouble> {
        let sent_at = self.clock.monotonic();
        let wait = self.pause().until.saturating_sub(sent_at);
        if !wait.is_zero() {
            return Err(Trouble::held_back(wait));
        }
        let answer = self.http.send(request, deadline).await?;
        let asked = asked_pause(&answer.headers, self.clock.now());
        if answer.status == StatusCode::TOO_MANY_REQUESTS {
            let wait = self.hold(sent_at, asked);
            return Err(Trouble::of_status(&answer, Some(wait)));
        }
        self.let_go(sent_at);
        if answer.status.is_success() { Ok(answer) } else { Err(Trouble::of_status(&answer, asked)) }
    }

    /// Sets the pause for everybody and returns it.
    fn hold(&self, sent_at: Duration, asked: Option<Duration>) -> Duration {
        let now = self.clock.monotonic();
        let mut pause = self.pause();
        let is_news = pause.set_at.is_none_or(|set_at| sent_at > set_at);
        if is_news {
            pause.set_at = Some(now);
            let doubled = BACK_OFF_MIN.saturating_mul(1 << pause.streak.min(6)).min(BACK_OFF_MAX);
            pause.streak = pause.streak.saturating_add(1);
            pause.until = now + asked.unwrap_or_else(|| jittered(doubled));
        } else if let Some(asked) = asked {
            pause.until = pause.until.max(now + asked);
        }
        pause.until.saturating_sub(now)
    }

    /// Any other answer to a call that left after the pause was set ends the doubling.
    fn let_go(&self, sent_at: Duration) {
        let mut pause = self.pause();
        if pause.set_at.is_some_and(|set_at| sent_at > set_at) {
            *pause = Pause::default();
        }
    }

    /// A poisoned lock still holds a whole value: nothing in this file panics half-way.
    fn pause(&self) -> MutexGuard<'_, Pause> {
        self.pause.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// `Retry-After` in either form, between one second and [`ASKED_MAX`].
fn asked_pause(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let wait = match text.parse() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => http_date(text)?.since(now),
    };
    Some(wait.clamp(Duration::from_secs(1), ASKED_MAX))
}

/// Between half of `whole` and `whole`, so that replicas do not come back all at once.
pub(super) fn jittered(whole: Duration) -> Duration {
    let mut random = [0; 2];
    match aws_lc_rs::rand::fill(&mut random) {
        Ok(()) => whole.mul_f64(0.5 + f64::from(u16::from_be_bytes(random)) / f64::from(u16::MAX) / 2.0),
        Err(_) => whole,
    }
}

/// The JSON of a successful answer. What does not fit is garbage, and is not repeated: it may hold personal data.
pub(super) fn read<T: DeserializeOwned>(answer: &Answer) -> Result<T, Trouble> {
    let status = answer.status.as_u16();
    if is_nested_too_deeply(&answer.body) {
        return Err(Trouble::garbage(format!("answered {status} with JSON nested too deeply")));
    }
    serde_json::from_slice(&answer.body).map_err(|error| {
        let kind = match error.classify() {
            serde_json::error::Category::Data => "JSON of another shape than documented",
            _ => "something that is not JSON",
        };
        let (line, column) = (error.line(), error.column());
        Trouble::garbage(format!("answered {status} with {kind} (line {line}, column {column})"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_read_in_both_forms_and_bounded() {
        let now = Timestamp::from_seconds(784_111_770);
        let read =
            |value: &str| asked_pause(&[(RETRY_AFTER, value.parse().unwrap())].into_iter().collect(), now);
        assert_eq!(read("7"), Some(Duration::from_secs(7)));
        assert_eq!(read("0"), Some(Duration::from_secs(1)));
        assert_eq!(read("86400"), Some(ASKED_MAX));
        assert_eq!(read("Sun, 06 Nov 1994 08:49:37 GMT"), Some(Duration::from_secs(7)));
        assert_eq!(read("Sun, 06 Nov 1994 08:00:00 GMT"), Some(Duration::from_secs(1)));
        assert_eq!(read("soon"), None);
        assert_eq!(read("-5"), None);
    }
}
