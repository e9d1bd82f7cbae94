//! Both ends of the wire: accepting connections, calling out, and the tasks in between.
//!
//! Nothing here knows what a sign-in is. Every outbound call goes through [`ApiClient`] (time limit, answer limit,
//! breaker, no redirects) and every task through [`Tracker`], so that a drain waits for it. Start reading at
//! [`ApiClient`] and [`Tracker`].

mod breaker;
mod client;
mod files;
mod listen;
mod resolver;
mod tracker;

pub(crate) use client::{Answer, ApiClient, ApiSettings, CallError, ClientError};
pub(crate) use files::allow_open_files;
pub(crate) use listen::{listen, prepare};
#[cfg(feature = "simulate")]
pub(crate) use resolver::Resolver;
pub(crate) use tracker::Tracker;
