//! What is cut or escaped before it is written.

use std::{borrow::Cow, fmt::Write as _, net::IpAddr};

/// How much of a client's address is logged (`telemetry.full_addresses`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AddressPolicy {
    Whole,
    /// The network alone: /24 of IPv4, /48 of IPv6.
    Network,
}

impl AddressPolicy {
    pub(crate) fn from_full_addresses(full: bool) -> Self {
        if full { Self::Whole } else { Self::Network }
    }

    /// The address as it may be written. An IPv4 address in IPv6 clothes is the IPv4 address.
    pub(crate) fn show(self, address: IpAddr) -> String {
        match (self, address.to_canonical()) {
            (Self::Whole, address) => address.to_string(),
            (Self::Network, IpAddr::V4(address)) => {
                let [a, b, c, _] = address.octets();
                format!("{a}.{b}.{c}.0/24")
            }
            (Self::Network, IpAddr::V6(address)) => {
                let [a, b, c, ..] = address.segments();
                format!("{}/48", std::net::Ipv6Addr::from([a, b, c, 0, 0, 0, 0, 0]))
            }
        }
    }
}

/// Characters that end a line, move a cursor or turn the text around for one reader or another.
fn breaks_a_line(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{2028}' | '\u{2029}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// The text with those characters as `\u….`: inside a JSON string it is the same string, on a terminal it is one
/// line (SEC-51).
pub(super) fn one_line(text: &str) -> Cow<'_, str> {
    if !text.contains(breaks_a_line) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if breaks_a_line(c) {
            // None of them lies beyond U+FFFF, so one escape is enough.
            let _ = write!(out, "\\u{:04x}", u32::from(c));
        } else {
            out.push(c);
        }
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_shown_as_far_as_it_may_be() {
        for (address, whole, network) in [
            ("203.0.113.77", "203.0.113.77", "203.0.113.0/24"),
            ("::ffff:203.0.113.77", "203.0.113.77", "203.0.113.0/24"),
            ("2001:db8:1:2::9", "2001:db8:1:2::9", "2001:db8:1::/48"),
            ("::1", "::1", "::/48"),
        ] {
            let address: IpAddr = address.parse().unwrap();
            assert_eq!(AddressPolicy::from_full_addresses(true).show(address), whole);
            assert_eq!(AddressPolicy::from_full_addresses(false).show(address), network);
        }
    }

    #[test]
    fn nothing_in_a_text_starts_a_new_line() {
        assert_eq!(one_line("plain ä\u{1f600}"), "plain ä\u{1f600}");
        assert_eq!(
            one_line("a\r\nb\u{85}\u{2028}\u{7f}\u{1b}[31m\u{202e}"),
            "a\\u000d\\u000ab\\u0085\\u2028\\u007f\\u001b[31m\\u202e"
        );
    }
}
