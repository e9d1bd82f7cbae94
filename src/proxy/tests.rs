//! The plane over real sockets: raw clients in front, a recording application behind.

mod core;
mod crossed;
mod edge_cases;
mod encrypted;
pub(crate) mod figures;
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
mod secure;
mod sessions;
mod slow;
pub(super) mod support;
mod table;
mod tls;
mod word;
