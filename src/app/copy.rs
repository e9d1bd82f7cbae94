//! Everything an embedded store holds, taken over by a Redis (`crossfade store copy`).
//!
//! The file is held while it is copied, and the Redis is marked until it has everything, so that nobody signs in on a
//! part of the people. A copy that broke off is done once more from its beginning: what is there already is put in
//! place again, and sessions are forgotten first, because some may have ended in the file since. Start reading at
//! [`copy`].

mod failure;
mod mark;

use std::path::Path;

use uuid::Uuid;

pub(crate) use failure::{Cause, CopyFailed};
pub(super) use mark::{fix, refuse_unfinished, unfinished};

use self::mark::{MARK, Mark, NAME, Stage};
use super::{build::STORED_KEY, pledge};
use crate::{
    config::{AssertionKey, Config, RedisStore, Store},
    login::{Doubt, Ledger as _},
    session::{KeyRing, Purpose},
    store::{Embedded, Meta as _, Redis, Totals},
};

/// How many rows or sessions are in hand at a time.
const PAGE: usize = 500;

/// For one operation: nobody waits for an answer, so there is no hurry.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(10);

/// What is being done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    People,
    Sessions,
    Flows,
    /// Every row is read back and compared.
    Check,
}

impl Step {
    /// The word for it.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::People => "people",
            Self::Sessions => "sessions",
            Self::Flows => "flows",
            Self::Check => "check",
        }
    }
}

/// How far a step is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Progress {
    pub(crate) step: Step,
    pub(crate) done: u64,
    pub(crate) of: u64,
}

/// What is in the new store. Every person was read back and compared, and people and sessions were counted there; the
/// rest is what was written.
#[derive(Clone, Debug)]
pub(crate) struct Copied {
    pub(crate) people: u64,
    pub(crate) aliases: u64,
    pub(crate) sessions: u64,
    pub(crate) flows: u64,
    /// Sessions and sign-ins under way that could not be read: whoever had them signs in again.
    pub(crate) left_out: u64,
    /// The version of the dial's record, where somebody turned the dial.
    pub(crate) dial: Option<u64>,
    pub(crate) doubt: Option<Doubt>,
    /// An earlier run had begun it.
    pub(crate) is_resumed: bool,
    /// An earlier run had finished it, and nothing was done.
    pub(crate) was_finished: bool,
}

/// The two stores, and what is told on the way.
struct Copy<'a, Tell> {
    from: &'a Path,
    source: Embedded,
    target: Redis,
    settings: &'a RedisStore,
    tell: Tell,
}

/// Copies the file `from` into the Redis of a configuration. `tell` hears after each part how far it is.
pub(crate) async fn copy(
    from: &Path,
    config: &Config,
    tell: impl FnMut(Progress),
) -> Result<Copied, CopyFailed> {
    let Store::Redis(settings) = &config.store else {
        let what = "store: the configuration names an embedded store, and the copy goes into a Redis";
        return Err(CopyFailed::new(
            Cause::Input,
            what,
            "put store.redis in its place, as it will be served",
        ));
    };
    let source = Embedded::existing(from).map_err(|error| CopyFailed::of_file(&error))?;
    let patient = RedisStore { timeout: PATIENCE.max(settings.timeout), ..(**settings).clone() };
    let connected = async {
        let target = Redis::new(&patient, "copy").map_err(|error| CopyFailed::of_redis(settings, &error))?;
        let reached = target.connect(settings.connect_timeout).await;
        reached.map_err(|unreached| CopyFailed {
            fix: format!("{}; then give the same command again: it goes on", unreached.fix),
            ..CopyFailed::of_redis(settings, &unreached)
        })?;
        Ok(target)
    };
    let mut copy = Copy { from, source, target: connected.await?, settings, tell };
    copy.suits(config).await?;
    copy.run().await
}

/// Errors of either side, with its place.
macro_rules! of {
    (file $copy:ident: $asked:expr) => {
        $asked.await.map_err(|error| CopyFailed::of_reading($copy.from, &error))?
    };
    (redis $copy:ident: $asked:expr) => {
        $asked.await.map_err(|error| CopyFailed::of_redis($copy.settings, &error))?
    };
}

