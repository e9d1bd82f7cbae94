//! Names to addresses for outbound calls.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// The system's resolver, except that `localhost` and everything below it is this machine (RFC 6761 §6.3): many
/// systems know `localhost` alone, and the stand-ins need a name each, because cookies do not tell ports apart.
#[derive(Debug)]
pub(crate) struct Resolver;

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found: Addrs = Box::new(addresses(name.as_str()).await?.into_iter());
            Ok(found)
        })
    }
}

/// The addresses of a name; the port is the caller's to set.
pub(super) async fn addresses(name: &str) -> std::io::Result<Vec<SocketAddr>> {
    if is_this_machine(name) {
        let here = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];
        return Ok(here.map(|address| SocketAddr::new(address, 0)).to_vec());
    }
    Ok(tokio::net::lookup_host((name, 0)).await?.collect())
}

fn is_this_machine(name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name);
    let last = name.rsplit('.').next().unwrap_or_default();
    last.eq_ignore_ascii_case("localhost")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_localhost_and_what_is_below_it_is_this_machine() {
        for name in ["localhost", "LOCALHOST", "scalekit.localhost", "a.b.localhost."] {
            assert!(is_this_machine(name), "{name}");
        }
        for name in ["localhost.example.com", "notlocalhost", "example.com", "", "localhost.."] {
            assert!(!is_this_machine(name), "{name}");
        }
    }

    #[tokio::test]
    async fn a_name_below_localhost_leads_here() {
        let found: Vec<_> =
            Resolver.resolve("scalekit.localhost".parse().unwrap()).await.ok().unwrap().collect();
        assert!(found.iter().all(|address| address.ip().is_loopback()) && !found.is_empty());
    }
}
