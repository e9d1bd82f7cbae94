//! Sessions and flows in Redis: a value for each, which Redis itself deletes some time after its absolute end.
//!
//! What a change means is decided by [`Session`], as with every store; the script only sees to it that nobody else
//! changed the value meanwhile. Three indexes name sessions: by their end, and by either name of their person. They
//! are no part of the same write: an index may name a session that is gone, never leave one out. What a failover of an
//! index's own node loses, the next use of the session writes anew.

use std::{sync::LazyLock, time::Duration};

use async_trait::async_trait;
use redis::{AsyncCommands as _, Cmd};

use super::{Failure, Redis, connection::Connection, script::Script};
use crate::{
    clock::Timestamp,
    session::{Digest, Flow, FlowStore, Session, SessionStore, SessionStoreError, Settled, Told, Whose},
    store::whose_key,
};

static REPLACE: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("replace.lua")));

/// How much longer than to its absolute end a session is kept, so that sweeping finds its indexes and clocks may
/// differ.
const MARGIN: Duration = Duration::from_mins(15);

/// A flow ends after ten minutes (SEC-26).
const FLOW_KEPT: Duration = Duration::from_mins(15);

/// How many sessions one operation looks at.
pub(super) const BATCH: usize = 100;

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

fn names(session: &Session) -> [String; 2] {
    [Whose::User(session.user.clone()), Whose::Person(session.key.clone())].map(|whose| whose_key(&whose))
}

/// Fault matrix: a value that cannot be read is a signed-out session, never an error page.
fn parse(value: Option<&[u8]>) -> Option<Session> {
    value.and_then(|value| serde_json::from_slice(value).ok())
}

/// When a session is over if nobody uses it.
fn end(session: &Session) -> u64 {
    session.ends_at.min(session.idle_ends_at).millis()
}

#[expect(clippy::cast_precision_loss, reason = "exact for 285,000 years")]
fn as_score(moment: Timestamp) -> f64 {
    moment.millis() as f64
}

/// For how long Redis keeps a session, in ms from its last use.
fn kept_for(session: &Session) -> u64 {
    millis(session.ends_at.since(session.last_seen) + MARGIN)
}

impl Redis {
    fn session_key(&self, id: &str) -> String {
        format!("{}session:{{{id}}}", self.prefix)
    }

    pub(super) fn flow_key(&self, state: &Digest) -> String {
        format!("{}flow:{{{}}}", self.prefix, state.as_str())
    }

    /// All sessions, by their end.
    pub(super) fn ends_key(&self) -> String {
        self.key("sessions")
    }

    fn of_key(&self, name: &str) -> String {
        format!("{}sessions-of:{name}", self.prefix)
    }

    /// Changes a session until nobody else changed it meanwhile, and gives what `change` says; `None` where there is
    /// no session or `change` wants nothing. [`After::Ended`] deletes it.
    async fn change(
        &self,
        id: &Digest,
        change: impl Fn(&mut Session) -> Option<After> + Send,
    ) -> Result<Option<Session>, Failure> {
        let key = self.session_key(id.as_str());
        let changed = self.run(|mut connection| async move {
            loop {
                let old: Option<Vec<u8>> = connection.get(&key).await?;
                let Some((old, mut session)) = old.and_then(|old| Some((parse(Some(&old))?, old))).map(swap)
                else {
                    return Ok(None);
                };
                let new = match change(&mut session) {
                    None => return Ok(None),
                    Some(After::Kept) => serde_json::to_vec(&session)?,
                    Some(After::Ended) => Vec::new(),
                };
                if replace(&mut connection, &key, &old, &new).await? {
                    return Ok(Some(session));
                }
            }
        });
        changed.await
    }

