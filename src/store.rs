//! Where state lives: the ledger, sessions, flows and counts of tries, behind the ports of `login` and `session`.
//!
//! One implementation for now, [`Embedded`]: one file, one process. Every store passes the suites in `contract`.
//! A store keeps what it is given and decides nothing.

mod counts;
mod embedded;

#[cfg(test)]
mod contract;

pub(crate) use counts::LocalCounts;
pub(crate) use embedded::{Embedded, Glance, glance};
