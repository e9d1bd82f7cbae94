//! Sections `public`, `upstream`, `store`, `telemetry`.

use std::net::SocketAddr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{SecretRef, Size, Span, Tls};

/// The listener people's browsers meet.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Public {
    /// The origin people see, such as `https://app.example.com`: scheme, host and port only. Redirects, cookies and
    /// links use it, never a received `Host`.
    #[schemars(required, with = "String")]
    pub(in crate::config) url: Option<String>,
    /// Address and port to listen on. Default `0.0.0.0:8080`.
    #[schemars(with = "Option<String>")]
    pub(in crate::config) listen: Option<SocketAddr>,
    /// `host` or `host:port` values that a request's `Host` may have; anything else is answered with 421.
    #[schemars(required, with = "Vec<String>")]
    pub(in crate::config) allowed_hosts: Option<Vec<String>>,
    /// Networks (such as `10.0.0.0/8`) whose `X-Forwarded-For` and `X-Forwarded-Proto` are believed. Default none.
    pub(in crate::config) trusted_proxies: Option<Vec<String>>,
    /// The certificate, when browsers connect to Crossfade itself. Default none: plain HTTP behind a load balancer.
    pub(in crate::config) tls: Option<Tls>,
    /// Offers HTTP/2 to browsers; only with `tls`. Default true.
    pub(in crate::config) http2: Option<bool>,
    /// Where Crossfade's own routes live. Default `/.crossfade/`.
    pub(in crate::config) prefix: Option<String>,
    /// The name Crossfade puts into `Via`; must differ between two Crossfades in one chain. Default `crossfade`.
    pub(in crate::config) via: Option<String>,
    /// Allows plain http and cookies without `__Host-` and `Secure`: on a developer's own machine only. Default
    /// false.
    pub(in crate::config) development: Option<bool>,
    /// Threads that carry the traffic. Default: one a core.
    pub(in crate::config) threads: Option<u32>,
    /// What is refused before it can do harm.
    pub(in crate::config) limits: Option<Limits>,
}

/// Limits on requests and connections.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Limits {
    /// The head of a request, all fields together. Default `32KiB`.
    pub(in crate::config) head_bytes: Option<Size>,
    /// Fields in the head. Default 100.
    pub(in crate::config) head_fields: Option<u32>,
    /// The request target. Default `8KiB`.
    pub(in crate::config) target_bytes: Option<Size>,
    /// One field. Default `16KiB`.
    pub(in crate::config) field_bytes: Option<Size>,
    /// Until the head is complete. Default `10s`.
    pub(in crate::config) head_timeout: Option<Span>,
    /// How long an idle connection is kept. Default `60s`.
    pub(in crate::config) idle_timeout: Option<Span>,
    /// Longest pause between two pieces of a request body. Default `15s`.
    pub(in crate::config) body_pause: Option<Span>,
    /// Body of a sign-in. Default `16KiB`.
    pub(in crate::config) sign_in_body_bytes: Option<Size>,
    /// Any other body. Default `10MiB`.
    pub(in crate::config) body_bytes: Option<Size>,
    /// Client connections. Default 10000.
    pub(in crate::config) connections: Option<u32>,
    /// Client connections from one address, or from one /64 of IPv6. Default 256.
    pub(in crate::config) connections_per_address: Option<u32>,
    /// Requests at the same time on one HTTP/2 connection. Default 100.
    pub(in crate::config) streams: Option<u32>,
    /// Requests at the same time. Default 2000.
    pub(in crate::config) in_flight: Option<u32>,
    /// How long listeners still accept after readiness went off. Default `5s`.
    pub(in crate::config) drain_wait: Option<Span>,
    /// How long started requests may take after that. Default `30s`.
    pub(in crate::config) drain_timeout: Option<Span>,
}

