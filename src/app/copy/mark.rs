//! The mark that a copy leaves in the store it fills: whose it is, and whether it is finished.
//!
//! It is written before anything else and read by every start. A start looks once more after it has written its pledge,
//! and a copy looks for a pledge after it has written the mark: of the two, one sees the other.

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use crate::store::{Meta, MetaError};

/// The name under which the filled store keeps it.
pub(super) const MARK: &str = "copy";

/// The name under which a file keeps the name of its copy.
pub(super) const NAME: &str = "copy_name";

/// How far a copy is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Stage {
    /// Nothing was copied yet: what is in the store may be somebody else's.
    Looking,
    /// What is in the store is this copy's.
    Filling,
    Finished,
}

/// What is written down of a copy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Mark {
    /// The copy's name, which its source knows, too.
    pub(super) name: String,
    /// The file, as it was called: for people.
    pub(super) from: String,
    /// For how long the source had been in use: it grows with any further use.
    pub(super) beat: u64,
    pub(super) stage: Stage,
}

impl Mark {
    pub(super) fn read(stored: &[u8]) -> Option<Self> {
        serde_json::from_slice(stored).ok()
    }
}

/// A copy into this store that is not finished: what it was made from, as far as that can be read.
pub(in crate::app) async fn unfinished(store: &dyn Meta) -> Result<Option<String>, MetaError> {
    let Some(stored) = store.meta(MARK).await? else { return Ok(None) };
    Ok(match Mark::read(&stored) {
        Some(mark) if mark.stage == Stage::Finished => None,
        Some(mark) => Some(mark.from),
        None => Some("FILE".into()),
    })
}

/// What ends the state.
pub(in crate::app) fn fix(from: &str) -> String {
    format!("finish it: crossfade store copy --from {from} --config …, and start crossfade then")
}

/// Refuses a store that has a part of its people only: somebody who is missing would be created anew.
pub(in crate::app) async fn refuse_unfinished(store: &dyn Meta) -> anyhow::Result<()> {
    match unfinished(store).await.context("the store cannot be read")? {
        None => Ok(()),
        Some(from) => anyhow::bail!("store: a copy of {from} into it is not finished; {}", fix(&from)),
    }
}
