//! Judging a guess against a row: one hash for everybody, and the state of an account only after it (SEC-40).

use std::sync::Arc;

use async_trait::async_trait;

use super::{
    cells::{Fields, Unreadable},
    failure::{TRANSIENT, failure, garbage, uncounted},
    record::Reader,
};
use crate::{
    clock::Deadline,
    hash::{HashError, HashFormat, HashPool, Judgement, PoolError, StoredHash},
    identity::{AccountState, LegacyRecord, Password, SourceName},
    login::{Attempt, ErrorClass, LegacyError, Presence, Rejection, StayReason, Verdict},
};

/// How long a caller is to wait when the hashing threads are busy.
const BUSY: std::time::Duration = std::time::Duration::from_secs(1);

/// Where hashes are computed.
#[async_trait]
pub(super) trait Hashing: Send + Sync {
    /// As [`HashPool::verify`].
    async fn judge(
        &self,
        format: &HashFormat,
        stored: Option<StoredHash>,
        password: Arc<Password>,
        deadline: Deadline,
    ) -> Result<Result<Judgement, HashError>, PoolError>;
}

#[async_trait]
impl Hashing for HashPool {
    async fn judge(
        &self,
        format: &HashFormat,
        stored: Option<StoredHash>,
        password: Arc<Password>,
        deadline: Deadline,
    ) -> Result<Result<Judgement, HashError>, PoolError> {
        self.verify(format, stored, password, deadline).await
    }
}

/// What a source has under a name.
pub(super) enum Found {
    Nobody,
    One(Fields),
    /// Several rows: nobody can say which one is meant.
    Several,
}

impl Found {
    pub(super) fn presence(&self) -> Presence {
        match self {
            Self::Nobody => Presence::Nobody,
            Self::One(_) | Self::Several => Presence::Somebody,
        }
    }
}

/// Judges guesses for one source of rows.
pub(super) struct Passwords {
    pub(super) source: SourceName,
    pub(super) reader: Reader,
    pub(super) format: HashFormat,
    pub(super) hashing: Arc<dyn Hashing>,
}

impl Passwords {
    /// The verdict on a guess. Whatever was found, one password hash is computed.
    pub(super) async fn verdict(
        &self,
        found: Found,
        attempt: &Attempt,
        deadline: Deadline,
    ) -> Result<Verdict, LegacyError> {
        // An empty password matches the hash of nothing (legacy-stores.md, ground rule 3).
        if attempt.password.expose().is_empty() {
            return Ok(Verdict::Rejected(Rejection::WrongPassword));
        }
        let fields = match found {
            Found::One(fields) => fields,
            Found::Nobody => return self.no_row(attempt, deadline, Rejection::Unknown).await,
            Found::Several => {
                tracing::warn!(legacy.store = %self.source, "several rows for one login name; none was tried");
                let _no_verdict = self.no_row(attempt, deadline, Rejection::Unknown).await?;
                return Ok(Verdict::StayOnLegacy(StayReason::Ambiguous));
            }
        };
        let stored = self.reader.stored_hash(&fields).map_err(|why| self.unreadable(&why))?;
        let Some(stored) = stored else {
            return self.no_row(attempt, deadline, Rejection::NoUsablePassword).await;
        };
        match self.hash(Some(stored), attempt, deadline).await? {
            Ok(Judgement::NoMatch) => Ok(Verdict::Rejected(Rejection::WrongPassword)),
            Ok(Judgement::Match) => self.proven(&fields),
            Err(why) => {
                // The work was done all the same (`HashPool::verify`): once more would show as much as not at all.
                self.report(why, &fields);
                Ok(Verdict::Rejected(Rejection::NoUsablePassword))
            }
        }
    }

    /// The record of a row, with an error that names the column.
    pub(super) fn record(&self, fields: &Fields) -> Result<LegacyRecord, LegacyError> {
        self.reader.record(fields).map_err(|why| self.unreadable(&why))
    }

    pub(super) fn unreadable(&self, why: &Unreadable) -> LegacyError {
        garbage(&self.source, why.to_string())
    }

    /// The password is right: now the state of the account may matter.
    fn proven(&self, fields: &Fields) -> Result<Verdict, LegacyError> {
        let record = self.record(fields)?;
        match record.state {
            AccountState::Locked => return Ok(Verdict::Rejected(Rejection::Locked)),
            AccountState::Disabled => return Ok(Verdict::Rejected(Rejection::Disabled)),
            AccountState::Active | AccountState::Unknown => {}
        }
        if self.reader.must_change(fields).map_err(|why| self.unreadable(&why))? {
            return Ok(Verdict::StayOnLegacy(StayReason::MustChangePassword));
        }
        Ok(Verdict::Verified(Box::new(record)))
    }

    /// The work of a real check without a hash to check against.
    async fn no_row(
        &self,
        attempt: &Attempt,
        deadline: Deadline,
        why: Rejection,
    ) -> Result<Verdict, LegacyError> {
        // Nothing can match nothing, so the judgement is not looked at.
        let _no_match = self.hash(None, attempt, deadline).await?;
        Ok(Verdict::Rejected(why))
    }

    async fn hash(
        &self,
        stored: Option<StoredHash>,
        attempt: &Attempt,
        deadline: Deadline,
    ) -> Result<Result<Judgement, HashError>, LegacyError> {
        let password = Arc::clone(&attempt.password);
        let judged = self.hashing.judge(&self.format, stored, password, deadline).await;
        match judged {
            Ok(Err(HashError::PasswordTooLong)) => {
                let problem = "the password is too long to be hashed";
                Err(uncounted(failure(&self.source, ErrorClass::Permanent, problem)))
            }
            Ok(judged) => Ok(judged),
            Err(error @ (PoolError::Full | PoolError::TooLate)) => Err(LegacyError {
                cause: Some(Box::new(error)),
                ..failure(
                    &self.source,
                    ErrorClass::Transient { retry_after: Some(BUSY) },
                    "the password could not be hashed in time",
                )
            }),
            Err(error @ PoolError::Stopped) => Err(LegacyError {
                cause: Some(Box::new(error)),
                ..failure(&self.source, TRANSIENT, "passwords are not hashed any more")
            }),
        }
    }

    /// A row whose hash cannot be read is the operator's to repair. The hash itself is never named.
    fn report(&self, why: HashError, fields: &Fields) {
        let id = self.reader.id(fields).ok();
        let id = id.as_ref().map(crate::identity::LegacyId::as_str);
        // `!` and `*`: an account without a password is nobody's mistake.
        if why == HashError::Unusable {
            tracing::debug!(legacy.store = %self.source, legacy.id = id, "the account has no password");
            return;
        }
        tracing::error!(
            legacy.store = %self.source, legacy.id = id, error = %why, "a stored password hash cannot be used",
        );
    }
}

#[cfg(test)]
pub(super) mod tests;
