//! The plane over real sockets: raw clients in front, a recording application behind.

mod core;
mod edge_cases;
mod encrypted;
mod floods;
mod forwarding;
mod gate;
mod http2;
mod judge;
mod life;
mod limits;
mod secure;
pub(super) mod support;
mod tls;
