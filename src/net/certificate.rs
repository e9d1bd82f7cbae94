//! When a server's certificate ends: the one field that is read of it (RFC 5280 §4.1.2.5). Whether it is to be
//! believed is rustls's business.

use crate::clock::{Timestamp, certificate_time};

const SEQUENCE: u8 = 0x30;
const INTEGER: u8 = 0x02;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
/// `[0] EXPLICIT Version`
const VERSION: u8 = 0xa0;

/// `notAfter` of a DER certificate; `None` when it cannot be read.
pub(super) fn end(certificate: &[u8]) -> Option<Timestamp> {
    let (certificate, _) = element(certificate, SEQUENCE)?;
    let (signed, _) = element(certificate, SEQUENCE)?;
    let rest = element(signed, VERSION).map_or(signed, |(_, rest)| rest);
    let (_serial, rest) = element(rest, INTEGER)?;
    let (_algorithm, rest) = element(rest, SEQUENCE)?;
    let (_issuer, rest) = element(rest, SEQUENCE)?;
    let (validity, _) = element(rest, SEQUENCE)?;
    let (_begin, rest) = time(validity)?;
    let (end, _) = time(rest)?;
    certificate_time(std::str::from_utf8(end).ok()?)
}

fn time(der: &[u8]) -> Option<(&[u8], &[u8])> {
    element(der, UTC_TIME).or_else(|| element(der, GENERALIZED_TIME))
}

/// The content of the element at the beginning, and what follows it.
fn element(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (first, rest) = der.split_first()?;
    let (length, rest) = rest.split_first()?;
    if *first != tag {
        return None;
    }
    let (length, rest) = match *length {
        short @ 0..=0x7f => (usize::from(short), rest),
        long => {
            // A certificate's lengths fit into four bytes; 0x80, "until the end", is no DER.
            let count = usize::from(long & 0x7f);
            let (bytes, rest) = rest.split_at_checked(count).filter(|_| (1..=4).contains(&count))?;
            (bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)), rest)
        }
    };
    rest.split_at_checked(length)
}

#[cfg(test)]
mod tests {
    use rustls_pki_types::{CertificateDer, pem::PemObject as _};

    use super::*;

    #[test]
    fn the_end_of_a_real_certificate_is_read_and_of_a_broken_one_not() {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/tls/localhost.pem");
        let certificate = CertificateDer::from_pem_file(file).unwrap();
        let end_of = end(&certificate).unwrap().to_string();
        assert!(end_of.as_str() > "2030", "the test's certificate ends {end_of}");
        for cut in 0..certificate.len().min(200) {
            let _ = end(&certificate[..cut]);
        }
        assert_eq!(end(&certificate[..40]), None);
        assert_eq!(end(&[0x30, 0x84, 0xff, 0xff, 0xff, 0xff]), None);
    }
}
