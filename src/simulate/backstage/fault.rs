//! Faults: what can go wrong with an answer, as the operator of the play words it.
//!
//! Some replace the work (`down`, `status`, `rate_limited`, `html`): nothing was carried out. `slow` waits first,
//! and a caller who hangs up meanwhile leaves nothing done. All others happen after the work was carried out.

use std::{str::FromStr, time::Duration};

use axum::{
    body::{Body, Bytes},
    http::{HeaderValue, Method, StatusCode, header},
    response::{IntoResponse, Response},
};
use http_body_util::BodyExt as _;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Scripted, Step, Wire};

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Kind {
    /// The connection ends without one byte of an answer.
    Down,
    /// The wait comes first, then the work and the right answer.
    Slow,
    /// The work comes first, then the wait and the right answer.
    Late,
    /// The work is carried out, then the connection ends without one byte of an answer.
    Lost,
    /// An error answer in place of the work.
    Status,
    /// 429 with the stand-in's own headers.
    RateLimited,
    /// 200 with a page where data was expected, as from a captive portal or a maintenance screen.
    Html,
    /// The right answer, padded beyond what a careful reader takes.
    Huge,
    /// The first half of the right answer as a complete message.
    Truncated,
    /// The first half of the right answer, then a reset of the connection.
    Reset,
    /// The right answer with every value of another type.
    WrongTypes,
    /// The right answer by a clock that is ahead.
    Skewed,
}

/// One fault and the requests it is for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Fault {
    pub(super) kind: Kind,
    /// Only requests whose path begins so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    path: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    method: Option<String>,
    /// How many requests it hits before it is over; without it, all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    times: Option<u32>,
    /// Hits each so-manieth of its requests; without it, every one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    every: Option<u32>,
    /// How many of its requests came since it last hit one.
    #[serde(skip)]
    spared: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    delay_ms: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    size_bytes: Option<usize>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reset_after_secs: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    skew_secs: Option<u64>,
}

/// A fault that cannot be read from a command line.
#[derive(Debug, thiserror::Error)]
#[error(
    "a fault is kind[=number][@/path], with a kind of down, slow, late, lost, status, rate_limited, html, huge, truncated, reset, wrong_types or skewed"
)]
pub(crate) struct FaultSyntax;

/// `kind[=number][@/path]`; the number is the delay, status, size or wait of the kind.
impl FromStr for Fault {
    type Err = FaultSyntax;

    fn from_str(text: &str) -> Result<Self, FaultSyntax> {
        let (what, path) = text.split_once('@').map_or((text, None), |(what, path)| (what, Some(path)));
        let (kind, number) = what.split_once('=').map_or((what, None), |(kind, n)| (kind, Some(n)));
        let number = number.map(str::parse::<u64>).transpose().map_err(|_| FaultSyntax)?;
        let kind = serde_json::from_value(Value::from(kind)).map_err(|_| FaultSyntax)?;
        let takes_number = matches!(
            kind,
            Kind::Slow | Kind::Late | Kind::Status | Kind::Huge | Kind::RateLimited | Kind::Skewed
        );
        if number.is_some() && !takes_number {
            return Err(FaultSyntax);
        }
        let narrow = |wanted: Kind| number.filter(|_| kind == wanted);
        Ok(Self {
            kind,
            path: path.map(str::to_owned),
            method: None,
            times: None,
            every: None,
            spared: 0,
            status: narrow(Kind::Status).map(u16::try_from).transpose().map_err(|_| FaultSyntax)?,
            delay_ms: narrow(Kind::Slow).or(narrow(Kind::Late)),
            size_bytes: narrow(Kind::Huge).map(usize::try_from).transpose().map_err(|_| FaultSyntax)?,
            reset_after_secs: narrow(Kind::RateLimited),
            skew_secs: narrow(Kind::Skewed),
        })
    }
}

impl Fault {
    pub(super) fn concerns(&self, method: &Method, path: &str) -> bool {
        self.path.as_deref().is_none_or(|prefix| path.starts_with(prefix))
            && self.method.as_deref().is_none_or(|wanted| method.as_str().eq_ignore_ascii_case(wanted))
    }

    /// Counts one of its requests; whether it is this one's turn.
    pub(super) fn is_due(&mut self) -> bool {
        self.spared += 1;
        let due = self.spared >= self.every.unwrap_or(1);
        if due {
            self.spared = 0;
        }
        due
    }

    /// Takes one of its times away; true when none is left.
    pub(super) fn use_up(&mut self) -> bool {
        self.times.as_mut().is_some_and(|times| {
            *times = times.saturating_sub(1);
            *times == 0
        })
    }

    pub(super) fn delay(&self) -> Duration {
        Duration::from_millis(self.delay_ms.unwrap_or(5_000))
    }

    /// How far its clock is ahead.
    pub(super) fn skew(&self) -> Duration {
        Duration::from_secs(self.skew_secs.unwrap_or(600))
    }

