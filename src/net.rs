//! Both ends of the wire: accepting connections, calling out, and the tasks in between.
//!
//! Nothing here knows what a sign-in is. Every outbound call goes through [`ApiClient`] (time limit, answer limit,
//! breaker, no redirects) and every task through [`Tracker`], so that a drain waits for it. Start reading at
//! [`ApiClient`] and [`Tracker`].

mod breaker;
mod certificate;
mod client;
mod depth;
mod files;
mod listen;
mod look;
mod resolver;
mod tracker;
mod trust;

pub(crate) use client::{Answer, ApiClient, ApiSettings, CallError, ClientError};
pub(crate) use depth::is_nested_too_deeply;
pub(crate) use files::allow_open_files;
pub(crate) use listen::{listen, prepare};
pub(crate) use look::{Look, Sight, Unseen, look};
#[cfg(feature = "simulate")]
pub(crate) use resolver::Resolver;
pub(crate) use tracker::Tracker;
pub(crate) use trust::{TrustError, trust};
