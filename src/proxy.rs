//! The data plane: what people's browsers meet, and the way to the application behind us.
//!
//! One thread, one runtime, one listener and one pool of upstream connections per core. A request passes the edge
//! checks (`admit`), then the [`Gate`] decides what it is to us (`intercept`): a door of ours, a sign-in, or a request
//! for the application ([`Core::forward`]). Nothing here may log a query, a header value or a body, and no path from
//! the client to the application skips the header filter (`headers`). Start reading at [`Plane`], then `admit`,
//! `intercept`, `sign_in`, `forward`.

mod admit;
mod body;
mod client_ip;
mod connection;
mod credential;
mod crowd;
mod doors;
mod evenly;
mod failure;
mod farewell;
mod forward;
mod gate;
mod guessing;
mod hand_over;
mod headers;
mod http2;
mod intercept;
mod line;
mod path;
mod plane;
mod probe;
mod recorder;
mod refresh;
mod request;
mod revoke;
mod sign_in;
mod signals;
mod switch;
mod tls;
mod tunnels;
mod upload;
mod upstream;
mod visitor;
mod watch;
mod who_am_i;
mod word;

pub(crate) use body::{AnswerBody, BodyError};
pub(crate) use evenly::Evenly;
pub(crate) use forward::Core;
pub(crate) use gate::{Gate, Rules};
pub(crate) use intercept::Handler;
pub(crate) use path::NormalPath;
pub(crate) use plane::{Plane, Setup};
pub(crate) use probe::{probe_public, probe_upstream};
pub(crate) use recorder::Recorder;
pub(crate) use request::{Accepted, Client, Extra, Outgoing, OutgoingBody, RequestId};
pub(crate) use upload::read_small;
pub(crate) use visitor::Visitors;

#[cfg(test)]
pub(crate) mod tests;
