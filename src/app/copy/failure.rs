//! Why a store was not copied, and what to do.

use std::{fmt, path::Path};

use crate::{config::RedisStore, login::LedgerError, store::OpenError, telemetry::with_causes};

/// Whose turn it is after a copy that did not come to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    /// A file or a setting has to be another one.
    Input,
    /// Something has to be done first.
    State,
    /// Redis was not reached, or not any more.
    Unreachable,
}

/// A copy did not come to its end.
#[derive(Debug, thiserror::Error)]
#[error("{what}")]
pub(crate) struct CopyFailed {
    pub(crate) cause: Cause,
    pub(crate) what: String,
    pub(crate) fix: String,
}

impl CopyFailed {
    pub(super) fn new(cause: Cause, what: impl fmt::Display, fix: impl fmt::Display) -> Self {
        Self { cause, what: what.to_string(), fix: fix.to_string() }
    }

    pub(super) fn of_file(error: &OpenError) -> Self {
        let (cause, fix) = match error {
            OpenError::InUse(_) => (
                Cause::State,
                "stop the crossfade that serves it and leave it stopped: whoever moved while it is copied would \
                 be missing",
            ),
            OpenError::Absent(_) => (Cause::Input, "name the file of store.embedded.path with --from"),
            OpenError::Unusable(..) | OpenError::Folder(..) => {
                (Cause::Input, "name a store's file that this user may read and write with --from")
            }
        };
        Self::new(cause, with_causes(error), fix)
    }

    /// What was opened cannot be read.
    pub(super) fn of_reading(path: &Path, error: &(dyn std::error::Error + 'static)) -> Self {
        let place = format!("store file {}", path.display());
        let Some(LedgerError::Unreadable(key)) = error.downcast_ref::<LedgerError>() else {
            let what = format!("{place}: {}", with_causes(error));
            return Self::new(
                Cause::State,
                what,
                "see whether the file is whole; bring back a backup if it is not",
            );
        };
        Self::new(
            Cause::State,
            format!("{place}: the row of {key} cannot be read, and may be a removed person's"),
            format!(
                "bring back a backup; or serve the file once more, remove the person for good (crossfade users \
                 tombstone --key {key}), stop it, and give the same command again"
            ),
        )
    }

    pub(super) fn of_redis(settings: &RedisStore, error: &(dyn std::error::Error + 'static)) -> Self {
        let place = format!("store.{}: {}", settings.key(), settings.urls().join(", "));
        Self::new(
            Cause::Unreachable,
            format!("{place}: {}", with_causes(error)),
            "see whether Redis runs there, and whether username, password and ca_file are the right ones; then give \
             the same command again: it goes on",
        )
    }
}
