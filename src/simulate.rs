//! Room `simulate`.

pub(crate) mod app;
mod backstage;
pub(crate) mod http_store;
pub(crate) mod okta;
pub(crate) mod scalekit;
pub(crate) mod stormpath;

pub(crate) use backstage::{Certificate, Door};
