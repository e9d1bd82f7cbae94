//! A request on its way through: as it was accepted, and as it goes on to the application.

use std::{
    fmt,
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, request::Parts};
use hyper::body::Incoming;

use super::NormalPath;
use crate::pages::{Asked, Wish};

/// A request that passed the edge checks (`admit`).
#[derive(Debug)]
pub(crate) struct Accepted {
    /// Origin form (or `*`); `Host` is one of ours. Everything else is still as the client sent it.
    pub(crate) parts: Parts,
    pub(crate) body: Incoming,
    pub(crate) client: Client,
    /// What rules match.
    pub(crate) path: NormalPath,
    pub(crate) id: RequestId,
}

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Client {
    /// The right-most address that no trusted proxy stands behind (SEC-17).
    pub(crate) address: IpAddr,
    /// The other end of the connection.
    pub(crate) peer: IpAddr,
    /// Whether the browser speaks https, to us or to a trusted proxy before us.
    pub(crate) https: bool,
}

/// A request to be forwarded. [`super::Core::forward`] filters its fields and adds ours.
#[derive(Debug)]
pub(crate) struct Outgoing {
    pub(crate) parts: Parts,
    pub(crate) body: OutgoingBody,
    pub(crate) client: Client,
    pub(crate) id: RequestId,
    pub(crate) extra: Extra,
}

/// What goes up with it.
#[derive(Debug)]
pub(crate) enum OutgoingBody {
    /// The client's own body, as it comes.
    Stream(Incoming),
    /// A body that was read before.
    Bytes(Bytes),
    Empty,
}

/// What a decision adds to a request.
#[derive(Debug, Default)]
pub(crate) struct Extra {
    /// Set after everything of the client's was stripped: the identity of a verified session (SEC-16).
    pub(crate) set: Vec<(HeaderName, HeaderValue)>,
    /// Names of cookies of the application that must not arrive; ours never do.
    pub(crate) strip_cookies: Option<Arc<[String]>>,
}

impl Accepted {
    /// The request as it came, to be sent on.
    pub(crate) fn onward(self) -> Outgoing {
        Outgoing {
            parts: self.parts,
            body: OutgoingBody::Stream(self.body),
            client: self.client,
            id: self.id,
            extra: Extra::default(),
        }
    }

    /// What a page of ours needs to know, kept for the case that one is needed.
    pub(crate) fn asking(&self) -> Asking {
        Asking::of(&self.parts.headers, self.id, self.client.address)
    }
}

/// [`Asked`] before it costs an allocation: most requests never need a page of ours.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asking {
    id: RequestId,
    client: IpAddr,
    json: bool,
    wish: Wish,
}

impl Asking {
    pub(crate) fn of(headers: &HeaderMap, id: RequestId, client: IpAddr) -> Self {
        let Asked { json, wish, .. } = Asked::of(headers, String::new());
        Self { id, client, json, wish }
    }

    pub(crate) fn asked(self) -> Asked {
        Asked { id: self.id.to_string(), json: self.json, wish: self.wish }
    }

    pub(crate) fn id(self) -> RequestId {
        self.id
    }

    /// Who asks, as far as it is known yet.
    pub(crate) fn client(self) -> IpAddr {
        self.client
    }
}

/// A request's name in logs, on pages and at the application: 128 bits as 32 hex digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct RequestId([u8; 32]);

impl RequestId {
    pub(crate) fn as_str(&self) -> &str {
        // Only hex digits are ever written.
        std::str::from_utf8(&self.0).unwrap_or("")
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Names requests: a random half per source, so that two threads or replicas never meet, and a counting half. Names
/// are not secrets; asking the system for randomness for each would cost a system call.
#[derive(Debug)]
pub(crate) struct RequestIds {
    random: u64,
    next: AtomicU64,
}

impl RequestIds {
    pub(crate) fn new() -> Self {
        let (high, low) = uuid::Uuid::now_v7().as_u64_pair();
        Self { random: high.rotate_left(32) ^ low, next: AtomicU64::new(0) }
    }

    pub(crate) fn next(&self) -> RequestId {
        let mut text = [0; 32];
        write_hex(&mut text[..16], self.random);
        write_hex(&mut text[16..], self.next.fetch_add(1, Ordering::Relaxed));
        RequestId(text)
    }
}

fn write_hex(into: &mut [u8], value: u64) {
    const DIGITS: [u8; 16] = *b"0123456789abcdef";
    for (pair, byte) in into.chunks_exact_mut(2).zip(value.to_be_bytes()) {
        for (digit, nibble) in pair.iter_mut().zip([byte >> 4, byte & 0xf]) {
            *digit = DIGITS[usize::from(nibble)];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn request_ids_are_hex_and_differ() {
        let ids = RequestIds::new();
        let (one, two) = (ids.next(), ids.next());
        assert_ne!(one, two);
        assert_eq!(one.as_str().len(), 32);
        assert!(one.as_str().bytes().all(|byte| byte.is_ascii_hexdigit()));
        assert!(two.as_str().ends_with("0000000000000001"), "{two}");
    }
}
