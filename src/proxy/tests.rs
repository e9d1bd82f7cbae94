//! The plane over real sockets: raw clients in front, a recording application behind.

mod core;
mod edge_cases;
mod figures;
mod forwarding;
mod gate;
mod judge;
mod life;
mod limits;
mod mutations;
mod payloads;
mod reading;
mod recording;
pub(super) mod support;
mod table;
mod tls;
