//! An operator's doubt, written into the store itself (`crossfade store doubt`).
//!
//! A store that comes back as an old copy is noticed by who used it before. Where nobody did that still runs, an
//! operator has to say it: before the replicas start, or while they run. Start reading at [`doubt`].

use uuid::Uuid;

use super::{Cause, StoreFailed, copy};
use crate::{
    clock::SystemClock,
    config::{Config, Store},
    login::{self, Doubt},
    store::{Embedded, Redis},
};

/// What stands in the store now.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Doubted {
    pub(crate) doubt: Doubt,
    /// It was in doubt before, and nothing was done.
    pub(crate) was_so: bool,
    /// How many people are in it: a store that nobody used is not the one that was meant.
    pub(crate) people: u64,
}

/// Puts the store of a configuration in doubt.
pub(crate) async fn doubt(config: &Config) -> Result<Doubted, StoreFailed> {
    let now = SystemClock::shared().now();
    // Where there is no epoch, nobody has this name for one.
    let name = Uuid::now_v7().to_string();
    match &config.store {
        Store::Embedded { path } => {
            let in_use = "stop the crossfade that serves it, give the command again, and start it";
            let file = Embedded::existing(path)
                .map_err(|error| StoreFailed::of_file(&error, in_use, "store.embedded.path"))?;
            let unread = |error: &(dyn std::error::Error + 'static)| StoreFailed::of_reading(path, error);
            let people = file.totals().await.map_err(|error| unread(&error))?.people;
            let (doubt, was_so) =
                login::put_in_doubt(&file, name, now).await.map_err(|error| unread(&error))?;
            Ok(Doubted { doubt, was_so, people })
        }
        Store::Redis(settings) => {
            let failed = |error: &(dyn std::error::Error + 'static)| StoreFailed::of_redis(settings, error);
            let redis = Redis::new(settings, "doubt").map_err(|error| failed(&error))?;
            redis.connect(settings.connect_timeout).await.map_err(|unreached| failed(&unreached))?;
            // What it says of itself is not its own yet, and the copy would write over the doubt.
            if let Some(from) = copy::unfinished(&redis).await.map_err(|error| failed(&error))? {
                let what = format!("store.{}: a copy of {from} into it is not finished", settings.key());
                return Err(StoreFailed::new(Cause::State, what, copy::fix(&from)));
            }
            let people = redis.people().await.map_err(|error| failed(&error))?;
            let (doubt, was_so) =
                login::put_in_doubt(&redis, name, now).await.map_err(|error| failed(&error))?;
            Ok(Doubted { doubt, was_so, people })
        }
    }
}