    /// What names a session in the indexes, `listed` by its end among them, and then keeps these as long as the longest
    /// of their sessions.
    fn listing(&self, id: &Digest, session: &Session, listed: Cmd) -> (Vec<Cmd>, Vec<Cmd>) {
        let (mut listed, mut kept) = (vec![listed], Vec::new());
        for name in names(session) {
            let of = self.of_key(&name);
            listed.push(Cmd::sadd(&of, id.as_str()));
            // GT alone leaves a key for ever that had no end.
            for condition in ["NX", "GT"] {
                let mut command = redis::cmd("PEXPIRE");
                command.arg(&of).arg(kept_for(session)).arg(condition);
                kept.push(command);
            }
        }
        (listed, kept)
    }

    /// Takes sessions that are gone out of the indexes.
    async fn unlist(&self, gone: &[(Digest, Option<Session>)]) -> Result<(), Failure> {
        if gone.is_empty() {
            return Ok(());
        }
        let mut commands = Vec::new();
        for (id, session) in gone {
            commands.push(Cmd::zrem(self.ends_key(), id.as_str()));
            for name in session.iter().flat_map(names) {
                commands.push(Cmd::srem(self.of_key(&name), id.as_str()));
            }
        }
        self.run(|mut connection| async move {
            connection.each::<()>(&commands).await?;
            Ok(())
        })
        .await
    }

    /// Ends sessions, and gives those that were there.
    pub(super) async fn take(&self, ids: Vec<Digest>) -> Result<Vec<(Digest, Option<Session>)>, Failure> {
        let mut gone = Vec::new();
        for ids in ids.chunks(BATCH) {
            let taken = self.take_batch(ids).await?;
            self.unlist(&taken).await?;
            gone.extend(taken);
        }
        Ok(gone)
    }

    /// Ends a batch of sessions, which the indexes still name.
    async fn take_batch(&self, ids: &[Digest]) -> Result<Vec<(Digest, Option<Session>)>, Failure> {
        let commands: Vec<Cmd> = ids.iter().map(|id| Cmd::get_del(self.session_key(id.as_str()))).collect();
        let values: Vec<Option<Vec<u8>>> =
            self.run(|mut connection| async move { Ok(connection.each(&commands).await?) }).await?;
        let taken = ids.iter().zip(values);
        Ok(taken.filter_map(|(id, value)| Some((id.clone(), parse(Some(&value?))))).collect())
    }

    /// Those of a batch that are over or cannot be read.
    async fn over(&self, ids: &[&Digest], now: Timestamp) -> Result<Vec<Digest>, Failure> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let commands: Vec<Cmd> = ids.iter().map(|id| Cmd::get(self.session_key(id.as_str()))).collect();
        let got = self.run(|mut connection| async move { Ok(connection.each(&commands).await?) });
        let values: Vec<Option<Vec<u8>>> = got.await?;
        let is_over = |value: &Option<Vec<u8>>| {
            parse(value.as_deref()).is_none_or(|session| session.over(now).is_some())
        };
        Ok(ids.iter().zip(&values).filter(|(_, value)| is_over(value)).map(|(id, _)| (*id).clone()).collect())
    }

    /// Deletes those of a batch that are over at `now`, and takes those that are gone out of the index of ends.
    async fn sweep_batch(&self, ids: &[String], now: Timestamp) -> Result<usize, Failure> {
        let mut gone = Vec::new();
        for id in ids {
            let digest = Digest::stored(id);
            let over = |session: &mut Session| session.over(now).map(|_| After::Ended);
            if let Some(session) = self.change(&digest, over).await? {
                gone.push((digest, Some(session)));
                continue;
            }
            let (key, ends) = (self.session_key(id), self.ends_key());
            let id = id.clone();
            self.run(|mut connection| async move {
                // It lives longer than the index knew, or it is gone or cannot be read.
                let value: Option<Vec<u8>> = connection.get(key).await?;
                match parse(value.as_deref()) {
                    Some(session) => connection.zadd::<_, _, _, ()>(ends, id, end(&session)).await?,
                    None => connection.zrem::<_, _, ()>(ends, id).await?,
                }
                Ok(())
            })
            .await?;
        }
        self.unlist(&gone).await?;
        Ok(gone.len())
    }
}