/// The application behind Crossfade.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Upstream {
    /// Scheme, host and port, such as `http://app:8000`.
    #[schemars(required, with = "String")]
    pub(in crate::config) url: Option<String>,
    /// Certificates (PEM) of further authorities to trust for an https application.
    pub(in crate::config) ca_file: Option<String>,
    /// Sends the client's own `Host` on; else the application's. Default true.
    pub(in crate::config) preserve_host: Option<bool>,
    /// Default `1s`.
    pub(in crate::config) connect_timeout: Option<Span>,
    /// Until the answer begins. Default `30s`.
    pub(in crate::config) first_byte_timeout: Option<Span>,
    /// Longest pause between two pieces of an answer. Default `60s`.
    pub(in crate::config) body_pause: Option<Span>,
    /// Idle connections kept, per thread. Default 64.
    pub(in crate::config) idle_connections: Option<u32>,
    /// How long an idle connection is kept; less than the application's own. Default `30s`.
    pub(in crate::config) idle_timeout: Option<Span>,
}

/// Where state lives.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::config) enum Store {
    /// One file, for one process.
    Embedded(Embedded),
    /// Redis (7.0 or later), for any number of processes.
    Redis(Box<Redis>),
}

/// The embedded store.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Embedded {
    /// The file, relative to the folder of this configuration. It is the ledger of who moved: back it up.
    #[schemars(required, with = "String")]
    pub(in crate::config) path: Option<String>,
}

/// The store in Redis.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Redis {
    /// `rediss://HOST:6379/0` with TLS, `redis://` without; port and database may be left out. No user or password.
    /// This, `sentinel` or `cluster`.
    pub(in crate::config) url: Option<String>,
    /// Instead of `url`: a primary that Sentinels watch and replace.
    pub(in crate::config) sentinel: Option<Sentinel>,
    /// Instead of `url`: a Redis Cluster.
    pub(in crate::config) cluster: Option<Cluster>,
    /// A user of Redis' access control lists. Default: Redis' own default user.
    pub(in crate::config) username: Option<String>,
    pub(in crate::config) password: Option<SecretRef>,
    /// What every key begins with; another one for each Crossfade in the same database. Default `crossfade:`.
    pub(in crate::config) prefix: Option<String>,
    /// For one operation. Default `250ms`.
    pub(in crate::config) timeout: Option<Span>,
    /// Default `1s`.
    pub(in crate::config) connect_timeout: Option<Span>,
    /// How many replicas share it, for what each may do alone while Redis is away. Counted in Redis as soon as it
    /// answers; this is what is assumed before. Default 1.
    pub(in crate::config) replicas: Option<u32>,
    /// Certificates (PEM) of the only authorities to trust. Default: those that the public trusts.
    pub(in crate::config) ca_file: Option<String>,
    /// How much of its last moments it may lose, as in a failover, before nobody is created until an operator confirms
    /// it. Default `10s`.
    pub(in crate::config) epoch_tolerance: Option<Span>,
}

/// Who is asked for the primary. `username` and `password` beside it are the primary's.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Sentinel {
    /// The name by which the Sentinels know the primary.
    #[schemars(required, with = "String")]
    pub(in crate::config) master: Option<String>,
    /// The Sentinels, `rediss://HOST:26379/0` or `redis://`; primary and Sentinels both have TLS, or neither. The
    /// number is that of the database at the primary.
    #[schemars(required, with = "Vec<String>")]
    pub(in crate::config) urls: Option<Vec<String>>,
    /// A user of the Sentinels' own. Default: their default user.
    pub(in crate::config) username: Option<String>,
    /// The Sentinels' own password. Default: none.
    pub(in crate::config) password: Option<SecretRef>,
}

/// A Redis Cluster.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Cluster {
    /// Some of its nodes, `rediss://HOST:6379` or `redis://`; the others are found through them.
    #[schemars(required, with = "Vec<String>")]
    pub(in crate::config) urls: Option<Vec<String>>,
}

/// Logs.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Telemetry {
    /// A level, or levels per part: `info,crossfade::proxy=debug`. Default `info`.
    pub(in crate::config) log: Option<String>,
    /// Key of the hash that stands for a person in logs; at least 32 bytes.
    #[schemars(required, with = "SecretRef")]
    pub(in crate::config) subject_key: Option<SecretRef>,
    /// Logs client addresses whole; else the /24 or /48 they are in. Default false.
    pub(in crate::config) full_addresses: Option<bool>,
}
