//! Where state lives: the ledger, sessions and flows, behind the ports of `login` and `session`.
//!
//! One implementation for now, [`Embedded`]: one file, one process. Every store passes the suites in `contract`.
//! A store keeps what it is given and decides nothing.

mod embedded;

#[cfg(test)]
mod contract;

pub(crate) use embedded::{Embedded, Glance, glance};
