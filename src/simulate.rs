//! Room `simulate`.

pub(crate) mod app;
mod backstage;
pub(crate) mod okta;
pub(crate) mod scalekit;

pub(crate) use backstage::{Certificate, Door};
