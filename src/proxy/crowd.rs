//! How many clients are connected, in all and per address; shared by all threads (REL-30).

use std::{
    collections::HashMap,
    net::IpAddr,
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
    by_address: Mutex<HashMap<IpAddr, usize>>,
    most_per_address: usize,
    /// All clients behind a trusted proxy share its address.
    trusted: Vec<IpNet>,
}

/// A counted connection; uncounted when dropped.
#[derive(Debug)]
pub(super) struct Place {
    crowd: Arc<Crowd>,
    address: Option<IpAddr>,
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
        let mut place = Place { crowd: Arc::clone(self), address: None };
        if !is_trusted(peer, &self.trusted) {
            let mut by_address = self.by_address.lock().unwrap_or_else(PoisonError::into_inner);
            let count = by_address.entry(peer).or_default();
            if *count >= self.most_per_address {
                return None;
            }
            *count += 1;
            place.address = Some(peer);
        }
        Some(place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.crowd.all.fetch_sub(1, Relaxed);
        let Some(address) = self.address else { return };
        let mut by_address = self.crowd.by_address.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = by_address.get_mut(&address) {
            *count -= 1;
            if *count == 0 {
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
    fn a_trusted_proxy_is_not_counted_by_address() {
        let crowd = Crowd::new(10, 1, vec!["10.0.0.0/8".parse().unwrap()]);
        let proxy = "10.0.0.1".parse().unwrap();
        let _places = [crowd.admit(proxy).unwrap(), crowd.admit(proxy).unwrap()];
    }
}
