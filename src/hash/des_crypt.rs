//! Traditional DES crypt: 13 characters, the first two of them salt. Its own DES, because the salt reaches into the
//! cipher's expansion, which no block cipher crate offers. Speed does not matter: it is 25 encryptions.

use super::{
    HashError,
    encoding::{crypt_character, crypt_value, is_crypt},
    recipe::{Arena, Recipe, Work},
};
use crate::config::HashCeilings;

/// What directories write in front of it.
const LDAP_SCHEME: &str = "{CRYPT}";

// The tables of FIPS 46-3, bits counted from 1 at the left.
const PC1: [u32; 56] = [
    57, 49, 41, 33, 25, 17, 9, 1, 58, 50, 42, 34, 26, 18, 10, 2, 59, 51, 43, 35, 27, 19, 11, 3, 60, 52, 44,
    36, 63, 55, 47, 39, 31, 23, 15, 7, 62, 54, 46, 38, 30, 22, 14, 6, 61, 53, 45, 37, 29, 21, 13, 5, 28, 20,
    12, 4,
];
const PC2: [u32; 48] = [
    14, 17, 11, 24, 1, 5, 3, 28, 15, 6, 21, 10, 23, 19, 12, 4, 26, 8, 16, 7, 27, 20, 13, 2, 41, 52, 31, 37,
    47, 55, 30, 40, 51, 45, 33, 48, 44, 49, 39, 56, 34, 53, 46, 42, 50, 36, 29, 32,
];
const SHIFTS: [u32; 16] = [1, 1, 2, 2, 2, 2, 2, 2, 1, 2, 2, 2, 2, 2, 2, 1];
const EXPANSION: [u32; 48] = [
    32, 1, 2, 3, 4, 5, 4, 5, 6, 7, 8, 9, 8, 9, 10, 11, 12, 13, 12, 13, 14, 15, 16, 17, 16, 17, 18, 19, 20,
    21, 20, 21, 22, 23, 24, 25, 24, 25, 26, 27, 28, 29, 28, 29, 30, 31, 32, 1,
];
const PERMUTATION: [u32; 32] = [
    16, 7, 20, 21, 29, 12, 28, 17, 1, 15, 23, 26, 5, 18, 31, 10, 2, 8, 24, 14, 32, 27, 3, 9, 19, 13, 30, 6,
    22, 11, 4, 25,
];
const FINAL: [u32; 64] = [
    40, 8, 48, 16, 56, 24, 64, 32, 39, 7, 47, 15, 55, 23, 63, 31, 38, 6, 46, 14, 54, 22, 62, 30, 37, 5, 45,
    13, 53, 21, 61, 29, 36, 4, 44, 12, 52, 20, 60, 28, 35, 3, 43, 11, 51, 19, 59, 27, 34, 2, 42, 10, 50, 18,
    58, 26, 33, 1, 41, 9, 49, 17, 57, 25,
];
const BOXES: [[u8; 64]; 8] = [
    [
        14, 4, 13, 1, 2, 15, 11, 8, 3, 10, 6, 12, 5, 9, 0, 7, 0, 15, 7, 4, 14, 2, 13, 1, 10, 6, 12, 11, 9, 5,
        3, 8, 4, 1, 14, 8, 13, 6, 2, 11, 15, 12, 9, 7, 3, 10, 5, 0, 15, 12, 8, 2, 4, 9, 1, 7, 5, 11, 3, 14,
        10, 0, 6, 13,
    ],
    [
        15, 1, 8, 14, 6, 11, 3, 4, 9, 7, 2, 13, 12, 0, 5, 10, 3, 13, 4, 7, 15, 2, 8, 14, 12, 0, 1, 10, 6, 9,
        11, 5, 0, 14, 7, 11, 10, 4, 13, 1, 5, 8, 12, 6, 9, 3, 2, 15, 13, 8, 10, 1, 3, 15, 4, 2, 11, 6, 7, 12,
        0, 5, 14, 9,
    ],
    [
        10, 0, 9, 14, 6, 3, 15, 5, 1, 13, 12, 7, 11, 4, 2, 8, 13, 7, 0, 9, 3, 4, 6, 10, 2, 8, 5, 14, 12, 11,
        15, 1, 13, 6, 4, 9, 8, 15, 3, 0, 11, 1, 2, 12, 5, 10, 14, 7, 1, 10, 13, 0, 6, 9, 8, 7, 4, 15, 14, 3,
        11, 5, 2, 12,
    ],
    [
        7, 13, 14, 3, 0, 6, 9, 10, 1, 2, 8, 5, 11, 12, 4, 15, 13, 8, 11, 5, 6, 15, 0, 3, 4, 7, 2, 12, 1, 10,
        14, 9, 10, 6, 9, 0, 12, 11, 7, 13, 15, 1, 3, 14, 5, 2, 8, 4, 3, 15, 0, 6, 10, 1, 13, 8, 9, 4, 5, 11,
        12, 7, 2, 14,
    ],
    [
        2, 12, 4, 1, 7, 10, 11, 6, 8, 5, 3, 15, 13, 0, 14, 9, 14, 11, 2, 12, 4, 7, 13, 1, 5, 0, 15, 10, 3, 9,
        8, 6, 4, 2, 1, 11, 10, 13, 7, 8, 15, 9, 12, 5, 6, 3, 0, 14, 11, 8, 12, 7, 1, 14, 2, 13, 6, 15, 0, 9,
        10, 4, 5, 3,
    ],
    [
        12, 1, 10, 15, 9, 2, 6, 8, 0, 13, 3, 4, 14, 7, 5, 11, 10, 15, 4, 2, 7, 12, 9, 5, 6, 1, 13, 14, 0, 11,
        3, 8, 9, 14, 15, 5, 2, 8, 12, 3, 7, 0, 4, 10, 1, 13, 11, 6, 4, 3, 2, 12, 9, 5, 15, 10, 11, 14, 1, 7,
        6, 0, 8, 13,
    ],
    [
        4, 11, 2, 14, 15, 0, 8, 13, 3, 12, 9, 7, 5, 10, 6, 1, 13, 0, 11, 7, 4, 9, 1, 10, 14, 3, 5, 12, 2, 15,
        8, 6, 1, 4, 11, 13, 12, 3, 7, 14, 10, 15, 6, 8, 0, 5, 9, 2, 6, 11, 13, 8, 1, 4, 10, 7, 9, 5, 0, 15,
        14, 2, 3, 12,
    ],
    [
        13, 2, 8, 4, 6, 15, 11, 1, 10, 9, 3, 14, 5, 0, 12, 7, 1, 15, 13, 8, 10, 3, 7, 4, 12, 5, 6, 11, 0, 14,
        9, 2, 7, 11, 4, 1, 9, 12, 14, 2, 0, 6, 10, 13, 15, 3, 5, 8, 2, 1, 14, 7, 4, 10, 8, 13, 15, 12, 9, 0,
        3, 5, 6, 11,
    ],
];

