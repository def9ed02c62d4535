//! Parses refusals of a block range, and the range that the node offers instead. Pure.
//!
//! Nodes agree neither on codes nor on messages: a range is recognized as two adjacent numbers, a limit as the number
//! after words that introduce one.

/// The number of blocks that a node offers instead of `requested` blocks from `from`, if smaller.
pub(super) fn offered_blocks(message: &str, from: u64, requested: usize) -> Option<usize> {
    let message = message.to_ascii_lowercase();
    let numbers = numbers(&message);
    // "this block range should work: [0x0, 0xd043b8]", "retry with the range 25766988-25775072"
    let range = numbers.windows(2).find_map(|pair| {
        let [(low, _, end), (high, start, _)] = pair else {
            return None;
        };
        let between = message[*end..*start].trim();
        let is_range = matches!(between, "," | "-" | "to" | "..");
        let count = high.checked_sub(*low)?.checked_add(1)?;
        (is_range && *low == from).then_some(count)
    });
    // "up to a 500 block range", "max block range = 5000", "exceeds limit of 10000", "range limit 2000"
    let limit = || {
        numbers.iter().rev().find_map(|(number, start, end)| {
            let before = message[..*start]
                .trim_end()
                .trim_end_matches(['=', ':', 'a']);
            let before = before.trim_end();
            let announced = [
                "max block range",
                "maximum block range",
                "limit of",
                "range limit",
                "limited to",
                "up to",
            ]
            .iter()
            .any(|words| before.ends_with(words));
            let after = message[*end..].trim_start();
            let counts_results = ["result", "log", "event", "byte", "mb", "k "]
                .iter()
                .any(|unit| after.starts_with(unit));
            (announced && !counts_results).then_some(*number)
        })
    };
    let offered_blocks = usize::try_from(range.or_else(limit)?).ok()?;
    (1..requested)
        .contains(&offered_blocks)
        .then_some(offered_blocks)
}

/// Whether an `eth_getLogs` error that no other rule covers asks for a smaller range.
pub(in crate::chain) fn asks_for_smaller_range(message: &str) -> bool {
    let message = message.to_ascii_lowercase();
    [
        "range",
        "exceed",
        "too many",
        "timeout",
        "timed out",
        "too long",
        "more than",
        "results",
    ]
    .iter()
    .any(|words| message.contains(words))
}

/// The numbers in a text, decimal or hex with `0x`, each with its start and end.
fn numbers(text: &str) -> Vec<(u64, usize, usize)> {
    let bytes = text.as_bytes();
    let mut found = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        if !bytes[at].is_ascii_digit() {
            at += 1;
            continue;
        }
        let hex = bytes[at..].starts_with(b"0x");
        let first = at + if hex { 2 } else { 0 };
        let digits = bytes[first..]
            .iter()
            .take_while(|byte| {
                if hex {
                    byte.is_ascii_hexdigit()
                } else {
                    byte.is_ascii_digit()
                }
            })
            .count();
        let end = first + digits;
        // Digits are ASCII, so these are character boundaries.
        if let Ok(number) = u64::from_str_radix(&text[first..end], if hex { 16 } else { 10 }) {
            found.push((number, at, end));
        }
        at = end.max(at + 1);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_offered_range_or_limit_of_many_nodes() {
        let from = 0x1892c4c;
        for (message, from, requested, expected) in [
            (
                "query returned more than 10000 results. Try with this block range [0xBDE5F8, 0xBDE65B].",
                0xbde5f8,
                2_000,
                Some(100),
            ),
            (
                "Log response size exceeded. You can make eth_getLogs requests with up to a 2K block range and no limit on the \
              response size, or you can request any block range with a cap of 10K logs in the response. Based on your \
              parameters and the response size limit, this block range should work: [0x0, 0x9]",
                0,
                2_000,
                Some(10),
            ),
            (
                "query exceeds max results 20000, retry with the range 25766988-25766997",
                from,
                8_085,
                Some(10),
            ),
            // The offer equals the request: no help.
            (
                "query exceeds max results 20000, retry with the range 25766988-25775072",
                from,
                8_085,
                None,
            ),
            (
                "You can make eth_getLogs requests with up to a 500 block range.",
                7,
                2_000,
                Some(500),
            ),
            (
                "block range is larger than max block range, block range = 5120, max block range = 5000",
                7,
                5_120,
                Some(5_000),
            ),
            (
                "range 1000000 exceeds limit of 10000",
                7,
                1_000_000,
                Some(10_000),
            ),
            (
                "range 9009594 is bigger than range limit 2000",
                7,
                9_009_594,
                Some(2_000),
            ),
            ("query returned more than 10000 results", 7, 2_000, None),
            ("logs are limited to 1000 results", 7, 2_000, None),
            (
                "response size should not greater than 10000000 bytes",
                7,
                2_000,
                None,
            ),
            ("", 7, 2_000, None),
            ("0x, 99999999999999999999999 to 0xé", 0, 2_000, None),
        ] {
            assert_eq!(
                offered_blocks(message, from, requested),
                expected,
                "{message}"
            );
        }
    }

    #[test]
    fn distinguishes_range_errors_from_others() {
        assert!(asks_for_smaller_range(
            "range 1000000 exceeds limit of 10000"
        ));
        assert!(asks_for_smaller_range(
            "Query timeout exceeded. Consider reducing your block range."
        ));
        assert!(!asks_for_smaller_range("header not found"));
        assert!(!asks_for_smaller_range(
            "the method eth_getLogs does not exist/is not available"
        ));
    }
}
