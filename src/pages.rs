//! What people see of us: the one place that turns facts into HTTP answers.
//!
//! Texts are fixed, or the operator's own (`words`), and say nothing of what is behind us: no stack, host, version or
//! dependency (SEC-52). Every page carries the request's id, so that a person can tell it to support. Start reading at
//! [`Pages`].

mod problem;
mod respond;
mod template;
mod words;

pub(crate) use problem::Problem;
pub(crate) use respond::{Asked, Page, Pages};
pub(crate) use words::Wish;
