//! What a node means when it refuses a range of blocks, and which range it offers instead. Pure.
//!
//! Nodes agree neither on codes nor on words: a range is found in the message as two numbers side by side, a limit as the
//! number after the words that announce one.

/// Blocks that the node offers, when it says so of a range from `from` on for `asked` blocks, and offers less.
pub(super) fn offered(message: &str, from: u64, asked: usize) -> Option<usize> {
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
            let of_results = ["result", "log", "event", "byte", "mb", "k "]
                .iter()
                .any(|unit| after.starts_with(unit));
            (announced && !of_results).then_some(*number)
        })
    };
    let offered = usize::try_from(range.or_else(limit)?).ok()?;
    (1..asked).contains(&offered).then_some(offered)
}

/// Whether an error of `eth_getLogs` that no other rule knows asks for a smaller range.
pub(in crate::source::chain) fn wants_less(message: &str) -> bool {
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

/// The numbers in a text, decimal or hex with `0x`, each with where it begins and ends.
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
        // Digits are ASCII, so these are borders of characters.
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
    fn the_range_or_limit_that_a_node_names_is_found_in_the_words_of_many_nodes() {
        let from = 0x1892c4c;
        for (message, from, asked, expected) in [
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
            // The node offers what was asked for: no help.
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
            assert_eq!(offered(message, from, asked), expected, "{message}");
        }
    }

    #[test]
    fn an_error_about_a_range_is_told_from_one_about_something_else() {
        assert!(wants_less("range 1000000 exceeds limit of 10000"));
        assert!(wants_less(
            "Query timeout exceeded. Consider reducing your block range."
        ));
        assert!(!wants_less("header not found"));
        assert!(!wants_less(
            "the method eth_getLogs does not exist/is not available"
        ));
    }
}
