//! `numeric` in Postgres' binary format: groups of four decimal digits, the highest first.
//!
//! Layout (`numeric_recv` in Postgres' `numeric.c`): the number of groups, the weight of the first one as a power of
//! 10,000, the sign, the digits after the point, then the groups; each a 16-bit integer in network order. Zero has no
//! group, and trailing groups of zeros are left out.

use chaincast_protocol::U256;

/// Wide numbers are split into chunks of sixteen digits: the most whole groups that fit 64 bits.
const CHUNK: u64 = 10_000_000_000_000_000;
const GROUPS_IN_CHUNK: usize = 4;
/// 2^256 - 1 has 78 digits.
const MOST_GROUPS: usize = 20;

/// Groups of a number, the lowest first.
struct Groups {
    digits: [u16; MOST_GROUPS],
    len: usize,
}

impl Groups {
    fn new() -> Self {
        Self {
            digits: [0; MOST_GROUPS],
            len: 0,
        }
    }

    fn push(&mut self, group: u64) {
        // Five chunks of four groups hold every U256, so this is within bounds.
        self.digits[self.len] = group as u16;
        self.len += 1;
    }

    /// The lowest chunk of a wider number, with its leading zeros.
    fn push_chunk(&mut self, mut chunk: u64) {
        for _ in 0..GROUPS_IN_CHUNK {
            self.push(chunk % 10_000);
            chunk /= 10_000;
        }
    }

    /// The rest, without leading zeros.
    fn push_rest(&mut self, mut rest: u64) {
        while rest > 0 {
            self.push(rest % 10_000);
            rest /= 10_000;
        }
    }

    /// Appends the field: its length in bytes, then its content.
    fn write(&self, out: &mut Vec<u8>) {
        let whole = &self.digits[..self.len];
        let zeros = whole.iter().take_while(|group| **group == 0).count();
        let kept = &whole[zeros..];
        let mut field = [0_u8; 4 + 8 + 2 * MOST_GROUPS];
        let length = 8 + 2 * kept.len();
        field[..4].copy_from_slice(&(length as u32).to_be_bytes());
        field[4..6].copy_from_slice(&(kept.len() as u16).to_be_bytes());
        let weight = self.len.saturating_sub(1) as u16;
        field[6..8].copy_from_slice(&weight.to_be_bytes());
        // Sign and scale stay 0: positive, and whole.
        for (place, group) in kept.iter().rev().enumerate() {
            field[12 + 2 * place..][..2].copy_from_slice(&group.to_be_bytes());
        }
        out.extend_from_slice(&field[..4 + length]);
    }
}

/// Appends `value` as a field of a row.
pub(super) fn put_u64(out: &mut Vec<u8>, value: u64) {
    let mut groups = Groups::new();
    groups.push_rest(value);
    groups.write(out);
}

/// Appends `value` as a field of a row.
pub(super) fn put_u128(out: &mut Vec<u8>, value: u128) {
    let mut groups = Groups::new();
    push_u128(&mut groups, value);
    groups.write(out);
}

/// Appends `value` as a field of a row.
pub(super) fn put_u256(out: &mut Vec<u8>, value: U256) {
    let mut limbs = *value.as_limbs();
    let mut groups = Groups::new();
    while limbs[2] != 0 || limbs[3] != 0 {
        let mut remainder = 0_u64;
        for limb in limbs.iter_mut().rev() {
            let wide = u128::from(remainder) << 64 | u128::from(*limb);
            // Below 2^64, as the remainder is below the divisor.
            *limb = (wide / u128::from(CHUNK)) as u64;
            remainder = (wide % u128::from(CHUNK)) as u64;
        }
        groups.push_chunk(remainder);
    }
    push_u128(
        &mut groups,
        u128::from(limbs[1]) << 64 | u128::from(limbs[0]),
    );
    groups.write(out);
}

fn push_u128(groups: &mut Groups, mut value: u128) {
    loop {
        if let Ok(rest) = u64::try_from(value) {
            return groups.push_rest(rest);
        }
        groups.push_chunk((value % u128::from(CHUNK)) as u64);
        value /= u128::from(CHUNK);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Groups, weight and digits of the encoded field.
    fn read(field: &[u8]) -> (usize, u16, Vec<u16>) {
        let words: Vec<u16> = field[4..]
            .chunks(2)
            .map(|pair| u16::from_be_bytes([pair[0], pair[1]]))
            .collect();
        let length = u32::from_be_bytes([field[0], field[1], field[2], field[3]]);
        assert_eq!(length as usize, field.len() - 4);
        assert_eq!(words[2..4], [0, 0], "positive and whole");
        (words[0].into(), words[1], words[4..].to_vec())
    }

    #[test]
    fn encodes_groups_without_leading_or_trailing_zeros() {
        let cases: [(&str, u16, &[u16]); 9] = [
            ("0", 0, &[]),
            ("1", 0, &[1]),
            ("9999", 0, &[9_999]),
            ("10000", 1, &[1]),
            ("10001", 1, &[1, 1]),
            ("123456789", 2, &[1, 2_345, 6_789]),
            ("1000000000000000000", 4, &[100]),
            ("18446744073709551616", 4, &[1_844, 6_744, 737, 955, 1_616]),
            (
                "340282366920938463463374607431768211456",
                9,
                &[
                    340, 2_823, 6_692, 938, 4_634, 6_337, 4_607, 4_317, 6_821, 1_456,
                ],
            ),
        ];
        for (text, weight, groups) in cases {
            let value: U256 = text.parse().unwrap();
            let mut field = Vec::new();
            put_u256(&mut field, value);
            assert_eq!(
                read(&field),
                (groups.len(), weight, groups.to_vec()),
                "{text}"
            );
            if let Ok(narrow) = u128::try_from(value) {
                let mut same = Vec::new();
                put_u128(&mut same, narrow);
                assert_eq!(same, field, "{text}");
            }
            if let Ok(narrow) = u64::try_from(value) {
                let mut same = Vec::new();
                put_u64(&mut same, narrow);
                assert_eq!(same, field, "{text}");
            }
        }
    }

    #[test]
    fn encodes_largest_u256() {
        let mut field = Vec::new();
        put_u256(&mut field, U256::MAX);
        let (groups, weight, digits) = read(&field);
        assert_eq!((groups, weight), (20, 19));
        let text: String = digits.iter().map(|group| format!("{group:04}")).collect();
        assert_eq!(text.trim_start_matches('0'), U256::MAX.to_string());
    }
}
