//! Decodes Hermes events. Pure; keeps the digits of the text.

use std::borrow::Cow;

use bigdecimal::BigDecimal;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::super::{PriceFault, price_text::parse_price, stream::Quote, venue_time};

/// Maximum absolute exponent.
const MAX_EXPONENT: u32 = 64;
/// Maximum length of a number in bytes.
const MAX_TEXT: usize = 40;

#[derive(Deserialize)]
struct Event<'a> {
    /// Decoded one by one, so that an invalid one does not affect the others.
    #[serde(borrow, default)]
    parsed: Option<Vec<&'a RawValue>>,
}

#[derive(Deserialize)]
struct Update<'a> {
    #[serde(borrow)]
    id: Cow<'a, str>,
    #[serde(borrow)]
    price: Price<'a>,
}

#[derive(Deserialize)]
struct Price<'a> {
    #[serde(borrow)]
    price: &'a RawValue,
    #[serde(borrow)]
    conf: &'a RawValue,
    expo: i32,
    #[serde(borrow)]
    publish_time: &'a RawValue,
}

/// One price of an event.
#[derive(Debug, PartialEq)]
pub(super) enum PriceEvent {
    Quote(Quote<'static>),
    /// An unusable price; the id is empty if it is unreadable.
    Unusable {
        id: String,
        fault: PriceFault,
    },
}

/// Decodes an event and emits each of its prices. Returns for any input.
pub(super) fn read(text: &[u8], emit: &mut dyn FnMut(PriceEvent)) {
    let mut reject = |id: &str, fault| {
        emit(PriceEvent::Unusable {
            id: id.to_owned(),
            fault,
        });
    };
    let event: Event<'_> = match serde_json::from_slice(text) {
        Ok(event) => event,
        Err(error) => return reject("", malformed(&error)),
    };
    let Some(updates) = event.parsed else {
        let missing = "no `parsed` prices".to_owned();
        return reject("", PriceFault::Malformed(missing));
    };
    for raw in updates {
        let update: Update<'_> = match serde_json::from_str(raw.get()) {
            Ok(update) => update,
            Err(error) => {
                emit(PriceEvent::Unusable {
                    id: String::new(),
                    fault: malformed(&error),
                });
                continue;
            }
        };
        let id = update.id.trim_start_matches("0x").to_ascii_lowercase();
        emit(match quote(&id, &update.price) {
            Ok(quote) => PriceEvent::Quote(quote),
            Err(fault) => PriceEvent::Unusable { id, fault },
        });
    }
}

fn malformed(error: &serde_json::Error) -> PriceFault {
    PriceFault::Malformed(error.to_string())
}