impl<Tell: FnMut(Progress)> Copy<'_, Tell> {
    /// Refuses a configuration under which the copied store would not start.
    async fn suits(&self, config: &Config) -> Result<(), CopyFailed> {
        let totals = of!(file self: self.source.totals());
        let pledge = of!(file self: self.source.meta(pledge::META)).filter(|_| totals.people > 0);
        if let Some(pledge) = pledge {
            let breach = pledge::breach(&pledge, config);
            let breach = breach.map_err(|error| CopyFailed::of_reading(self.from, &error))?;
            if let Some(breach) = breach {
                let what = format!("{}: {}", breach.place, breach.seen);
                return Err(CopyFailed::new(Cause::Input, what, breach.fix));
            }
        }
        let key = of!(file self: self.source.meta(STORED_KEY));
        let Some(key) = key.filter(|_| matches!(config.identity.assertion_key, AssertionKey::Stored)) else {
            return Ok(());
        };
        let ring = KeyRing::new(&config.session.keys);
        let ring = ring.map_err(|error| CopyFailed::new(Cause::Input, error, "see session.keys"))?;
        let sealed = String::from_utf8_lossy(&key);
        if ring.open(Purpose::SigningKey, &sealed).is_none() {
            let what = "session.keys: what the file holds was sealed with a key that is not among them";
            return Err(CopyFailed::new(Cause::Input, what, "use the keys that the file was served with"));
        }
        Ok(())
    }

    async fn run(&mut self) -> Result<Copied, CopyFailed> {
        let totals = of!(file self: self.source.totals());
        let epoch = of!(file self: self.source.kept_epoch());
        let record = of!(file self: self.source.flag_record());
        let mut copied = Copied {
            people: totals.people,
            aliases: totals.aliases,
            sessions: 0,
            flows: 0,
            left_out: 0,
            dial: record.as_ref().map(|(version, _)| *version),
            doubt: epoch.as_ref().and_then(|epoch| epoch.doubt),
            is_resumed: false,
            was_finished: false,
        };
        let name = Uuid::now_v7().to_string().into_bytes();
        let name = of!(file self: self.source.meta_or_insert(NAME, name));
        let mark = Mark {
            name: String::from_utf8_lossy(&name).into_owned(),
            from: self.from.display().to_string(),
            beat: epoch.as_ref().map_or(0, |epoch| epoch.beat),
            stage: Stage::Filling,
        };
        match self.begin(&mark).await? {
            Begun::Anew => {}
            Begun::Again => copied.is_resumed = true,
            Begun::Finished => {
                copied.was_finished = true;
                copied.sessions = of!(redis self: self.target.sessions());
                return Ok(copied);
            }
        }
        self.people(totals).await?;
        self.sessions(totals, &mut copied).await?;
        self.flows(totals, &mut copied).await?;
        of!(redis self: self.target.put_flag_record(record));
        // Who has nobody yet is bound to nothing; a Redis is bound from the first word on.
        let left_behind: &'static [_] = if totals.people > 0 { &[NAME] } else { &[NAME, pledge::META] };
        for (name, value) in of!(file self: self.source.values(left_behind)) {
            of!(redis self: self.target.put_value(&name, &value));
        }
        of!(redis self: self.target.put_epoch_record(epoch.as_ref()));
        self.check(totals, &copied).await?;
        of!(redis self: self.target.flows_are_theirs());
        self.set_mark(&Mark { stage: Stage::Finished, ..mark }).await?;
        Ok(copied)
    }

    /// Marks the target as being filled, or finds the mark of an earlier run. On an untouched one nothing is written
    /// before it was looked at, and it is looked at again under the mark: a process may have begun to use it meanwhile.
    async fn begin(&self, mark: &Mark) -> Result<Begun, CopyFailed> {
        let there = of!(redis self: self.target.meta(MARK));
        let earlier = there.as_deref().map(Mark::read);
        match earlier {
            Some(Some(earlier)) if earlier.name == mark.name => match earlier.stage {
                Stage::Finished if earlier.beat == mark.beat => return Ok(Begun::Finished),
                Stage::Finished => {
                    return Err(self.refused(
                        "the copy of this file was finished before, and the file was served since: the two have parted",
                        "go on with one of them; for a new copy, empty the Redis or set another store.redis.prefix",
                    ));
                }
                Stage::Filling => {
                    self.is_unused().await?;
                    of!(redis self: self.target.forget_sessions());
                    self.set_mark(mark).await?;
                    return Ok(Begun::Again);
                }
                Stage::Looking => {}
            },
            Some(_) => return Err(self.refused("another copy was made into it", OTHER_LEDGER)),
            None => {
                self.is_free().await?;
                let looking = written(&Mark { stage: Stage::Looking, ..mark.clone() })?;
                if !of!(redis self: self.target.swap_meta(MARK, None, looking)) {
                    return Err(self.refused("another copy began at the same time", OTHER_LEDGER));
                }
            }
        }
        if let Err(failed) = self.is_free().await {
            of!(redis self: self.target.forget_value(MARK));
            return Err(failed);
        }
        self.set_mark(mark).await?;
        Ok(Begun::Anew)
    }

    /// Whether nobody uses the target and nothing is in it.
    async fn is_free(&self) -> Result<(), CopyFailed> {
        if !of!(redis self: self.target.is_untouched(&[pledge::META, STORED_KEY])) {
            let people = of!(redis self: self.target.people());
            return Err(self.refused(&format!("it holds another ledger ({people} people)"), OTHER_LEDGER));
        }
        self.is_unused().await
    }

    async fn is_unused(&self) -> Result<(), CopyFailed> {
        match of!(redis self: self.target.in_use_by()) {
            0 => Ok(()),
            processes => Err(self.refused(
                &format!("{processes} running crossfade use it, or did ten seconds ago"),
                "stop them, and start them when the copy is finished",
            )),
        }
    }

    fn refused(&self, what: &str, fix: &str) -> CopyFailed {
        let place = format!("store.{}: {}", self.settings.key(), self.settings.urls().join(", "));
        CopyFailed::new(Cause::State, format!("{place}: {what}"), fix)
    }

    async fn set_mark(&self, mark: &Mark) -> Result<(), CopyFailed> {
        of!(redis self: self.target.put_value(MARK, &written(mark)?));
        Ok(())
    }

    fn told(&mut self, step: Step, done: u64, of: u64) {
        (self.tell)(Progress { step, done, of });
    }

    async fn people(&mut self, totals: Totals) -> Result<(), CopyFailed> {
        let (mut after, mut done) = (None, 0);
        loop {
            let page = of!(file self: self.source.rows_after(after, PAGE));
            of!(redis self: self.target.put_rows(&page.items));
            done += count(&page.items);
            self.told(Step::People, done, totals.people);
            after = page.next;
            if after.is_none() {
                return Ok(());
            }
        }
    }

    async fn sessions(&mut self, totals: Totals, copied: &mut Copied) -> Result<(), CopyFailed> {
        let mut after = None;
        loop {
            let page = of!(file self: self.source.sessions_after(after, PAGE));
            of!(redis self: self.target.put_sessions(&page.items));
            copied.sessions += count(&page.items);
            copied.left_out += page.unreadable;
            self.told(Step::Sessions, copied.sessions, totals.sessions);
            after = page.next;
            if after.is_none() {
                return Ok(());
            }
        }
    }

    async fn flows(&mut self, totals: Totals, copied: &mut Copied) -> Result<(), CopyFailed> {
        let mut after = None;
        loop {
            let page = of!(file self: self.source.flows_after(after, PAGE));
            of!(redis self: self.target.put_flows(&page.items));
            copied.flows += count(&page.items);
            copied.left_out += page.unreadable;
            self.told(Step::Flows, copied.flows, totals.flows);
            after = page.next;
            if after.is_none() {
                return Ok(());
            }
        }
    }

    /// Reads everybody back and compares, and counts what is there.
    async fn check(&mut self, totals: Totals, copied: &Copied) -> Result<(), CopyFailed> {
        let (mut after, mut done) = (None, 0);
        loop {
            let page = of!(file self: self.source.rows_after(after, PAGE));
            let differing = of!(redis self: self.target.differing(&page.items));
            if let Some(first) = differing.first() {
                let what = format!("{} people are not as they were, {} first", differing.len(), first.key);
                return Err(self.refused(&what, AGAIN));
            }
            done += count(&page.items);
            self.told(Step::Check, done, totals.people);
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        let counts = of!(file self: self.source.counts());
        let (people, now) = (of!(redis self: self.target.people()), of!(redis self: self.target.counts()));
        if people != totals.people || now != counts {
            let what = format!(
                "it holds {people} people and the file {}, or they are counted otherwise",
                totals.people
            );
            return Err(self.refused(&what, AGAIN));
        }
        let sessions = of!(redis self: self.target.sessions());
        if sessions != copied.sessions {
            let what = format!("it holds {sessions} sessions, and {} were copied", copied.sessions);
            return Err(self.refused(&what, AGAIN));
        }
        Ok(())
    }
}

/// How a run began.
enum Begun {
    Anew,
    Again,
    Finished,
}

const OTHER_LEDGER: &str =
    "empty it if nobody needs what is in it, or set another store.redis.prefix, and copy again";

const AGAIN: &str = "give the same command again; if that does not help, empty the Redis first";

fn written(mark: &Mark) -> Result<Vec<u8>, CopyFailed> {
    serde_json::to_vec(mark).map_err(|error| {
        CopyFailed::new(Cause::State, error, "name the file by a path that can be written down")
    })
}

fn count<Item>(items: &[Item]) -> u64 {
    u64::try_from(items.len()).unwrap_or(u64::MAX)
}
