//! Ports for parts that cannot choose one themselves.

use std::{
    net::{Ipv4Addr, TcpListener},
    ops::Range,
    sync::atomic::{AtomicU16, Ordering},
};

/// Below the ports that systems give to outgoing connections (32768 on Linux): between choosing one and listening
/// on it, nobody takes it by chance.
const CHOICE: Range<u16> = 12_000..32_000;

/// A loopback port that was free a moment ago and that this process gives out only once.
pub(crate) fn free() -> u16 {
    static TRIED: AtomicU16 = AtomicU16::new(0);
    let all = u32::from(CHOICE.end - CHOICE.start);
    loop {
        let turn = TRIED.fetch_add(1, Ordering::Relaxed);
        assert!(u32::from(turn) < all, "no port is free");
        // Two runs at once begin at different places.
        let place = std::process::id().wrapping_mul(977).wrapping_add(u32::from(turn)) % all;
        let port = CHOICE.start + u16::try_from(place).unwrap();
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
}
