//! Work that no request waits for.
//!
//! Jobs speak through ports, run on the shared runtime through the tracker, and stop when the process does.
//! Nothing may depend on a job having run. Start reading at [`sweep_sessions`] and [`Dialing`].

mod dial;
mod finish;
mod index;
mod sweep;
mod watch;

#[cfg(feature = "openfeature")]
pub(crate) use dial::Flagd;
pub(crate) use dial::{Dialing, Over, Stands, Turn, TurnRefused};
pub(crate) use finish::finish_people;
pub(crate) use index::index_people;
pub(crate) use sweep::sweep_sessions;
pub(crate) use watch::{PutsBack, watch_store};