    pub(super) fn status(&self) -> StatusCode {
        self.status
            .and_then(|status| StatusCode::from_u16(status).ok())
            .unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    /// The wait a rate limit names, for stand-ins that name none unless they are told to.
    pub(in crate::simulate) fn named_reset_secs(&self) -> Option<u64> {
        self.reset_after_secs
    }

    /// After how many seconds a rate limit lets requests through again.
    pub(in crate::simulate) fn reset_after_secs(&self) -> u64 {
        self.reset_after_secs.unwrap_or(30)
    }
}

/// A page that is no answer of any API.
pub(super) fn garbage_page() -> impl IntoResponse {
    let page = "<!doctype html><html><head><title>Scheduled maintenance</title></head>\
                <body><h1>We will be back soon</h1></body></html>";
    ([(header::CONTENT_TYPE, "text/html; charset=utf-8")], page)
}

/// Spoils a finished answer on its way out.
pub(super) async fn spoil(fault: &Fault, wire: Option<Wire>, response: Response) -> Response {
    let (mut parts, body) = response.into_parts();
    let Ok(whole) = body.collect().await.map(http_body_util::Collected::to_bytes) else {
        return StatusCode::BAD_GATEWAY.into_response();
    };
    parts.headers.remove(header::CONTENT_LENGTH);
    let half = whole.slice(..whole.len() / 2);
    let body = match fault.kind {
        Kind::Huge => Body::from(padded(&whole, fault.size_bytes.unwrap_or(2 << 20))),
        Kind::WrongTypes => Body::from(twisted(&whole)),
        Kind::Reset => {
            // The real length is announced, so that even a peer that sees an orderly end knows half is missing.
            parts.headers.insert(header::CONTENT_LENGTH, HeaderValue::from(whole.len()));
            let pause = Step::Wait(Duration::from_millis(20));
            Body::new(Scripted::new([Step::Chunk(half), pause, Step::Reset(wire)]))
        }
        _ => Body::from(half),
    };
    Response::from_parts(parts, body)
}

/// The answer with `size` bytes more that mean nothing: a member of the object, or a trailing comment.
fn padded(whole: &[u8], size: usize) -> Bytes {
    match serde_json::from_slice::<Value>(whole) {
        Ok(Value::Object(mut object)) => {
            object.insert("padding".into(), Value::from("x".repeat(size)));
            Bytes::from(Value::Object(object).to_string())
        }
        Ok(Value::Array(mut items)) => {
            items.push(Value::from("x".repeat(size)));
            Bytes::from(Value::Array(items).to_string())
        }
        _ => [whole, b"<!--", "x".repeat(size).as_bytes(), b"-->"].concat().into(),
    }
}

/// The answer with values of other types; text that is no JSON becomes a JSON number.
fn twisted(whole: &[u8]) -> Bytes {
    let value = serde_json::from_slice(whole).unwrap_or(Value::String(String::new()));
    Bytes::from(twist(value).to_string())
}

fn twist(value: Value) -> Value {
    match value {
        Value::Null => Value::Bool(false),
        Value::Bool(bit) => Value::from(if bit { "yes" } else { "no" }),
        Value::Number(number) => Value::from(number.to_string()),
        Value::String(text) => Value::from(text.len()),
        Value::Array(items) => {
            items.into_iter().enumerate().map(|(at, item)| (at.to_string(), twist(item))).collect()
        }
        Value::Object(members) => members.into_iter().map(|(name, member)| (name, twist(member))).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_reads_from_a_command_line() {
        let fault: Fault = "slow=250@/api/v1/authn".parse().unwrap();
        assert_eq!(fault.delay(), Duration::from_millis(250));
        assert!(fault.concerns(&Method::POST, "/api/v1/authn"));
        assert!(!fault.concerns(&Method::POST, "/api/v1/users"));
        assert_eq!("late=40".parse::<Fault>().unwrap().delay(), Duration::from_millis(40));
        assert_eq!("status=503".parse::<Fault>().unwrap().status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!("rate_limited=7".parse::<Fault>().unwrap().reset_after_secs(), 7);
        for wrong in ["", "sloow", "slow=x", "status=99999", "lost=3"] {
            assert!(wrong.parse::<Fault>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_fault_may_hit_each_so_manieth_request() {
        let mut fault: Fault =
            serde_json::from_value(serde_json::json!({ "kind": "lost", "every": 3 })).unwrap();
        let hits: Vec<bool> = (0..7).map(|_| fault.is_due()).collect();
        assert_eq!(hits, [false, false, true, false, false, true, false]);
        let mut always: Fault = "lost".parse().unwrap();
        assert!(always.is_due() && always.is_due());
    }

    #[test]
    fn twisting_leaves_no_value_with_its_type() {
        let twisted = twist(serde_json::json!({"a": "bc", "n": 1, "t": true, "z": null, "l": ["x"]}));
        assert_eq!(twisted, serde_json::json!({"a": 2, "n": "1", "t": "yes", "z": false, "l": {"0": 1}}));
    }
}
