//! Both ends of the wire: accepting connections, calling out, and the tasks in between.
//!
//! Nothing here knows what a sign-in is. Every outbound call goes through a [`Turnstile`] (bound, breaker, rate), over
//! HTTP in an [`ApiClient`] (time limit, answer limit, no redirects), and every task through [`Tracker`], so that a drain waits for it. Start reading at
//! [`ApiClient`] and [`Tracker`].

mod about;
mod breaker;
mod certificate;
mod client;
mod dependencies;
mod depth;
mod files;
mod listen;
mod look;
mod rates;
mod resolver;
mod rotating;
mod tracker;
mod trust;
mod waits;

pub(crate) use about::about;
pub(crate) use breaker::{Breaker, Probes, Stand, Told};
pub(crate) use client::{Answer, ApiClient, ApiSettings, CallError, ClientError};
pub(crate) use dependencies::{Barred, Dependencies, End, Terms, Turnstile};
pub(crate) use depth::is_nested_too_deeply;
pub(crate) use files::allow_open_files;
pub(crate) use listen::{listen, prepare};
pub(crate) use look::{Look, Sight, Unseen, look};
pub(crate) use rates::{LEAST_CAPACITY, LEAST_RATE, LocalRates, RECOVERY, Rates, Urgency, per_second};
#[cfg(feature = "simulate")]
pub(crate) use resolver::Resolver;
pub(crate) use rotating::{Rotating, Taken};
pub(crate) use tracker::Tracker;
pub(crate) use trust::{TrustError, trust};
pub(crate) use waits::{LEAST_WAIT, retry_after, retry_after_field};