/// What becomes of a changed session.
enum After {
    Kept,
    Ended,
}

fn swap<A, B>((one, other): (A, B)) -> (B, A) {
    (other, one)
}

async fn replace(connection: &mut Connection, key: &str, old: &[u8], new: &[u8]) -> Result<bool, Failure> {
    Ok(REPLACE.key(key).arg(old).arg(new).invoke_async(connection).await?)
}

#[async_trait]
impl SessionStore for Redis {
    async fn put(&self, id: &Digest, session: &Session) -> Result<(), SessionStoreError> {
        let kept_for = kept_for(session);
        let listed = Cmd::zadd(self.ends_key(), id.as_str(), end(session));
        let value = serde_json::to_vec(session).map_err(Failure::from)?;
        let (listed, mut kept) = self.listing(id, session, listed);
        kept.push(Cmd::pset_ex(self.session_key(id.as_str()), value, kept_for));
        let put = self.run(|mut connection| async move {
            connection.each::<()>(&listed).await?;
            connection.each::<()>(&kept).await?;
            Ok(())
        });
        Ok(put.await?)
    }

    async fn get(&self, id: &Digest) -> Result<Option<Session>, SessionStoreError> {
        let key = self.session_key(id.as_str());
        let got = self.run(|mut connection| async move { Ok(connection.get(key).await?) });
        let value: Option<Vec<u8>> = got.await?;
        Ok(parse(value.as_deref()))
    }

    async fn touch(
        &self,
        id: &Digest,
        at: Timestamp,
        idle_ends_at: Timestamp,
    ) -> Result<(), SessionStoreError> {
        let touched = self.change(id, |session| {
            session.last_seen = session.last_seen.max(at);
            session.idle_ends_at = session.idle_ends_at.max(idle_ends_at);
            Some(After::Kept)
        });
        let Some(session) = touched.await? else { return Ok(()) };
        let mut listed = redis::cmd("ZADD");
        listed.arg(self.ends_key()).arg("GT").arg(end(&session)).arg(id.as_str());
        let (listed, kept) = self.listing(id, &session, listed);
        let listed = self.run(|mut connection| async move {
            connection.each::<()>(&listed).await?;
            connection.each::<()>(&kept).await?;
            Ok(())
        });
        Ok(listed.await?)
    }

    async fn remove(&self, id: &Digest) -> Result<Option<Session>, SessionStoreError> {
        let taken = self.take(vec![id.clone()]).await?;
        Ok(taken.into_iter().next().and_then(|(_, session)| session))
    }

    async fn remove_all_of(&self, whose: &Whose) -> Result<Vec<Digest>, SessionStoreError> {
        let of = self.of_key(&whose_key(whose));
        let ids: Vec<String> =
            self.run(|mut connection| async move { Ok(connection.smembers(of).await?) }).await?;
        // Those that lead to nothing are left in the index: one may just be about to be written.
        let taken = self.take(ids.iter().map(|id| Digest::stored(id)).collect()).await?;
        Ok(taken.into_iter().map(|(id, _)| id).collect())
    }

    /// Those that lead to nothing are left in the index here, too.
    async fn remove_all(&self, told: Told<'_>) -> Result<(), SessionStoreError> {
        let mut cursor = 0_u64;
        loop {
            let mut scan = redis::cmd("ZSCAN");
            scan.arg(self.ends_key()).arg(cursor).arg("COUNT").arg(BATCH);
            let scanned =
                self.run(|mut connection| async move { Ok(scan.query_async(&mut connection).await?) });
            let (next, listed): (u64, Vec<(String, String)>) = scanned.await?;
            let ids: Vec<Digest> = listed.iter().map(|(id, _)| Digest::stored(id)).collect();
            for ids in ids.chunks(BATCH) {
                let taken = self.take_batch(ids).await?;
                told(&taken.iter().map(|(id, _)| id.clone()).collect::<Vec<_>>());
                self.unlist(&taken).await?;
            }
            if next == 0 {
                return Ok(());
            }
            cursor = next;
        }
    }

