//! The plane over real sockets: raw clients in front, a recording application behind.

mod core;
mod edge_cases;
mod figures;
mod encrypted;
mod floods;
mod forwarding;
mod gate;
mod http2;
mod judge;
mod life;
mod limits;
mod mutations;
mod payloads;
mod reading;
mod recording;
mod sessions;
mod secure;
pub(super) mod support;
mod table;
mod tls;
