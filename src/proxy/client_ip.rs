//! Who the client is (SEC-17): only what a trusted proxy says is believed.

use std::net::IpAddr;

use http::{HeaderMap, HeaderValue};
use ipnet::IpNet;

use super::Client;

/// Finds the client behind a connection. `secure` says whether the connection itself is TLS.
pub(crate) fn client_of(peer: IpAddr, secure: bool, headers: &HeaderMap, trusted: &[IpNet]) -> Client {
    let peer = peer.to_canonical();
    if !is_trusted(peer, trusted) {
        return Client { address: peer, peer, https: secure };
    }
    Client {
        address: right_most_untrusted(peer, headers, trusted),
        peer,
        https: last_word(headers, "x-forwarded-proto")
            .map_or(secure, |proto| proto.eq_ignore_ascii_case("https")),
    }
}

pub(crate) fn is_trusted(address: IpAddr, trusted: &[IpNet]) -> bool {
    !trusted.is_empty() && trusted.iter().any(|net| net.contains(&address))
}

/// Walks the list from our end. Everything left of the first address we do not trust, or cannot read, may be
/// invented.
fn right_most_untrusted(peer: IpAddr, headers: &HeaderMap, trusted: &[IpNet]) -> IpAddr {
    let mut nearest = peer;
    let lines: Vec<_> = headers.get_all("x-forwarded-for").iter().collect();
    for entry in lines.into_iter().rev().flat_map(|line| line.as_bytes().rsplit(|byte| *byte == b',')) {
        let Some(address) = std::str::from_utf8(entry.trim_ascii()).ok().and_then(address) else { break };
        nearest = address;
        if !is_trusted(address, trusted) {
            break;
        }
    }
    nearest
}

/// The client, the trusted proxies between, the peer: what `X-Forwarded-For` says behind a trusted proxy. `None` where
/// the peer itself is the client, or the list does not lead to the client. What stands left of the client may be
/// invented and is left out.
pub(super) fn chain(client: &Client, headers: &HeaderMap) -> Option<HeaderValue> {
    if client.address == client.peer {
        return None;
    }
    let mut chain = vec![client.peer.to_string()];
    let lines: Vec<_> = headers.get_all("x-forwarded-for").iter().collect();
    for entry in lines.into_iter().rev().flat_map(|line| line.as_bytes().rsplit(|byte| *byte == b',')) {
        let found = std::str::from_utf8(entry.trim_ascii()).ok().and_then(address)?;
        chain.push(found.to_string());
        if found == client.address {
            chain.reverse();
            return HeaderValue::try_from(chain.join(", ")).ok();
        }
    }
    None
}

/// An address, perhaps with a port, as load balancers write them.
fn address(text: &str) -> Option<IpAddr> {
    let plain = text.parse::<IpAddr>().ok();
    let with_port = || text.parse::<std::net::SocketAddr>().ok().map(|address| address.ip());
    let bracketed = || text.strip_prefix('[')?.strip_suffix(']')?.parse::<IpAddr>().ok();
    plain.or_else(with_port).or_else(bracketed).map(|address| address.to_canonical())
}

