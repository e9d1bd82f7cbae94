//! Names to addresses: the system's way, and `localhost` names always to this machine (RFC 6761 §6.3).

use std::net::{Ipv4Addr, SocketAddr};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// Resolves names for outbound clients.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Resolver;

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            if is_localhost(name.as_str()) {
                let here = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
                return Ok(Box::new(std::iter::once(here)) as Addrs);
            }
            // The port is the caller's business; 0 leaves it to them.
            let found: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

/// `localhost` and everything below it. Many systems only know the bare name; browsers know all of them.
pub(crate) fn is_localhost(host: &str) -> bool {
    let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    host == "localhost" || host.ends_with(".localhost")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_localhost_and_names_below_it_are_here() {
        for here in ["localhost", "app.localhost", "a.b.LOCALHOST", "app.localhost."] {
            assert!(is_localhost(here), "{here}");
        }
        for elsewhere in ["localhost.example", "xlocalhost", "example.com", ""] {
            assert!(!is_localhost(elsewhere), "{elsewhere}");
        }
    }
}