fn quote(id: &str, fields: &Price<'_>) -> Result<Quote<'static>, PriceFault> {
    if fields.expo.unsigned_abs() > MAX_EXPONENT {
        return Err(PriceFault::OutOfRange(format!("10^{}", fields.expo)));
    }
    let observed_at = venue_time::from_json(fields.publish_time)?;
    let price = parse_price(&scaled(fields.price, fields.expo)?)?;
    let confidence = match digits(fields.conf)? {
        // Zero confidence is allowed.
        zero if zero.bytes().all(|c| c == b'0') => BigDecimal::default(),
        _ => parse_price(&scaled(fields.conf, fields.expo)?)?,
    };
    if confidence > price {
        return Err(PriceFault::OutOfRange(format!("{price} ± {confidence}")));
    }
    Ok(Quote {
        stream: Cow::Owned(id.to_owned()),
        price,
        confidence: Some(confidence),
        observed_at: Some(observed_at),
        order: None,
    })
}

/// An integer with its exponent as one number.
fn scaled(raw: &RawValue, exponent: i32) -> Result<String, PriceFault> {
    Ok(format!("{}e{exponent}", digits(raw)?))
}

/// The digits of an integer in a JSON number or string.
fn digits(raw: &RawValue) -> Result<&str, PriceFault> {
    let text = raw.get();
    let quoted = text
        .strip_prefix('"')
        .and_then(|text| text.strip_suffix('"'));
    let text = quoted.unwrap_or(text);
    let bare = text.strip_prefix('-').unwrap_or(text);
    let is_integer = !bare.is_empty() && bare.bytes().all(|c| c.is_ascii_digit());
    if !is_integer || text.len() > MAX_TEXT {
        let excerpt: String = text.chars().take(MAX_TEXT).collect();
        return Err(PriceFault::Malformed(format!(
            "{excerpt:?} is not an integer"
        )));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BTC: &str = "e62df6c8b4a85fe1a67db44dc12de5db330f7ac66b72dc658afedf0f4a415b43";

    fn event(price: &str) -> String {
        // The format of Pyth's reference.
        format!(
            r#"{{"binary":{{"encoding":"hex","data":["504e4155"]}},"parsed":[{{"id":"{BTC}","price":{price},"ema_price":{{"price":"6094271800000","conf":"2954117100","expo":-8,"publish_time":1714746101}},"metadata":{{"slot":138881186,"proof_available_time":1714746102,"prev_publish_time":1714746101}}}}]}}"#
        )
    }

    fn read_all(text: &str) -> Vec<PriceEvent> {
        let mut all = Vec::new();
        read(text.as_bytes(), &mut |fields| all.push(fields));
        all
    }

    fn one(price: &str) -> Result<(String, String), String> {
        match read_all(&event(price)).pop().unwrap() {
            PriceEvent::Quote(quote) => Ok((
                quote.price.normalized().to_plain_string(),
                quote.confidence.unwrap().normalized().to_plain_string(),
            )),
            PriceEvent::Unusable { fault, .. } => Err(fault.reason().to_owned()),
        }
    }

    #[test]
    fn price_is_exact() {
        let text = event(
            r#"{"price":"6140993501000","conf":"3287868567","expo":-8,"publish_time":1714746101}"#,
        );
        let PriceEvent::Quote(quote) = read_all(&text).pop().unwrap() else {
            panic!("{text}")
        };
        assert_eq!(quote.stream, BTC);
        assert_eq!(quote.observed_at, Some(1_714_746_101_000));
        let expected = ("61409.93501".to_owned(), "32.87868567".to_owned());
        assert_eq!(
            one(r#"{"price":"6140993501000","conf":"3287868567","expo":-8,"publish_time":1}"#),
            Ok(expected.clone())
        );
        // JSON numbers are read without loss too.
        assert_eq!(
            one(r#"{"price":6140993501000,"conf":3287868567,"expo":-8,"publish_time":1}"#),
            Ok(expected)
        );
        assert_eq!(
            one(r#"{"price":"9223372036854775807","conf":"0","expo":-18,"publish_time":1}"#),
            Ok(("9.223372036854775807".to_owned(), "0".to_owned()))
        );
        assert_eq!(
            one(r#"{"price":"12","conf":"1","expo":3,"publish_time":1}"#),
            Ok(("12000".to_owned(), "1000".to_owned()))
        );
    }

    #[test]
    fn rejects_invalid_price_with_reason() {
        for (price, reason) in [
            (
                r#"{"price":"0","conf":"1","expo":-8,"publish_time":1}"#,
                "not_positive",
            ),
            (
                r#"{"price":"-5","conf":"1","expo":-8,"publish_time":1}"#,
                "not_positive",
            ),
            (
                r#"{"price":"5","conf":"-1","expo":-8,"publish_time":1}"#,
                "not_positive",
            ),
            (
                r#"{"price":"5","conf":"6","expo":-8,"publish_time":1}"#,
                "absurd",
            ),
            (
                r#"{"price":"5","conf":"1","expo":-40,"publish_time":1}"#,
                "absurd",
            ),
            (
                r#"{"price":"5","conf":"1","expo":2147483647,"publish_time":1}"#,
                "absurd",
            ),
            (
                r#"{"price":"5","conf":"1","expo":-2147483648,"publish_time":1}"#,
                "absurd",
            ),
            (
                r#"{"price":"5","conf":"1","expo":-8,"publish_time":0}"#,
                "timestamp",
            ),
            (
                r#"{"price":"5","conf":"1","expo":-8,"publish_time":100000000000000000000}"#,
                "timestamp",
            ),
            (
                r#"{"price":"5.5","conf":"1","expo":-8,"publish_time":1}"#,
                "malformed",
            ),
            (
                r#"{"price":"5e9","conf":"1","expo":-8,"publish_time":1}"#,
                "malformed",
            ),
            (
                r#"{"price":null,"conf":"1","expo":-8,"publish_time":1}"#,
                "malformed",
            ),
            (
                r#"{"price":"","conf":"1","expo":-8,"publish_time":1}"#,
                "malformed",
            ),
            (r#"{"price":"5","expo":-8,"publish_time":1}"#, "malformed"),
            (
                r#"{"price":"5","conf":"1","expo":1.5,"publish_time":1}"#,
                "malformed",
            ),
        ] {
            assert_eq!(one(price).unwrap_err(), reason, "{price}");
        }
        let long = format!(
            r#"{{"price":"{}","conf":"1","expo":-8,"publish_time":1}}"#,
            "9".repeat(10_000)
        );
        assert_eq!(one(&long).unwrap_err(), "malformed");
    }

    #[test]
    fn invalid_price_does_not_affect_others() {
        let good = r#"{"price":"5","conf":"1","expo":0,"publish_time":1}"#;
        let text = format!(r#"{{"parsed":[7,{{"id":"aa"}},{{"id":"0xBB","price":{good}}},null]}}"#);
        let all = read_all(&text);
        assert_eq!(all.len(), 4);
        assert!(matches!(&all[2], PriceEvent::Quote(quote) if quote.stream == "bb"));
    }

    #[test]
    fn read_returns_for_any_text() {
        for text in [
            "",
            "null",
            "[]",
            "{}",
            "{\"parsed\":null}",
            "{\"parsed\":{}}",
            "{\"parsed\":[",
            "\u{0}",
        ] {
            let all = read_all(text);
            assert!(
                matches!(all.as_slice(), [PriceEvent::Unusable { .. }]),
                "{text}: {all:?}"
            );
        }
        assert!(read_all("{\"parsed\":[]}").is_empty());
        let mut all = Vec::new();
        read(&[0xff, 0xfe], &mut |fields| all.push(fields));
        assert_eq!(all.len(), 1);
    }
}
