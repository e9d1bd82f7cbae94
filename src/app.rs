//! Builds the running program from its configuration: the only room that names concrete types and starts things.
//!
//! [`Instance::start`] is a list: store, keys, Scalekit, legacy chain, journeys, gate, listeners. What a reload may
//! change is swapped whole in `reload`; everything else says that it needs a restart. Start reading at `build`.

mod belongings;
mod build;
mod copy;
mod doctor;
mod doubt;
mod lifecycle;
mod observed;
mod pledge;
mod reload;
mod store_failed;
mod witness;

pub(crate) use copy::{Copied, Progress, copy};
pub(crate) use doctor::{Group, examine};
pub(crate) use doubt::{Doubted, doubt};
pub(crate) use lifecycle::Instance;
pub(crate) use reload::NotTaken;
pub(crate) use store_failed::{Cause, StoreFailed};
