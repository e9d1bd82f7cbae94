//! Why a command could not do its work on a store itself, and what to do.

use std::{fmt, path::Path};

use crate::{config::RedisStore, login::LedgerError, store::OpenError, telemetry::with_causes};

/// Whose turn it is after work that did not come to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    /// A file or a setting has to be another one.
    Input,
    /// Something has to be done first.
    State,
    /// Redis was not reached, or not any more.
    Unreachable,
}

/// Work on a store did not come to its end.
#[derive(Debug, thiserror::Error)]
#[error("{what}")]
pub(crate) struct StoreFailed {
    pub(crate) cause: Cause,
    pub(crate) what: String,
    pub(crate) fix: String,
}

impl StoreFailed {
    pub(super) fn new(cause: Cause, what: impl fmt::Display, fix: impl fmt::Display) -> Self {
        Self { cause, what: what.to_string(), fix: fix.to_string() }
    }

    /// A file cannot be opened; `in_use` is what to do where somebody serves it, `named` where it is named.
    pub(super) fn of_file(error: &OpenError, in_use: &str, named: &str) -> Self {
        match error {
            OpenError::InUse(_) => Self::new(Cause::State, with_causes(error), in_use),
            OpenError::Absent(_) => Self::new(
                Cause::Input,
                with_causes(error),
                format!("name the file of the store with {named}"),
            ),
            OpenError::Unusable(..) | OpenError::Folder(..) => Self::new(
                Cause::Input,
                with_causes(error),
                format!("name a store's file that this user may read and write with {named}"),
            ),
        }
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
