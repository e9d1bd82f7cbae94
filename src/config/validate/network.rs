//! Sections `public`, `upstream`, `telemetry`.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    thread,
    time::Duration,
};

use ipnet::IpNet;
use url::Url;

use super::{Check, is_loopback, text::is_token_byte};
use crate::config::{
    Limits, Public, Telemetry, Upstream,
    problem::At,
    raw::{self, Size},
};

/// One a core, at least one.
pub(super) fn cores() -> usize {
    thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

impl Check<'_> {
    pub(super) fn public(&mut self, raw: Option<raw::Public>) -> Option<Public> {
        let at = At::section("public");
        let raw = raw.unwrap_or_default();
        let url = self.public_url(&at.key("url"), raw.url);
        let allowed_hosts = self.allowed_hosts(&at.key("allowed_hosts"), raw.allowed_hosts, url.as_ref());
        let trusted_proxies =
            self.networks(&at.key("trusted_proxies"), &raw.trusted_proxies.unwrap_or_default());
        let tls = self.tls(&at.key("tls"), raw.tls, url.as_ref());
        let prefix = self.prefix(&at.key("prefix"), raw.prefix);
        let via = raw.via.unwrap_or_else(|| "crossfade".into());
        if via.is_empty() || !via.bytes().all(is_token_byte) {
            self.problem(&at.key("via"), "must be a name without blanks, such as crossfade");
        }
        if self.development {
            self.warn(
                &at.key("development"),
                "is on: plain http and unprotected cookies; never use it where other people can reach it",
            );
        }
        let threads = self.count(&at.key("threads"), raw.threads, cores(), 1024);
        let limits = self.limits(&at.key("limits"), &raw.limits.unwrap_or_default());
        Some(Public {
            url: url?,
            listen: raw.listen.unwrap_or(SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 8080)),
            allowed_hosts: allowed_hosts?,
            trusted_proxies,
            tls,
            http2: raw.http2.unwrap_or(true),
            prefix: prefix?,
            via,
            development: self.development,
            threads,
            limits,
        })
    }

    fn public_url(&mut self, at: &At, raw: Option<String>) -> Option<Url> {
        let url = self.origin(at, raw)?;
        if url.scheme() != "https" && !self.development {
            self.problem(
                at,
                "must be https: passwords travel there (on your own machine set public.development: true)",
            );
        }
        Some(url)
    }

    /// SEC-10: without the list any `Host` would be taken, and it decides where links and cookies point.
    fn allowed_hosts(
        &mut self,
        at: &At,
        raw: Option<Vec<String>>,
        public: Option<&Url>,
    ) -> Option<Vec<String>> {
        let raw = self.required(at, raw)?;
        if raw.is_empty() {
            self.problem(at, "is empty: list the host names people use, at least that of public.url");
            return None;
        }
        let known = self.problems.len();
        let mut hosts = Vec::new();
        for (n, text) in raw.iter().enumerate() {
            let host = text.to_ascii_lowercase();
            if !is_authority(&host) {
                self.problem(&at.index(n), "must be host or host:port, without scheme, path or *");
            } else if hosts.contains(&host) {
                self.problem(&at.index(n), "is there twice: remove one");
            }
            hosts.push(host);
        }
        let own = public.and_then(|url| Some((url.host_str()?, url.port())));
        if let (true, Some((host, port))) = (self.problems.len() == known, own) {
            let whole = port.map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
            if !hosts.contains(&whole) {
                self.problem(
                    at,
                    format!("lacks the public URL's own {whole}: add it, or every request is refused"),
                );
            }
        }
        Some(hosts)
    }

    fn networks(&mut self, at: &At, raw: &[String]) -> Vec<IpNet> {
        let mut networks = Vec::new();
        for (n, text) in raw.iter().enumerate() {
            let single = || text.parse::<IpAddr>().map(IpNet::from);
            match text.parse::<IpNet>().or_else(|_| single()) {
                Ok(network) if network.prefix_len() == 0 => {
                    self.problem(&at.index(n), "is everybody: name the networks of your own proxies");
                }
                Ok(network) => networks.push(network.trunc()),
                Err(_) => self.problem(&at.index(n), "must be a network such as 10.0.0.0/8, or one address"),
            }
        }
        networks
    }

    fn prefix(&mut self, at: &At, raw: Option<String>) -> Option<String> {
        let prefix = raw.unwrap_or_else(|| "/.crossfade/".into());
        let ascii = prefix.bytes().all(|b| b.is_ascii_graphic());
        if prefix.len() < 3 || !prefix.ends_with('/') || !ascii {
            self.problem(at, "must begin and end with / and have something in between, such as /.crossfade/");
            return None;
        }
        self.route_path(at, &prefix).map(|path| path.0)
    }

    fn limits(&mut self, at: &At, raw: &raw::Limits) -> Limits {
        let default = Limits::default();
        let size = |check: &mut Self, key: &str, value: Option<Size>, default: u64, most: u64| {
            let bytes = value.map_or(default, |size| size.0);
            if bytes == 0 || bytes > most {
                check.problem(&at.key(key), format!("must be between 1 and {} bytes", Size(most)));
            }
            bytes
        };
        let small = |check: &mut Self, key: &str, value: Option<Size>, default: usize| {
            let bytes = size(check, key, value, u64::try_from(default).unwrap_or(u64::MAX), 1 << 20);
            usize::try_from(bytes).unwrap_or(default)
        };
        let streams_default = usize::try_from(default.streams).unwrap_or(usize::MAX);
        let streams = self.count(&at.key("streams"), raw.streams, streams_default, 10_000);
        let limits = Limits {
            head_bytes: small(self, "head_bytes", raw.head_bytes, default.head_bytes),
            head_fields: self.count(&at.key("head_fields"), raw.head_fields, default.head_fields, 1000),
            target_bytes: small(self, "target_bytes", raw.target_bytes, default.target_bytes),
            field_bytes: small(self, "field_bytes", raw.field_bytes, default.field_bytes),
            head_timeout: self.span(&at.key("head_timeout"), raw.head_timeout, default.head_timeout),
            idle_timeout: self.span(&at.key("idle_timeout"), raw.idle_timeout, default.idle_timeout),
            body_pause: self.span(&at.key("body_pause"), raw.body_pause, default.body_pause),
            sign_in_body_bytes: small(
                self,
                "sign_in_body_bytes",
                raw.sign_in_body_bytes,
                default.sign_in_body_bytes,
            ),
            body_bytes: size(self, "body_bytes", raw.body_bytes, default.body_bytes, 1 << 50),
            connections: self.count(&at.key("connections"), raw.connections, default.connections, 1_000_000),
            connections_per_address: self.count(
                &at.key("connections_per_address"),
                raw.connections_per_address,
                default.connections_per_address,
                1_000_000,
            ),
            streams: u32::try_from(streams).unwrap_or(default.streams),
            in_flight: self.count(&at.key("in_flight"), raw.in_flight, default.in_flight, 1_000_000),
            // No wait at all is a choice: nothing balances in front.
            drain_wait: raw.drain_wait.map_or(default.drain_wait, |span| span.0),
            drain_timeout: self.span(&at.key("drain_timeout"), raw.drain_timeout, default.drain_timeout),
        };
        for (key, bytes) in [("target_bytes", limits.target_bytes), ("field_bytes", limits.field_bytes)] {
            if bytes > limits.head_bytes {
                self.problem(&at.key(key), "is more than head_bytes, of which it is a part");
            }
        }
        limits
    }

    pub(super) fn upstream(&mut self, raw: Option<raw::Upstream>) -> Option<Upstream> {
        let at = At::section("upstream");
        let raw = raw.unwrap_or_default();
        let url = self.origin(&at.key("url"), raw.url);
        let ca_file = raw.ca_file.map(|text| self.file(&at.key("ca_file"), Some(text)));
        if let Some(url) = url.as_ref().filter(|url| url.scheme() == "http") {
            if ca_file.is_some() {
                self.problem(&at.key("ca_file"), "is of no use with http: remove it, or make the url https");
            }
            if !is_loopback(url) {
                self.warn(
                    &at.key("url"),
                    "is plain http: passwords and identities can be read on the way to the application",
                );
            }
        }
        let connect_timeout =
            self.span(&at.key("connect_timeout"), raw.connect_timeout, Duration::from_secs(1));
        let first_byte_timeout =
            self.span(&at.key("first_byte_timeout"), raw.first_byte_timeout, Duration::from_secs(30));
        let body_pause = self.span(&at.key("body_pause"), raw.body_pause, Duration::from_mins(1));
        let idle_timeout = self.span(&at.key("idle_timeout"), raw.idle_timeout, Duration::from_secs(30));
        let idle_connections = self.count(&at.key("idle_connections"), raw.idle_connections, 64, 100_000);
        Some(Upstream {
            url: url?,
            ca_file: ca_file.flatten(),
            preserve_host: raw.preserve_host.unwrap_or(true),
            connect_timeout,
            first_byte_timeout,
            body_pause,
            idle_connections,
            idle_timeout,
        })
    }

    pub(super) fn telemetry(&mut self, raw: Option<raw::Telemetry>) -> Option<Telemetry> {
        let at = At::section("telemetry");
        let raw = raw.unwrap_or_default();
        let log = raw.log.unwrap_or_else(|| "info".into());
        if let Err(error) = tracing_subscriber::EnvFilter::builder().parse(&log) {
            self.problem(
                &at.key("log"),
                format!("must be a level, or levels such as info,crossfade::proxy=debug: {error}"),
            );
        }
        let subject_key = self.key(&at.key("subject_key"), raw.subject_key);
        Some(Telemetry {
            log,
            subject_key: subject_key?,
            full_addresses: raw.full_addresses.unwrap_or(false),
        })
    }
}

/// `host` or `host:port`, in small letters.
fn is_authority(text: &str) -> bool {
    // The URL parser knows hosts; what it had to change was not one.
    let scheme = if text.ends_with(":80") { "https" } else { "http" };
    let parsed = Url::parse(&format!("{scheme}://{text}/"));
    parsed.is_ok_and(|url| url.authority() == text && !text.contains(['@', '*', '?', '#', '\\']))
}

#[cfg(test)]
mod tests {
    use super::is_authority;

    #[test]
    fn a_host_has_no_more_than_a_port() {
        for good in
            ["app.example.com", "app.localhost:8080", "127.0.0.1:80", "[::1]:443", "xn--bcher-kva.example"]
        {
            assert!(is_authority(good), "{good}");
        }
        for bad in ["", "https://a", "a/b", "a:b", "u@a", "*.a", "a:99999", "bücher.example", "a b", "a?b"] {
            assert!(!is_authority(bad), "{bad}");
        }
    }
}
