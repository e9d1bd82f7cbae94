//! Whether a Redis that was reached can be used: its version, the rights of our user, and that it takes writes.
//!
//! Looked at by each start and by the doctor. Met in the middle of a sign-in, a right that is missing would look like a
//! Redis that is away.

use std::{collections::HashMap, sync::LazyLock};

use redis::{Cmd, RedisError, Value};

use super::{Failure, Redis, TIME, ledger::ROWS, script::Script};

static PROBE: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("probe.lua")));

/// The first version with all that is used; the last to come was `PEXPIRE` with `GT`.
const LEAST: u32 = 7;

const SCRIPTS: &str = "+@scripting";

/// Why a Redis that answers cannot be used. Waiting does not change it.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unfit {
    #[error("Redis {0} runs there, and Crossfade needs 7.0 or later")]
    Old(String),
    #[error("its user lacks {right} ({error})")]
    Denied { right: String, error: RedisError },
}

impl Redis {
    /// Does once what the store does all the time, with a key that is gone afterwards.
    pub(super) async fn try_out(&self) -> Result<(), Failure> {
        self.look_at_version().await?;
        let key = self.key("{ledger}:probe");
        let read = Cmd::exists(&key);
        let read =
            self.run(|mut connection| async move { Ok(read.query_async::<()>(&mut connection).await?) });
        read.await.map_err(|failure| self.named("+@read", failure))?;
        let (time, write) = (TIME.key(self.key(ROWS)), PROBE.key(key));
        for (right, script) in [("+time", time), ("+@write", write)] {
            let tried =
                self.run(
                    |mut connection| async move { Ok(script.invoke_async::<Value>(&mut connection).await?) },
                );
            tried.await.map_err(|failure| self.named(right, failure))?;
        }
        Ok(())
    }

    /// In a cluster that of any node.
    async fn look_at_version(&self) -> Result<(), Failure> {
        let said = self.run(|mut connection| async move {
            Ok(redis::cmd("HELLO").query_async::<HashMap<String, Value>>(&mut connection).await?)
        });
        match said.await {
            Ok(said) => match said.get("version") {
                Some(Value::BulkString(version)) if is_old(&String::from_utf8_lossy(version)) => {
                    Err(Unfit::Old(String::from_utf8_lossy(version).into_owned()).into())
                }
                _ => Ok(()),
            },
            Err(failure) if failure.is_outage() => Err(failure),
            // Something in between may not know the word; what is tried next needs what came last.
            Err(_) => Ok(()),
        }
    }

    /// The same failure, where it is a right that is missing with its name.
    fn named(&self, right: &str, failure: Failure) -> Failure {
        let Failure::Server(error) = failure else { return failure };
        let said = error.to_string();
        if said.to_lowercase().contains("wrong number of arg") {
            return Unfit::Old("of a version before 7.0".into()).into();
        }
        if !is_denied(&error) {
            return Failure::Server(error);
        }
        let right = if said.contains(" access ") {
            format!("~{}*", self.prefix)
        } else if said.contains("'eval") {
            SCRIPTS.to_owned()
        } else {
            right.to_owned()
        };
        Unfit::Denied { right, error }.into()
    }

    /// What to do about a failure, for whoever set this Redis up.
    pub(super) fn fix(&self, failure: &Failure) -> String {
        let refusal = match failure {
            Failure::Unfit(Unfit::Old(_)) => return "give it a Redis 7.0 or later".into(),
            Failure::Unfit(Unfit::Denied { .. }) => {
                return format!(
                    "give its user ~{}* +@read +@write +@connection +@scripting +time +cluster|slots -@dangerous",
                    self.prefix
                );
            }
            Failure::Server(error) => error.code(),
            _ => None,
        };
        match refusal {
            Some("READONLY") => "a replica answers there: name the primary, or the Sentinels that know it",
            Some("NOREPLICAS" | "OOM" | "MISCONF") => {
                "see what keeps Redis from writing: its replicas, its memory or its disk"
            }
            _ => {
                "see whether Redis runs there, and whether username, password and ca_file are the right ones"
            }
        }
        .into()
    }
}

fn is_old(version: &str) -> bool {
    let major = version.split('.').next().and_then(|major| major.parse::<u32>().ok());
    major.is_some_and(|major| major < LEAST)
}

/// A script's own user is told in other words: those of 7.0, and those of later versions.
fn is_denied(error: &RedisError) -> bool {
    let said = error.to_string();
    error.code() == Some("NOPERM")
        || ["The user executing the script", "ACL failure in script"].iter().any(|words| said.contains(words))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_before_seven_are_old() {
        for (version, expected) in [
            ("6.2.14", true),
            ("5.0", true),
            ("7.0.0", false),
            ("8.1.3", false),
            ("255.255.255", false),
            ("", false),
        ] {
            assert_eq!(is_old(version), expected, "{version}");
        }
    }

    #[test]
    fn a_right_that_is_missing_is_told_from_other_refusals_in_the_words_of_each_version() {
        let error = |line: &str| {
            let line = format!("-{line}\r\n");
            redis::parse_redis_value(line.as_bytes()).unwrap().extract_error().unwrap_err()
        };
        for line in [
            "NOPERM this user has no permissions to run the 'eval' command",
            "ERR The user executing the script can't run this command or subcommand script: 1, on @user_script:1.",
            "ERR ACL failure in script: User crossfade has no permissions to run the 'time' command",
        ] {
            assert!(is_denied(&error(line)), "{line}");
        }
        assert!(!is_denied(&error("READONLY You can't write against a read only replica.")));
    }
}