    /// Asks whether they are there and when they end, and reads only those that the index calls over or does not know:
    /// its word lags behind a use, never before one. One whose value cannot be read is seen when it is next used.
    async fn ended(&self, ids: Vec<Digest>, now: Timestamp) -> Result<Vec<Digest>, SessionStoreError> {
        let mut ended = Vec::new();
        for ids in ids.chunks(BATCH) {
            let mut ends = redis::cmd("ZMSCORE");
            ends.arg(self.ends_key()).arg(ids.iter().map(Digest::as_str).collect::<Vec<_>>());
            let exist: Vec<Cmd> = ids.iter().map(|id| Cmd::exists(self.session_key(id.as_str()))).collect();
            let asked = self.run(|mut connection| async move {
                let ends: Vec<Option<f64>> = ends.query_async(&mut connection).await?;
                Ok((ends, connection.each::<bool>(&exist).await?))
            });
            let (ends, there) = asked.await?;
            let mut unsure = Vec::new();
            for ((id, end), is_there) in ids.iter().zip(ends).zip(there) {
                if !is_there {
                    ended.push(id.clone());
                } else if end.is_none_or(|end| end <= as_score(now)) {
                    unsure.push(id);
                }
            }
            ended.extend(self.over(&unsure, now).await?);
        }
        Ok(ended)
    }

    async fn claim_refresh(
        &self,
        id: &Digest,
        lease: Duration,
        now: Timestamp,
    ) -> Result<Option<Session>, SessionStoreError> {
        Ok(self.change(id, |session| session.claim(lease, now).then_some(After::Kept)).await?)
    }

    async fn settle_refresh(
        &self,
        id: &Digest,
        fence: u64,
        settled: &Settled,
    ) -> Result<bool, SessionStoreError> {
        let ends = *settled == Settled::Ended;
        let settle = |session: &mut Session| {
            session.settle(fence, settled).then_some(if ends { After::Ended } else { After::Kept })
        };
        let Some(session) = self.change(id, settle).await? else { return Ok(false) };
        if ends {
            self.unlist(&[(id.clone(), Some(session))]).await?;
        }
        Ok(true)
    }

    async fn sweep(&self, now: Timestamp) -> Result<usize, SessionStoreError> {
        let mut deleted = 0;
        loop {
            let ends = self.ends_key();
            let due: Vec<String> = self
                .run(|mut connection| async move {
                    let most = isize::try_from(BATCH).unwrap_or(isize::MAX);
                    Ok(connection.zrangebyscore_limit(ends, "-inf", now.millis(), 0, most).await?)
                })
                .await?;
            deleted += self.sweep_batch(&due, now).await?;
            if due.len() < BATCH {
                return Ok(deleted);
            }
        }
    }
}

#[async_trait]
impl FlowStore for Redis {
    async fn put_flow(&self, state: &Digest, flow: &Flow) -> Result<(), SessionStoreError> {
        let key = self.flow_key(state);
        let value = serde_json::to_vec(flow).map_err(Failure::from)?;
        let put = self.run(|mut connection| async move {
            Ok(connection.pset_ex::<_, _, ()>(key, value, millis(FLOW_KEPT)).await?)
        });
        Ok(put.await?)
    }

    async fn take_flow(&self, state: &Digest) -> Result<Option<Flow>, SessionStoreError> {
        let key = self.flow_key(state);
        let got = self.run(|mut connection| async move { Ok(connection.get_del(key).await?) });
        let value: Option<Vec<u8>> = got.await?;
        Ok(value.and_then(|value| serde_json::from_slice(&value).ok()))
    }
}
