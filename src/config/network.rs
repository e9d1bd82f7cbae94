//! Sections `public`, `upstream`, `store`, `telemetry`: addresses, limits, places.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use ipnet::IpNet;
use url::Url;

use super::Tls;
use crate::identity::Secret;

/// Section `public`: the listener people's browsers meet.
#[derive(Clone, Debug)]
pub(crate) struct Public {
    /// The origin people see, e.g. `https://app.example.com`: redirects, cookies and links use it, never a
    /// received `Host` (SEC-10). No path, query or user info.
    pub(crate) url: Url,
    pub(crate) listen: SocketAddr,
    /// Lower-case `host` or `host:port` values a request's `Host` may have; anything else is 421.
    pub(crate) allowed_hosts: Vec<String>,
    /// Peers whose `X-Forwarded-For` and `-Proto` are believed (SEC-17); none by default.
    pub(crate) trusted_proxies: Vec<IpNet>,
    /// Set when browsers connect to us and not to a load balancer before us.
    pub(crate) tls: Option<Tls>,
    /// Whether HTTP/2 is offered, which is only ever done over TLS.
    pub(crate) http2: bool,
    /// Where our own routes live; starts and ends with `/`.
    pub(crate) prefix: String,
    /// Our pseudonym in `Via`; a request that already carries it is a loop (SEC-12).
    pub(crate) via: String,
    /// Plain http and cookies without `__Host-`/`Secure`: for a developer's own machine only.
    pub(crate) development: bool,
    /// Data-plane threads; one listener, one runtime and one upstream pool each.
    pub(crate) threads: usize,
    pub(crate) limits: Limits,
}

/// The limits of REL-30, all with defaults.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    pub(crate) head_bytes: usize,
    pub(crate) head_fields: usize,
    pub(crate) target_bytes: usize,
    pub(crate) field_bytes: usize,
    pub(crate) head_timeout: Duration,
    pub(crate) idle_timeout: Duration,
    /// Longest pause between two pieces of a request body.
    pub(crate) body_pause: Duration,
    pub(crate) sign_in_body_bytes: usize,
    pub(crate) body_bytes: u64,
    pub(crate) connections: usize,
    pub(crate) connections_per_address: usize,
    /// Requests at the same time on one HTTP/2 connection.
    pub(crate) streams: u32,
    pub(crate) in_flight: usize,
    /// How long listeners still accept after readiness went off.
    pub(crate) drain_wait: Duration,
    /// How long started requests may take after that.
    pub(crate) drain_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            head_bytes: 32 * 1024,
            head_fields: 100,
            target_bytes: 8 * 1024,
            field_bytes: 16 * 1024,
            head_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_mins(1),
            body_pause: Duration::from_secs(15),
            sign_in_body_bytes: 16 * 1024,
            body_bytes: 10 * 1024 * 1024,
            connections: 10_000,
            connections_per_address: 256,
            streams: 100,
            in_flight: 2_000,
            drain_wait: Duration::from_secs(5),
            drain_timeout: Duration::from_secs(30),
        }
    }
}

/// Section `upstream`: the application behind us.
#[derive(Clone, Debug)]
pub(crate) struct Upstream {
    /// Scheme, host and port; no path.
    pub(crate) url: Url,
    /// Extra CA certificates (PEM) for an https upstream.
    pub(crate) ca_file: Option<PathBuf>,
    /// Sends the client's own `Host` on (the default), else the upstream's.
    pub(crate) preserve_host: bool,
    pub(crate) connect_timeout: Duration,
    pub(crate) first_byte_timeout: Duration,
    /// Longest pause between two pieces of a response body.
    pub(crate) body_pause: Duration,
    /// Idle connections kept per data-plane thread, and for how long.
    pub(crate) idle_connections: usize,
    pub(crate) idle_timeout: Duration,
}

/// Section `store`: where state lives.
#[derive(Clone, Debug)]
pub(crate) enum Store {
    /// One file, one process.
    Embedded { path: PathBuf },
    /// Redis for any number of processes.
    Redis(Box<RedisStore>),
}

