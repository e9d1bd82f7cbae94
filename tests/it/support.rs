//! The tests' own tools: the real parts, the program under test, and a stranger's HTTP client.
//!
//! Everything that is started here dies with the value that stands for it, also on a panic, and at the latest
//! with the test process. Nothing is skipped: a test whose part is missing fails. Start reading at [`parts`] and
//! [`process`].

#![expect(
    dead_code,
    reason = "tools for behaviours whose tests are still to come; remove with the last of them"
)]

pub(crate) mod admin_tokens;
pub(crate) mod backend;
pub(crate) mod browser;
pub(crate) mod certificates;
pub(crate) mod crossfade;
pub(crate) mod django;
pub(crate) mod draft;
#[cfg(feature = "openfeature")]
pub(crate) mod flagd;
pub(crate) mod fleet;
pub(crate) mod helm;
pub(crate) mod http;
pub(crate) mod image;
pub(crate) mod mariadb;
pub(crate) mod neighbour;
pub(crate) mod oidc;
pub(crate) mod openapi;
pub(crate) mod parts;
pub(crate) mod plain;
pub(crate) mod pod;
pub(crate) mod ports;
pub(crate) mod postgres;
pub(crate) mod process;
pub(crate) mod redis;
pub(crate) mod relay;
pub(crate) mod scene;
pub(crate) mod scratch;
pub(crate) mod sdk;
pub(crate) mod shapes;
pub(crate) mod simulator;
pub(crate) mod wait;
pub(crate) mod wire;
pub(crate) mod wiretap;
