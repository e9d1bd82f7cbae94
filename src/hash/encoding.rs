//! Alphabets of stored hashes: hex, the base64 family, crypt's own, and decimal numbers. Strict: what does not fit
//! is a syntax error, never skipped.

use base64::{
    Engine as _, alphabet,
    engine::{
        DecodePaddingMode,
        general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD, STANDARD_PAD_INDIFFERENT},
    },
};

use super::HashError;

/// crypt's alphabet: `$1$`, `$5$`, `$6$`, `$7$`, `$y$`, phpass, DES crypt.
const CRYPT: &[u8; 64] = b"./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// bcrypt's order of the same characters. Old libraries left stray bits in a salt's last character (passlib before
/// 1.5.3), and C verifiers ignore them: so do we.
static BCRYPT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::BCRYPT,
    GeneralPurposeConfig::new()
        .with_encode_padding(false)
        .with_decode_padding_mode(DecodePaddingMode::RequireNone)
        .with_decode_allow_trailing_bits(true),
);

/// Hexadecimal in either case.
pub(super) fn hex(text: &str) -> Result<Vec<u8>, HashError> {
    if !text.len().is_multiple_of(2) {
        return Err(HashError::Syntax);
    }
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|d| u8::try_from(d).ok());
    text.as_bytes()
        .chunks_exact(2)
        .map(|pair| match pair {
            [high, low] => Some(digit(*high)? << 4 | digit(*low)?),
            _ => None,
        })
        .collect::<Option<_>>()
        .ok_or(HashError::Syntax)
}

/// Lower-case hexadecimal.
pub(super) fn to_hex(bytes: &[u8]) -> String {
    let digit = |value: u8| char::from_digit(u32::from(value), 16).unwrap_or('0');
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

/// Standard base64, padded or not.
pub(super) fn base64(text: &str) -> Result<Vec<u8>, HashError> {
    STANDARD_PAD_INDIFFERENT.decode(text).map_err(|_| HashError::Syntax)
}

/// Base64 in the standard or the URL alphabet.
pub(super) fn base64_either(text: &str) -> Result<Vec<u8>, HashError> {
    base64(&text.replace('-', "+").replace('_', "/"))
}

/// passlib's "adapted" base64: `.` for `+`, never padded.
pub(super) fn adapted_base64(text: &str) -> Result<Vec<u8>, HashError> {
    if text.contains(['+', '=']) {
        return Err(HashError::Syntax);
    }
    base64(&text.replace('.', "+"))
}

pub(super) fn to_base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

pub(super) fn bcrypt_base64(text: &str) -> Result<Vec<u8>, HashError> {
    BCRYPT.decode(text).map_err(|_| HashError::Syntax)
}

pub(super) fn to_bcrypt_base64(bytes: &[u8]) -> String {
    BCRYPT.encode(bytes)
}

/// The value of one character of crypt's alphabet.
pub(super) fn crypt_value(character: u8) -> Result<u32, HashError> {
    let position = CRYPT.iter().position(|&known| known == character).ok_or(HashError::Syntax)?;
    u32::try_from(position).map_err(|_| HashError::Syntax)
}

/// The lowest six bits of `value` as a character of crypt's alphabet.
pub(super) fn crypt_character(value: u64) -> char {
    let position = usize::try_from(value & 63).unwrap_or_default();
    CRYPT.get(position).copied().map_or('.', char::from)
}

/// Whether all of the text is of crypt's alphabet, which is also bcrypt's.
pub(super) fn is_crypt(text: &str) -> bool {
    text.bytes().all(|byte| CRYPT.contains(&byte))
}

/// Groups of three bytes, the first byte and the lowest six bits first.
pub(super) fn to_crypt(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 4 / 3 + 2);
    for group in bytes.chunks(3) {
        let mut bits = group.iter().rev().fold(0u64, |bits, byte| bits << 8 | u64::from(*byte));
        for _ in 0..=group.len() {
            text.push(crypt_character(bits));
            bits >>= 6;
        }
    }
    text
}

/// The reverse of [`to_crypt`]; bits left over must be zero.
pub(super) fn crypt(text: &str) -> Result<Vec<u8>, HashError> {
    let mut bytes = Vec::with_capacity(text.len() * 3 / 4);
    for group in text.as_bytes().chunks(4) {
        let mut bits = 0u32;
        for (place, character) in group.iter().enumerate() {
            bits |= crypt_value(*character)? << (6 * place);
        }
        let [first, second, third, _] = bits.to_le_bytes();
        let (whole, rest) = match group.len() {
            4 => (&[first, second, third][..], 0),
            3 => (&[first, second][..], bits >> 16),
            2 => (&[first][..], bits >> 8),
            _ => return Err(HashError::Syntax),
        };
        if rest != 0 {
            return Err(HashError::Syntax);
        }
        bytes.extend_from_slice(whole);
    }
    Ok(bytes)
}

/// A plain decimal number without sign or leading zero. One that is too large for the type is as large as the type
/// goes, and so over every ceiling.
pub(super) fn number(text: &str) -> Result<u64, HashError> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits || (text.len() > 1 && text.starts_with('0')) {
        return Err(HashError::Syntax);
    }
    Ok(text.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crypt_text_goes_both_ways() {
        for length in 0..20u8 {
            let bytes: Vec<u8> = (0..length).map(|i| i.wrapping_mul(37)).collect();
            assert_eq!(crypt(&to_crypt(&bytes)), Ok(bytes));
        }
        assert_eq!(crypt("."), Err(HashError::Syntax));
        assert_eq!(crypt("zz"), Err(HashError::Syntax), "bits beyond the last byte");
    }

    #[test]
    fn numbers_are_plain() {
        assert_eq!(number("0"), Ok(0));
        assert_eq!(number("99999999999999999999999"), Ok(u64::MAX));
        for text in ["", "+1", "-1", "01", "1 ", "١"] {
            assert_eq!(number(text), Err(HashError::Syntax), "{text}");
        }
    }

    #[test]
    fn hex_is_whole_bytes() {
        assert_eq!(hex("00fF"), Ok(vec![0, 255]));
        assert_eq!(to_hex(&[0, 255]), "00ff");
        for text in ["0", "0g", "é"] {
            assert_eq!(hex(text), Err(HashError::Syntax), "{text}");
        }
    }
}