/// A Redis, and how it is used.
#[derive(Clone, Debug)]
pub(crate) struct RedisStore {
    pub(crate) shape: RedisShape,
    /// The number of the database.
    pub(crate) database: i64,
    pub(crate) tls: bool,
    pub(crate) username: Option<String>,
    pub(crate) password: Option<Secret>,
    /// What every key begins with.
    pub(crate) prefix: String,
    /// For one operation.
    pub(crate) timeout: Duration,
    pub(crate) connect_timeout: Duration,
    /// How many processes are assumed to share it until it says how many there are.
    pub(crate) replicas: u32,
    /// The only authorities (PEM) that are believed; without it, those that the public trusts.
    pub(crate) ca_file: Option<PathBuf>,
    /// How much of its last moments it may lose without being doubted (10 s).
    pub(crate) epoch_tolerance: Duration,
}

impl RedisStore {
    /// The servers' password, and that of the Sentinels.
    pub(crate) fn passwords(&self) -> [Option<&Secret>; 2] {
        let sentinels = match &self.shape {
            RedisShape::Sentinel(sentinels) => sentinels.password.as_ref(),
            RedisShape::Single(_) | RedisShape::Cluster(_) => None,
        };
        [self.password.as_ref(), sentinels]
    }

    /// Whether the two are alike but for their passwords.
    pub(crate) fn is_like(&self, other: &Self) -> bool {
        // Secrets do not print.
        format!("{self:?}") == format!("{other:?}")
    }
}

/// How a Redis keeps itself alive, and whom to ask for it.
#[derive(Clone, Debug)]
pub(crate) enum RedisShape {
    /// One server, or whatever stands behind its address.
    Single(RedisAddress),
    /// A primary that Sentinels watch and replace.
    Sentinel(Sentinels),
    /// Several primaries, each with a part of the keys; some of their addresses.
    Cluster(Vec<RedisAddress>),
}

/// Who says which server is the primary.
#[derive(Clone, Debug)]
pub(crate) struct Sentinels {
    /// The name by which they know it.
    pub(crate) master: String,
    pub(crate) addresses: Vec<RedisAddress>,
    /// Their own, not the primary's.
    pub(crate) username: Option<String>,
    pub(crate) password: Option<Secret>,
}

/// Where one server of Redis listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RedisAddress {
    pub(crate) host: String,
    pub(crate) port: u16,
}

impl RedisStore {
    /// The setting that says where it is, below `store`.
    pub(crate) fn key(&self) -> &'static str {
        match self.shape {
            RedisShape::Single(_) => "redis.url",
            RedisShape::Sentinel(_) => "redis.sentinel",
            RedisShape::Cluster(_) => "redis.cluster",
        }
    }

    /// The addresses of that setting, without user and password.
    pub(crate) fn urls(&self) -> Vec<String> {
        let scheme = if self.tls { "rediss" } else { "redis" };
        let url = |RedisAddress { host, port }: &RedisAddress| {
            let host = if host.contains(':') { format!("[{host}]") } else { host.clone() };
            format!("{scheme}://{host}:{port}/{}", self.database)
        };
        match &self.shape {
            RedisShape::Single(address) => vec![url(address)],
            RedisShape::Sentinel(Sentinels { addresses, .. }) | RedisShape::Cluster(addresses) => {
                addresses.iter().map(url).collect()
            }
        }
    }
}

/// Section `telemetry`: logs and their key.
#[derive(Clone, Debug)]
pub(crate) struct Telemetry {
    /// A `tracing` filter, e.g. `info` or `info,crossfade::proxy=debug`.
    pub(crate) log: String,
    /// Key of the hash that stands for a person in logs; at least 32 bytes.
    pub(crate) subject_key: Secret,
    /// Whether client addresses are logged whole; else the /24 or /48.
    pub(crate) full_addresses: bool,
}
