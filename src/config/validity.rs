//! From when until when a certificate is valid: the one thing that the TLS library does not tell.

use crate::clock::Timestamp;

/// Both ends of a certificate's validity (RFC 5280 §4.1.2.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Validity {
    pub(super) not_before: Timestamp,
    pub(super) not_after: Timestamp,
}

const INTEGER: u8 = 0x02;
const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// Reads a DER certificate as far as its dates; `None` when it is none.
pub(super) fn validity(certificate: &[u8]) -> Option<Validity> {
    let (certificate, _) = value(certificate, SEQUENCE)?;
    let (signed, _) = value(certificate, SEQUENCE)?;
    // The version may be left out; then come serial number, signature algorithm, issuer.
    let rest = value(signed, VERSION).map_or(signed, |(_, rest)| rest);
    let (_, rest) = value(rest, INTEGER)?;
    let (_, rest) = value(rest, SEQUENCE)?;
    let (_, rest) = value(rest, SEQUENCE)?;
    let (dates, _) = value(rest, SEQUENCE)?;
    let (not_before, dates) = time(dates)?;
    let (not_after, _) = time(dates)?;
    Some(Validity { not_before, not_after })
}

/// The value with this tag at the beginning, and what follows it.
fn value(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (&found, rest) = der.split_first()?;
    if found != tag {
        return None;
    }
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        // One to three bytes of length: no certificate is larger.
        0x81..=0x83 => {
            let (bytes, rest) = rest.split_at_checked(usize::from(first & 0x0f))?;
            (bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)), rest)
        }
        _ => return None,
    };
    rest.split_at_checked(length)
}

/// `YYMMDDHHMMSSZ` or `YYYYMMDDHHMMSSZ`: RFC 5280 allows no other form.
fn time(der: &[u8]) -> Option<(Timestamp, &[u8])> {
    let (text, rest, century) = if let Some((text, rest)) = value(der, UTC_TIME) {
        (text, rest, None)
    } else {
        let (text, rest) = value(der, GENERALIZED_TIME)?;
        let (century, text) = text.split_at_checked(2)?;
        (text, rest, Some(two_digits(century)?))
    };
    let digits = text.strip_suffix(b"Z")?;
    if digits.len() != 12 {
        return None;
    }
    let mut fields = digits.chunks_exact(2).map(two_digits);
    let mut next = || fields.next().flatten();
    let (year, month, day, hour, minute, second) = (next()?, next()?, next()?, next()?, next()?, next()?);
    let century = century.unwrap_or(if year < 50 { 20 } else { 19 });
    let valid =
        (1..=12).contains(&month) && (1..=31).contains(&day) && hour < 24 && minute < 60 && second < 61;
    if !valid {
        return None;
    }
    let of_day = hour * 3600 + minute * 60 + second;
    // Before 1970 is as long over as 1970 is.
    let days = days_from_civil(century * 100 + year, month, day).unwrap_or(0);
    Some((Timestamp::from_seconds(days * 86_400 + of_day), rest))
}

fn two_digits(text: &[u8]) -> Option<u64> {
    match text {
        [tens @ b'0'..=b'9', ones @ b'0'..=b'9'] => {
            Some(u64::from(tens - b'0') * 10 + u64::from(ones - b'0'))
        }
        _ => None,
    }
}

/// Days from 1970-01-01 in the Gregorian calendar; `None` before.
fn days_from_civil(year: u64, month: u64, day: u64) -> Option<u64> {
    // Years begin in March, so that the leap day is the last.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year.checked_sub(1)?, month + 9) };
    let days = year * 365 + year / 4 - year / 100 + year / 400 + (month * 153 + 2) / 5 + day - 1;
    days.checked_sub(719_468)
}

#[cfg(test)]
mod tests {
    use rustls_pki_types::{CertificateDer, pem::PemObject as _};

    use super::*;

    const PEM: &[u8] = include_bytes!("../../tests/fixtures/tls/localhost.pem");

    fn read(text: &str, tag: u8) -> Option<String> {
        let der = [&[tag, u8::try_from(text.len()).unwrap()][..], text.as_bytes()].concat();
        time(&der).map(|(moment, _)| moment.to_string())
    }

    #[test]
    fn a_certificates_dates_are_those_that_openssl_shows() {
        let der = CertificateDer::from_pem_slice(PEM).unwrap();
        let valid = validity(&der).unwrap();
        assert_eq!(valid.not_before.to_string(), "2026-11-24T22:07:06.000Z");
        assert_eq!(valid.not_after.to_string(), "2126-10-31T22:07:06.000Z");
        for length in 0..der.len() {
            let cut = validity(&der[..length]);
            assert!(cut.is_none() || cut == Some(valid), "{length}");
        }
    }

    #[test]
    fn dates_are_read_in_both_forms_and_no_other() {
        assert_eq!(read("491231235959Z", UTC_TIME).unwrap(), "2049-12-31T23:59:59.000Z");
        assert_eq!(read("240229000000Z", UTC_TIME).unwrap(), "2024-02-29T00:00:00.000Z");
        assert_eq!(read("500101000000Z", UTC_TIME).unwrap(), "1970-01-01T00:00:00.000Z");
        assert_eq!(read("99991231235959Z", GENERALIZED_TIME).unwrap(), "9999-12-31T23:59:59.000Z");
        assert_eq!(read("20000229120000Z", GENERALIZED_TIME).unwrap(), "2000-02-29T12:00:00.000Z");
        for bad in
            ["", "Z", "491231235959", "491331235959Z", "4912312359Z", "49123123595xZ", "491231235959+0100"]
        {
            assert_eq!(read(bad, UTC_TIME), None, "{bad}");
        }
        assert_eq!(read("2Z", GENERALIZED_TIME), None);
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_bring_it_down(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200)) {
            let valid = validity(&bytes);
            proptest::prop_assert!(valid.is_none() || bytes.len() > 30);
        }
    }
}
