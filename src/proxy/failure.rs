//! Why there is no answer from the application, for the client, the counters and the log.

use std::{error::Error as StdError, io};

use super::BodyError;
use crate::pages::Problem;

/// Why there is no answer from the application.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ForwardError {
    #[error("no connection to the application")]
    Connect(#[source] io::Error),
    #[error("no connection to the application in time")]
    ConnectTimeout,
    #[error("no TLS connection to the application")]
    Tls(#[source] io::Error),
    #[error("the application did not answer in time")]
    FirstByteTimeout,
    #[error("the application broke off before an answer")]
    Broken(#[source] hyper::Error),
    #[error("the application switched protocols unasked")]
    Switched,
    #[error("the application's answer broke off")]
    Answer(#[source] BodyError),
    #[error("the request body could not be passed on")]
    Upload(#[source] BodyError),
}

/// The kinds of upstream failure, for counting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FailureKind {
    Connect,
    Tls,
    Timeout,
    Broken,
}

impl FailureKind {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Tls => "tls",
            Self::Timeout => "timeout",
            Self::Broken => "broken",
        }
    }
}

impl ForwardError {
    /// What the client is told.
    pub(crate) fn problem(&self) -> Problem {
        match self {
            Self::Connect(_) | Self::Tls(_) | Self::Broken(_) | Self::Switched | Self::Answer(_) => {
                Problem::BadGateway
            }
            Self::ConnectTimeout | Self::FirstByteTimeout => Problem::GatewayTimeout,
            Self::Upload(error) => error.problem(),
        }
    }

    /// Which upstream failure it is; `None` when the client is at fault.
    pub(crate) fn kind(&self) -> Option<FailureKind> {
        match self {
            Self::Connect(_) | Self::ConnectTimeout => Some(FailureKind::Connect),
            Self::Tls(_) => Some(FailureKind::Tls),
            Self::FirstByteTimeout => Some(FailureKind::Timeout),
            Self::Broken(_) | Self::Switched | Self::Answer(_) => Some(FailureKind::Broken),
            Self::Upload(_) => None,
        }
    }
}

/// Sorts out what hyper reports: the client's own body may be the cause.
impl From<hyper::Error> for ForwardError {
    fn from(error: hyper::Error) -> Self {
        match error.source().and_then(|cause| cause.downcast_ref::<BodyError>()) {
            Some(BodyError::TooLarge) => Self::Upload(BodyError::TooLarge),
            Some(BodyError::Slow) => Self::Upload(BodyError::Slow),
            Some(BodyError::Broken(_)) => Self::Upload(BodyError::Broken(error)),
            None => Self::Broken(error),
        }
    }
}

/// The causes of an error on one line. They come from the network stack and name no request data.
pub(super) fn chain(error: &dyn StdError) -> String {
    let mut text = String::new();
    let mut next = error.source();
    while let Some(cause) = next {
        if !text.is_empty() {
            text.push_str(": ");
        }
        text.push_str(&cause.to_string());
        next = cause.source();
    }
    text
}
