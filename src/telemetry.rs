//! What the operator sees: logs, audit events, metrics. Nothing here decides anything.
//!
//! No secret and no e-mail address may ever come out of this room (SEC-50): a person is a
//! [`Subject`](crate::identity::Subject), a client address is cut as configured, classes are closed sets of words,
//! and libraries are not heard below `info` because what they print there is not ours to vouch for. One event is
//! one line, whatever bytes are in it. Start reading at [`logs::init`], [`Audit`] and [`Metrics`].

mod audit;
mod causes;
pub(crate) mod logs;
mod metrics;
mod redact;

pub(crate) use audit::{Audit, Changed, Named, SignInEnd, Turned};
pub(crate) use causes::with_causes;
pub(crate) use metrics::{Counted, METRICS_CONTENT_TYPE, Metrics};
pub(crate) use redact::AddressPolicy;

use crate::rollout::Lane;

/// A lane as logs and metrics name it.
const fn lane_name(lane: Lane) -> &'static str {
    match lane {
        Lane::Legacy => "legacy",
        Lane::New => "new",
    }
}
