//! Notices that the configuration changed, and loads it again.
//!
//! Folders are watched, not files: editors rename a new file over the old one, and a mounted Kubernetes file changes
//! by swapping the link `..data` beside it. What was *read* decides whether something changed, so events can come too
//! often or not at all: a look at regular intervals finds what no event told (network file systems, folders that did
//! not exist).

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use notify::{
    Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _,
    event::{AccessKind, AccessMode},
};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::Notify,
};

use super::{
    Environment, Loaded, Problems,
    load::{Seen, examine, folder},
};
use crate::clock::Deadline;

/// A file is written in several steps: wait for this much quiet …
const QUIET: Duration = Duration::from_millis(100);
/// … but not for ever.
const MOST_WAITS: usize = 20;
/// How often to look without being told.
const REGULAR: Duration = Duration::from_secs(30);

/// Yields the configuration anew whenever it changed.
pub(crate) struct Watch {
    path: PathBuf,
    environment: Environment,
    watcher: RecommendedWatcher,
    folders: BTreeSet<PathBuf>,
    told: Arc<Notify>,
    hangups: Signal,
    seen: Seen,
    /// Something may have changed that was not looked at yet. Kept here, so that a caller may drop `next`.
    due: bool,
    asked: bool,
    /// How many waits for quiet there were before this look.
    waits: usize,
    /// How often to look without being told, and when that is next: kept here as well, or a caller that drops `next`
    /// again and again would never see it come.
    every: Duration,
    next_look: Deadline,
}

/// Why nothing can be watched.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WatchError {
    #[error("cannot watch folders")]
    Folders(#[from] notify::Error),
    #[error("cannot listen for SIGHUP")]
    Signal(#[from] std::io::Error),
}

impl Watch {
    /// Watches the file that `loaded` came from. Must be called on a tokio runtime.
    pub(crate) fn new(path: &Path, environment: Environment, loaded: &Loaded) -> Result<Self, WatchError> {
        let told = Arc::new(Notify::new());
        let teller = Arc::clone(&told);
        let watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
            // An error may have swallowed an event: look.
            if event.map_or(true, |event| may_change(event.kind)) {
                teller.notify_one();
            }
        })?;
        let hangups = signal(SignalKind::hangup())?;
        let path = std::path::absolute(path)?;
        let mut watch = Self {
            path,
            environment,
            watcher,
            folders: BTreeSet::new(),
            told,
            hangups,
            seen: loaded.seen.clone(),
            // What happened between the load and now is found by one look.
            due: true,
            asked: false,
            waits: 0,
            every: REGULAR,
            next_look: Deadline::within(REGULAR),
        };
        watch.follow(&[]);
        Ok(watch)
    }

    /// Waits for a change (or SIGHUP, which always counts) and loads again. With problems the caller keeps what it
    /// has. May be dropped and called again at any time.
    pub(crate) async fn next(&mut self) -> Result<Loaded, Problems> {
        loop {
            if !self.due {
                self.wait().await;
            }
            self.settle().await;
            self.due = false;
            self.next_look = Deadline::within(self.every);
            // Small local files, rarely: not worth another thread.
            let found = examine(&self.path, &self.environment);
            // A folder that was not watched while it was read may have changed meanwhile: look once more.
            self.due = self.follow(&found.files);
            let changed = found.seen != self.seen;
            if std::mem::take(&mut self.asked) || changed {
                self.seen = found.seen;
                return found.outcome;
            }
        }
    }

    async fn wait(&mut self) {
        // Nothing is lost with the arms that do not win: `Notify` keeps its permit, `Signal` its count.
        tokio::select! {
            () = self.told.notified() => {}
            received = self.hangups.recv() => self.asked |= received.is_some(),
            () = tokio::time::sleep(self.next_look.remaining()) => {}
        }
        self.due = true;
    }

    async fn settle(&mut self) {
        // Those that a caller dropped count, too.
        while self.waits < MOST_WAITS {
            self.waits += 1;
            if tokio::time::timeout(QUIET, self.told.notified()).await.is_err() {
                break;
            }
        }
        self.waits = 0;
    }

    /// Watches the folders of the configuration and of everything it names, and no others. Whether there are new
    /// ones among them.
    fn follow(&mut self, files: &[PathBuf]) -> bool {
        let mut wanted = BTreeSet::new();
        for file in std::iter::once(&self.path).chain(files) {
            wanted.insert(folder(file));
            // A link that leads elsewhere: its target can change, too.
            wanted.extend(file.canonicalize().ok().map(|file| folder(&file)));
        }
        let gone: Vec<PathBuf> = self.folders.difference(&wanted).cloned().collect();
        for folder in gone {
            // A folder that was removed is not watched any more in any case.
            let _ = self.watcher.unwatch(&folder);
            self.folders.remove(&folder);
        }
        let mut new = false;
        for folder in wanted {
            // One that cannot be watched now is tried again at the next look.
            if !self.folders.contains(&folder)
                && self.watcher.watch(&folder, RecursiveMode::NonRecursive).is_ok()
            {
                self.folders.insert(folder);
                new = true;
            }
        }
        new
    }
}