/// Takes bits, counted from 1 at the left of a `width`-bit word, and puts them one behind the other.
fn pick(word: u64, width: u32, table: &[u32]) -> u64 {
    table.iter().fold(0, |picked, bit| picked << 1 | (word >> (width - bit) & 1))
}

struct DesCrypt {
    /// Bit i set: the bits i and i + 24 of every expansion change places.
    salt: u64,
}

impl DesCrypt {
    /// The half-block function, with the salted expansion.
    fn scramble(&self, half: u64, key: u64) -> u64 {
        let plain = pick(half, 32, &EXPANSION);
        let (left, right) = (plain >> 24, plain & 0xff_ffff);
        let swapped = (left ^ right) & self.salt;
        let mixed = ((left ^ swapped) << 24 | (right ^ swapped)) ^ key;
        let substituted = BOXES.iter().enumerate().fold(0u64, |done, (number, table)| {
            let six = mixed >> (42 - 6 * number) & 63;
            // The outer bits choose the row, the inner four the column.
            let place = (six & 32 | (six & 1) << 4 | six >> 1 & 15).to_le_bytes();
            let [place, ..] = place;
            done << 4 | table.get(usize::from(place)).copied().map_or(0, u64::from)
        });
        pick(substituted, 32, &PERMUTATION)
    }
}

/// The 16 round keys of a 64-bit key.
fn round_keys(key: u64) -> [u64; 16] {
    const HALF: u64 = 0xfff_ffff;
    let chosen = pick(key, 64, &PC1);
    let (mut left, mut right) = (chosen >> 28, chosen & HALF);
    SHIFTS.map(|shift| {
        left = (left << shift | left >> (28 - shift)) & HALF;
        right = (right << shift | right >> (28 - shift)) & HALF;
        pick(left << 28 | right, 56, &PC2)
    })
}

impl Work for DesCrypt {
    fn check(&self, _ceilings: &HashCeilings, _length: usize) -> Result<(), HashError> {
        Ok(())
    }

    fn derive(&self, password: &[u8], _length: usize, _arena: &mut Arena) -> Result<Vec<u8>, HashError> {
        // Eight characters of seven bits count.
        let padded = password.iter().copied().chain(std::iter::repeat(0)).take(8);
        let keys = round_keys(padded.fold(0, |key, byte| key << 8 | u64::from(byte << 1)));
        // A block of zeros. The permutations between the 25 encryptions cancel out; only the last one remains.
        let (mut left, mut right) = (0u64, 0u64);
        for _ in 0..25 {
            for key in keys {
                (left, right) = (right, left ^ self.scramble(right, key));
            }
            (left, right) = (right, left);
        }
        let block = u128::from(pick(left << 32 | right, 64, &FINAL)) << 2;
        let character = |place: u32| {
            let [six, ..] = (block >> (60 - 6 * place)).to_le_bytes();
            crypt_character(u64::from(six))
        };
        Ok((0..11).map(character).collect::<String>().into_bytes())
    }

    fn costs(&self) -> Vec<(&'static str, u64)> {
        vec![("encryptions", 25)]
    }
}

/// Thirteen characters: two of salt, eleven of hash. The extended form of `BSDi` (`_…`) is not taken.
pub(super) fn parse(text: &str) -> Result<Recipe, HashError> {
    let text = match text.split_at_checked(LDAP_SCHEME.len()) {
        Some((scheme, bare)) if scheme.eq_ignore_ascii_case(LDAP_SCHEME) => bare,
        _ => text,
    };
    if text.starts_with('_') {
        return Err(HashError::Unsupported);
    }
    if text.len() != 13 || !is_crypt(text) {
        return Err(HashError::Syntax);
    }
    let (salt, hash) = text.split_at_checked(2).ok_or(HashError::Syntax)?;
    // Bit 0 of the salt is the first, left-most bit of the expansion's halves.
    let mut bits = 0u64;
    for (character, byte) in salt.bytes().enumerate() {
        let value = u64::from(crypt_value(byte)?);
        for bit in 0..6 {
            bits |= (value >> bit & 1) << (23 - 6 * character - bit);
        }
    }
    Ok(Recipe::new(DesCrypt { salt: bits }, hash.as_bytes().to_vec()))
}
