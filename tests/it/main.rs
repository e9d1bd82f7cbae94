//! Black-box tests: they start the built program and the real parts around it, and talk to them as strangers.
//!
//! `tests/run` installs the parts and starts this binary; `support` drives them. Every other module is one
//! behaviour.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test's own tools may panic: a panic is how a test fails"
)]

mod admin_api;
mod architecture;
mod bad_answers;
mod bad_input;
mod canary;
mod chart;
mod code_flow;
mod crossing;
mod crowds;
mod dial;
mod django;
mod doctor;
mod edge;
mod equal_answers;
mod fault_matrix;
mod guessing;
mod hanging;
mod hostile;
mod image;
mod kill;
mod lost_store;
mod neighbours;
mod own_choice;
mod pages;
mod parts;
mod proxying;
mod redis;
mod redis_outages;
mod removed;
mod replicas;
mod sdk;
mod sessions;
mod simulate;
mod store_copy;
mod stores;
mod support;
mod sweeper;
mod tls;
mod tools;