fn last_word<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let line = headers.get_all(name).iter().next_back()?.to_str().ok()?;
    line.rsplit(',').next().map(str::trim)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn found(peer: &str, lines: &[&str], proto: Option<&'static str>) -> (String, bool) {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append("x-forwarded-for", HeaderValue::from_str(line).unwrap());
        }
        if let Some(proto) = proto {
            headers.insert("x-forwarded-proto", HeaderValue::from_static(proto));
        }
        let trusted = ["10.0.0.0/8".parse().unwrap(), "2001:db8:1::/48".parse().unwrap()];
        let client = client_of(peer.parse().unwrap(), false, &headers, &trusted);
        (client.address.to_string(), client.https)
    }

    #[test]
    fn the_client_is_the_right_most_address_nobody_vouches_for() {
        for (peer, lines, expected) in [
            // A stranger's word counts for nothing.
            ("192.0.2.1", &["198.51.100.7"][..], "192.0.2.1"),
            ("192.0.2.1", &[][..], "192.0.2.1"),
            ("10.0.0.1", &["198.51.100.7"][..], "198.51.100.7"),
            ("10.0.0.1", &["203.0.113.9, 198.51.100.7"][..], "198.51.100.7"),
            ("10.0.0.1", &["198.51.100.7, 10.0.0.2"][..], "198.51.100.7"),
            ("10.0.0.1", &["203.0.113.9", "198.51.100.7"][..], "198.51.100.7"),
            ("10.0.0.1", &["198.51.100.7", "10.0.0.2, 10.0.0.3"][..], "198.51.100.7"),
            // All of it trusted: the left-most.
            ("10.0.0.1", &["10.0.0.3, 10.0.0.2"][..], "10.0.0.3"),
            ("10.0.0.1", &[][..], "10.0.0.1"),
            // Unreadable: stop at what we know.
            ("10.0.0.1", &["198.51.100.7, unknown"][..], "10.0.0.1"),
            ("10.0.0.1", &["198.51.100.7, , 10.0.0.2"][..], "10.0.0.2"),
            ("10.0.0.1", &["198.51.100.7:4711"][..], "198.51.100.7"),
            ("10.0.0.1", &["[2001:db8::7]:4711"][..], "2001:db8::7"),
            ("10.0.0.1", &["[2001:db8::7]"][..], "2001:db8::7"),
            ("::ffff:10.0.0.1", &["::ffff:198.51.100.7"][..], "198.51.100.7"),
            ("2001:db8:1::5", &["2001:db8::9"][..], "2001:db8::9"),
        ] {
            assert_eq!(found(peer, lines, None).0, expected, "{peer} {lines:?}");
        }
    }

    #[test]
    fn the_chain_begins_with_the_client_and_ends_with_the_peer() {
        for (peer, lines, expected) in [
            ("192.0.2.1", &["198.51.100.7"][..], None),
            ("10.0.0.1", &[][..], None),
            ("10.0.0.1", &["198.51.100.7"][..], Some("198.51.100.7, 10.0.0.1")),
            ("10.0.0.1", &["203.0.113.9, 198.51.100.7:81"][..], Some("198.51.100.7, 10.0.0.1")),
            (
                "10.0.0.1",
                &["203.0.113.9, 198.51.100.7, 10.0.0.3", "10.0.0.2"][..],
                Some("198.51.100.7, 10.0.0.3, 10.0.0.2, 10.0.0.1"),
            ),
            ("10.0.0.1", &["10.0.0.3, 10.0.0.2"][..], Some("10.0.0.3, 10.0.0.2, 10.0.0.1")),
            ("10.0.0.1", &["198.51.100.7, junk, 10.0.0.2"][..], Some("10.0.0.2, 10.0.0.1")),
            ("10.0.0.1", &["198.51.100.7, junk"][..], None),
            ("2001:db8:1::5", &["[2001:db8::9]:1"][..], Some("2001:db8::9, 2001:db8:1::5")),
        ] {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append("x-forwarded-for", HeaderValue::from_str(line).unwrap());
            }
            let trusted = ["10.0.0.0/8".parse().unwrap(), "2001:db8:1::/48".parse().unwrap()];
            let client = client_of(peer.parse().unwrap(), false, &headers, &trusted);
            let found = chain(&client, &headers);
            assert_eq!(found.as_ref().map(|value| value.to_str().unwrap()), expected, "{peer} {lines:?}");
        }
    }

    #[test]
    fn a_list_that_does_not_lead_to_the_client_names_nobody() {
        let trusted = ["10.0.0.0/8".parse().unwrap()];
        let mut headers = HeaderMap::new();
        headers.insert("x-forwarded-for", HeaderValue::from_static("198.51.100.7"));
        let client = client_of("10.0.0.1".parse().unwrap(), false, &headers, &trusted);
        assert_eq!(chain(&client, &HeaderMap::new()), None, "the peer is not the client");
    }

    #[test]
    fn only_a_trusted_peer_says_https() {
        assert!(found("10.0.0.1", &[], Some("https")).1);
        assert!(found("10.0.0.1", &[], Some("http, https")).1);
        assert!(!found("10.0.0.1", &[], Some("https, http")).1);
        assert!(!found("192.0.2.1", &[], Some("https")).1);
    }
}
