//! The room as a whole: bad files and what is said of them, good files and what they mean.

mod bad;
mod examples;
mod good;
mod guessing;
mod services;
mod store;
mod tls;
