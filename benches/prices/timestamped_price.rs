//! Prices whose digits state when they were sent: the fraction is the instant.
//!
//! A token has a low, a middle and a high source, within 0.1 % of each other, so that none is an outlier. Its price is
//! that of the middle source, digit by digit: the median of the votes of three sources without intervals.

use crate::process;

/// Digits of an instant in µs: enough for thirty years.
const WIDTH: usize = 15;
/// The integer part of each level of source.
const LEVELS: [&str; 3] = ["99.9", "100.0", "100.1"];
const MIDDLE: &str = LEVELS[1];

/// The price that a source of this level sends now. Each venue has each level for a third of the tokens.
pub fn price(level: usize) -> String {
    let micros = process::now_ns() / 1_000;
    format!("{}{micros:0WIDTH$}", LEVELS[level % LEVELS.len()])
}

/// When the tick of a token's price was sent, in ns; `None` for a price of another than the middle source.
pub fn sent_at(price: &str) -> Option<u64> {
    let digits = price.strip_prefix(MIDDLE)?;
    // Trailing zeros are not written.
    let zeros = WIDTH.checked_sub(digits.len())?;
    let micros = match digits {
        "" => 0,
        digits => digits.parse::<u64>().ok()?,
    };
    Some(micros * 10_u64.pow(zeros as u32) * 1_000)
}
