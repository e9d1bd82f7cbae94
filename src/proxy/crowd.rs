//! How many clients are connected, in all and per address; shared by all threads (REL-30).

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use ipnet::IpNet;

use super::client_ip::is_trusted;

/// Counts connections against their limits.
#[derive(Debug)]
pub(super) struct Crowd {
    all: AtomicUsize,
    most: usize,
    by_address: Mutex<HashMap<IpAddr, Guest>>,
    most_per_address: usize,
    /// All clients behind a trusted proxy share its address.
    trusted: Vec<IpNet>,
}

/// What one address has open, or one /64 of IPv6.
#[derive(Debug, Default)]
struct Guest {
    connections: usize,
    /// Requests over HTTP/2, on all of its connections.
    streams: Arc<AtomicUsize>,
}

/// A counted connection; uncounted when dropped.
#[derive(Debug)]
pub(super) struct Place {
    crowd: Arc<Crowd>,
    address: Option<IpAddr>,
    streams: Option<Arc<AtomicUsize>>,
}

/// A counted request over HTTP/2; uncounted when dropped.
#[derive(Debug)]
pub(super) struct StreamPlace(Option<Arc<AtomicUsize>>);

impl Drop for StreamPlace {
    fn drop(&mut self) {
        if let Some(streams) = &self.0 {
            streams.fetch_sub(1, Relaxed);
        }
    }
}

impl Crowd {
    pub(super) fn new(most: usize, most_per_address: usize, trusted: Vec<IpNet>) -> Arc<Self> {
        Arc::new(Self {
            all: AtomicUsize::new(0),
            most,
            by_address: Mutex::new(HashMap::new()),
            most_per_address,
            trusted,
        })
    }

    /// A place for one more connection, `None` when there is none.
    pub(super) fn admit(self: &Arc<Self>, peer: IpAddr) -> Option<Place> {
        let peer = peer.to_canonical();
        if self.all.fetch_add(1, Relaxed) >= self.most {
            self.all.fetch_sub(1, Relaxed);
            return None;
        }
        let mut place = Place { crowd: Arc::clone(self), address: None, streams: None };
        if !is_trusted(peer, &self.trusted) {
            let mut by_address = self.by_address.lock().unwrap_or_else(PoisonError::into_inner);
            let address = whole(peer);
            let guest = by_address.entry(address).or_default();
            if guest.connections >= self.most_per_address {
                return None;
            }
            guest.connections += 1;
            place.address = Some(address);
            place.streams = Some(Arc::clone(&guest.streams));
        }
        Some(place)
    }
}

/// What one client has: an IPv4 address, or the /64 that an IPv6 address stands in.
fn whole(address: IpAddr) -> IpAddr {
    const NETWORK: u128 = u128::MAX << 64;
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & NETWORK).into(),
    }
}

impl Place {
    /// A place for one more request over HTTP/2. A connection carries many of them, but an address gets no more in
    /// all than it could have with a connection for each.
    pub(super) fn stream(&self) -> Option<StreamPlace> {
        let Some(streams) = &self.streams else { return Some(StreamPlace(None)) };
        let before = streams.fetch_add(1, Relaxed);
        let place = StreamPlace(Some(Arc::clone(streams)));
        (before < self.crowd.most_per_address).then_some(place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.crowd.all.fetch_sub(1, Relaxed);
        let Some(address) = self.address else { return };
        let mut by_address = self.crowd.by_address.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(guest) = by_address.get_mut(&address) {
            guest.connections -= 1;
            if guest.connections == 0 {
                by_address.remove(&address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_limited_in_all_and_per_address() {
        let crowd = Crowd::new(3, 2, Vec::new());
        let (one, two) = ("192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap());
        let first = crowd.admit(one).unwrap();
        let second = crowd.admit(one).unwrap();
        assert!(crowd.admit(one).is_none(), "the third of one address");
        let third = crowd.admit(two).unwrap();
        assert!(crowd.admit(two).is_none(), "the fourth in all");
        drop(first);
        let again = crowd.admit(one).unwrap();
        drop((second, third, again));
        assert!(crowd.by_address.lock().unwrap().is_empty());
        assert_eq!(crowd.all.load(Relaxed), 0);
    }

    #[test]
    fn a_network_of_ipv6_has_the_places_of_one_address() {
        let crowd = Crowd::new(9, 2, vec!["2001:db8:0:9::1/128".parse().unwrap()]);
        let admit = |address: &str| crowd.admit(address.parse().unwrap());
        let first = admit("2001:db8::1").unwrap();
        let second = admit("2001:db8::ffff:0:0:2").unwrap();
        assert!(admit("2001:db8::3").is_none(), "whoever has one address of a /64 has all of them");
        let next = admit("2001:db8:0:1::1").unwrap();
        drop(first);
        let again = admit("2001:db8::4").unwrap();
        let mapped = [admit("::ffff:192.0.2.1").unwrap(), admit("::ffff:192.0.2.2").unwrap()];
        let _others = [admit("192.0.2.1").unwrap(), admit("192.0.2.2").unwrap()];
        assert!(admit("192.0.2.1").is_none(), "the same address in either form");
        let proxy = admit("2001:db8:0:9::1").unwrap();
        drop((second, next, again, mapped, proxy));
    }

    #[test]
    fn requests_over_http2_are_limited_per_address_and_not_per_connection() {
        let crowd = Crowd::new(10, 2, vec!["10.0.0.0/8".parse().unwrap()]);
        let one = "192.0.2.1".parse().unwrap();
        let (first, second) = (crowd.admit(one).unwrap(), crowd.admit(one).unwrap());
        let kept = (first.stream().unwrap(), second.stream().unwrap());
        assert!(first.stream().is_none() && second.stream().is_none(), "refused ones are not counted");
        drop(kept);
        drop((first, second.stream().unwrap(), second.stream().unwrap()));
        let proxy = crowd.admit("10.0.0.1".parse().unwrap()).unwrap();
        let _streams: Vec<_> = (0..9).map(|_| proxy.stream().unwrap()).collect();
    }

    #[test]
    fn a_trusted_proxy_is_not_counted_by_address() {
        let crowd = Crowd::new(10, 1, vec!["10.0.0.0/8".parse().unwrap()]);
        let proxy = "10.0.0.1".parse().unwrap();
        let _places = [crowd.admit(proxy).unwrap(), crowd.admit(proxy).unwrap()];
    }
}