/// Reading a file is an event as well, and ours would never end.
fn may_change(kind: EventKind) -> bool {
    match kind {
        EventKind::Access(access) => access == AccessKind::Close(AccessMode::Write),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink};

    use super::*;
    use crate::config::{
        load,
        testing::{MINIMAL, Scratch, environment},
    };

    const DEADLINE: Duration = Duration::from_secs(20);

    fn with_cutover(percent: &str) -> String {
        MINIMAL.replace("cutover: 0%", &format!("cutover: {percent}"))
    }

    fn watch(path: &Path) -> Watch {
        let loaded = load(path, &environment()).unwrap();
        Watch::new(path, environment(), &loaded).unwrap()
    }

    async fn next(watch: &mut Watch) -> Result<Loaded, Problems> {
        tokio::time::timeout(DEADLINE, watch.next()).await.expect("nothing was noticed")
    }

    async fn next_cutover(watch: &mut Watch) -> String {
        next(watch).await.unwrap().config.rollout.dial.cutover.to_string()
    }

    #[tokio::test]
    async fn a_rewritten_file_is_loaded_again_and_a_bad_one_gives_its_problems() {
        let folder = Scratch::new();
        let path = folder.write("config.yaml", MINIMAL);
        let mut watch = watch(&path);
        folder.write("config.yaml", &with_cutover("5%"));
        assert_eq!(next_cutover(&mut watch).await, "5%");
        folder.write("config.yaml", &with_cutover("500%"));
        assert_eq!(next(&mut watch).await.unwrap_err().0[0].path, "rollout.cutover");
        folder.write("config.yaml", &with_cutover("7%"));
        assert_eq!(next_cutover(&mut watch).await, "7%");
    }

    #[tokio::test]
    async fn a_file_renamed_over_the_old_one_is_noticed() {
        let folder = Scratch::new();
        let path = folder.write("config.yaml", MINIMAL);
        let mut watch = watch(&path);
        fs::rename(folder.write(".config.yaml.swp", &with_cutover("5%")), &path).unwrap();
        assert_eq!(next_cutover(&mut watch).await, "5%");
    }

    #[tokio::test]
    async fn a_mounted_file_changes_when_its_data_link_is_swapped() {
        let folder = Scratch::new();
        folder.write("..2026_01/config.yaml", MINIMAL);
        folder.write("..2026_02/config.yaml", &with_cutover("5%"));
        folder.write("..2026_03/config.yaml", &with_cutover("6%"));
        symlink("..2026_01", folder.path("..data")).unwrap();
        symlink("..data/config.yaml", folder.path("config.yaml")).unwrap();
        let mut watch = watch(&folder.path("config.yaml"));
        for (target, percent) in [("..2026_02", "5%"), ("..2026_03", "6%")] {
            symlink(target, folder.path("..data_tmp")).unwrap();
            fs::rename(folder.path("..data_tmp"), folder.path("..data")).unwrap();
            assert_eq!(next_cutover(&mut watch).await, percent);
        }
    }

    /// A link in the middle of a path is in no folder that is watched.
    #[tokio::test]
    async fn what_no_event_tells_is_found_also_by_a_caller_that_drops_every_wait() {
        let folder = Scratch::new();
        folder.write("v1/config.yaml", MINIMAL);
        folder.write("v2/config.yaml", &with_cutover("5%"));
        symlink("v1", folder.path("current")).unwrap();
        let mut watch = watch(&folder.path("current/config.yaml"));
        watch.every = QUIET * 5;
        // What is due at the start is looked at. A neighbour's SIGHUP brings the old one, here and below.
        let _ = tokio::time::timeout(QUIET * 3, watch.next()).await;
        symlink("v2", folder.path("next")).unwrap();
        fs::rename(folder.path("next"), folder.path("current")).unwrap();
        let found = async {
            loop {
                if let Ok(found) = tokio::time::timeout(QUIET * 2, watch.next()).await
                    && found.unwrap().config.rollout.dial.cutover.to_string() == "5%"
                {
                    return;
                }
            }
        };
        tokio::time::timeout(DEADLINE, found).await.expect("it is found");
    }

    #[tokio::test]
    async fn a_rotated_secret_is_noticed_and_a_touched_file_is_not() {
        let folder = Scratch::new();
        folder.write("secrets/key", &"a".repeat(40));
        let text = MINIMAL.replace("keys: [{env: KEY}]", "keys: [{file: secrets/key}]");
        let path = folder.write("config.yaml", &text);
        let mut watch = watch(&path);
        // The same content again is no change: the next one that comes is the rotated key.
        folder.write("config.yaml", &text);
        folder.write("secrets/key", &"b".repeat(40));
        let loaded = next(&mut watch).await.unwrap();
        assert_eq!(loaded.config.session.keys[0].expose(), "b".repeat(40));
        // Nothing more is due: an untouched configuration stays quiet until somebody asks.
        assert!(tokio::time::timeout(QUIET * 5, watch.next()).await.is_err());
        let id = std::process::id().to_string();
        assert!(std::process::Command::new("kill").args(["-HUP", &id]).status().unwrap().success());
        assert_eq!(next_cutover(&mut watch).await, "0%");
    }
}
