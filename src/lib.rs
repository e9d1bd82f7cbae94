#![doc = include_str!("ARCHITECTURE.md")]

// The rooms, from the ground up. A room imports only rooms above it in this list
// (lower rank); `tests/it/architecture.rs` keeps it so.
pub(crate) mod clock;
pub(crate) mod identity;

pub(crate) mod findings;
pub(crate) mod rollout;

pub(crate) mod config;

pub(crate) mod login;
pub(crate) mod telemetry;

pub(crate) mod bulk;
pub(crate) mod hash;
pub(crate) mod net;
pub(crate) mod session;

pub(crate) mod legacy;
pub(crate) mod pages;
pub(crate) mod scalekit;
pub(crate) mod store;

pub(crate) mod jobs;
pub(crate) mod proxy;

pub(crate) mod admin;

pub(crate) mod app;
#[cfg(feature = "simulate")]
pub(crate) mod simulate;

pub mod cli;
