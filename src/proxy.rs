//! The data plane: what people's browsers meet, and the way to the application behind us.
//!
//! One thread, one runtime, one listener and one pool of upstream connections per core. A request passes the edge
//! checks (`admit`), then the [`Gate`] decides what happens to it, and most are handed to [`Core::forward`]. Nothing
//! here may log a query, a header value or a body, and no path from the client to the application skips the header
//! filter (`headers`). Start reading at [`Plane`], then `admit`, `forward`.

mod admit;
mod body;
mod client_ip;
mod connection;
mod counters;
mod crowd;
mod failure;
mod forward;
mod headers;
mod intercept;
mod path;
mod plane;
mod request;
mod switch;
mod upload;
mod upstream;
mod watch;

pub(crate) use body::{AnswerBody, BodyError};
pub(crate) use counters::Counters;
pub(crate) use failure::{FailureKind, ForwardError};
pub(crate) use forward::Core;
pub(crate) use intercept::Gate;
pub(crate) use path::NormalPath;
pub(crate) use plane::{Plane, Setup, StartError};
pub(crate) use request::{Accepted, Client, Extra, Outgoing, OutgoingBody, RequestId};
pub(crate) use upload::{ReadError, read_small};

#[cfg(test)]
mod tests;
