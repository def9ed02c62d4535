//! Locates prices in JSON documents by JSON Pointers (RFC 6901). Pure; numbers are read from their text.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::{
    super::{
        PriceFault,
        price_text::price_from_json,
        stream::Quote,
        venue_time::{self, check_recent},
    },
    config::HttpConfig,
    pointer::{Pointer, find, parse},
};

/// The location of a source's price and of its time.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct PriceLocation {
    pointer: String,
    steps: Pointer,
    timestamp: Option<(String, Pointer)>,
}

/// Why a document gave no price.
#[derive(Debug, PartialEq, thiserror::Error)]
pub(super) enum PriceError {
    /// No value at this pointer.
    #[error("no value at {0:?} in the document")]
    NotFound(String),
    #[error("unusable value at {pointer:?} in the document: {fault}")]
    Unusable { pointer: String, fault: PriceFault },
}

impl PriceError {
    /// The kind of fault.
    pub(super) fn reason(&self) -> &'static str {
        match self {
            Self::NotFound(_) => "nothing",
            Self::Unusable { fault, .. } => fault.reason(),
        }
    }

    /// The fault to count.
    pub(super) fn fault(&self) -> PriceFault {
        match self {
            Self::NotFound(_) => PriceFault::Malformed(self.to_string()),
            Self::Unusable { fault, .. } => fault.clone(),
        }
    }
}

impl PriceLocation {
    pub(super) fn from_config(config: &HttpConfig) -> Result<Self, String> {
        let timestamp = match &config.timestamp_pointer {
            Some(pointer) => Some((pointer.clone(), parse(pointer)?)),
            None => None,
        };
        Ok(Self {
            pointer: config.pointer.clone(),
            steps: parse(&config.pointer)?,
            timestamp,
        })
    }

    /// Its name in logs, unique per location.
    pub(super) fn name(&self) -> String {
        match &self.timestamp {
            Some((timestamp, _)) => format!("{} @ {timestamp}", self.pointer),
            None => self.pointer.clone(),
        }
    }

    /// Reads the price from a document fetched at `now_ms`.
    pub(super) fn read(
        &self,
        document: &RawValue,
        now_ms: i64,
    ) -> Result<Quote<'static>, PriceError> {
        let unusable = |pointer: &str| {
            let pointer = pointer.to_owned();
            move |fault| PriceError::Unusable { pointer, fault }
        };
        let found = find(document, &self.steps);
        let found = found.ok_or_else(|| PriceError::NotFound(self.pointer.clone()))?;
        let price = price_from_json(found).map_err(unusable(&self.pointer))?;
        let observed_at = match &self.timestamp {
            Some((pointer, steps)) => {
                let found = find(document, steps);
                let found = found.ok_or_else(|| PriceError::NotFound(pointer.clone()))?;
                let at = venue_time::from_json(found).map_err(unusable(pointer))?;
                Some(check_recent(at, now_ms).map_err(unusable(pointer))?)
            }
            None => None,
        };
        Ok(Quote {
            stream: Cow::Owned(self.name()),
            price,
            confidence: None,
            observed_at,
            order: None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    /// An hour after the times of these tests.
    const NOW: i64 = 1_714_749_701_000;

    fn raw(text: &str) -> &RawValue {
        serde_json::from_str(text).unwrap()
    }

    fn location(pointer: &str, timestamp: Option<&str>) -> PriceLocation {
        PriceLocation::from_config(&HttpConfig {
            url: chaincast_base::Secret::new("http://x"),
            pointer: pointer.to_owned(),
            timestamp_pointer: timestamp.map(str::to_owned),
            quote: "USD".to_owned(),
            interval_ms: 1,
            timeout_ms: 1,
            max_bytes: 1,
            headers: BTreeMap::new(),
        })
        .unwrap()
    }

    #[test]
    fn price_from_number_or_string_is_exact() {
        let digits = "3456.120000000000000001";
        for text in [digits.to_owned(), format!("\"{digits}\"")] {
            let document = format!(r#"{{"data":[{{"price": {text} }}]}}"#);
            let quote = location("/data/0/price", None)
                .read(raw(&document), NOW)
                .unwrap();
            assert_eq!(quote.price.to_plain_string(), digits);
            assert_eq!((quote.observed_at, quote.confidence), (None, None));
        }
        let whole = location("", None).read(raw("12.5"), NOW).unwrap();
        assert_eq!(whole.price.to_plain_string(), "12.5");
    }

    #[test]
    fn reads_time_in_any_unit() {
        for (text, ms) in [
            ("1714746101", 1_714_746_101_000),
            ("1714746101.123", 1_714_746_101_123),
            ("1714746101.1239", 1_714_746_101_123),
            ("1714746101123", 1_714_746_101_123),
            ("1714746101123999", 1_714_746_101_123),
            ("1714746101123999999", 1_714_746_101_123),
            ("\"1714746101123999999\"", 1_714_746_101_123),
            ("1714749761000", NOW + 60_000),
            ("\"1714746101\"", 1_714_746_101_000),
            ("\"2024-05-03T14:21:41.5Z\"", 1_714_746_101_500),
            ("\"2024-05-03T16:21:41+02:00\"", 1_714_746_101_000),
        ] {
            let document = format!(r#"{{"p":1,"t":{text}}}"#);
            let quote = location("/p", Some("/t"))
                .read(raw(&document), NOW)
                .unwrap();
            assert_eq!(quote.observed_at, Some(ms), "{text}");
        }
        for wrong in [
            "0",
            "-5",
            "1714749761001",
            "1714749762",
            "1714749761001000",
            "1714749761001000000",
            "\"2024-05-03T15:22:41.001Z\"",
            "9999999999",
            "null",
            "\"yesterday\"",
            "\"2024-13-03T00:00:00Z\"",
            "1e24",
            "1e999999999",
            "{}",
        ] {
            let document = format!(r#"{{"p":1,"t":{wrong}}}"#);
            let error = location("/p", Some("/t"))
                .read(raw(&document), NOW)
                .unwrap_err();
            assert!(
                matches!(&error, PriceError::Unusable { pointer, .. } if pointer == "/t"),
                "{wrong}: {error:?}"
            );
        }
    }

    #[test]
    fn reports_invalid_and_missing_price() {
        for (text, reason) in [
            ("0", "not_positive"),
            ("-1", "not_positive"),
            ("1e30", "absurd"),
            ("9e999999999", "absurd"),
            ("null", "malformed"),
            ("true", "malformed"),
            ("[1]", "malformed"),
            ("\"12,5\"", "malformed"),
        ] {
            let document = format!(r#"{{"p":{text}}}"#);
            match location("/p", None).read(raw(&document), NOW) {
                Err(PriceError::Unusable { fault, .. }) => {
                    assert_eq!(fault.reason(), reason, "{text}")
                }
                other => panic!("{text}: {other:?}"),
            }
        }
        let error = location("/a/b", None).read(raw("{}"), NOW).unwrap_err();
        assert_eq!(error, PriceError::NotFound("/a/b".to_owned()));
    }
}
