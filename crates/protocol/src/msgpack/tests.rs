//! Tests both directions against serde_json and rmp's own reader.

use rand::{Rng, SeedableRng, rngs::StdRng};
use rmp::{Marker, decode};
use serde_json::{Map, Value, json};

use super::{DecodeError, MAX_DEPTH, NotJson, from_json, to_json};

fn packed(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    from_json(text, &mut out).unwrap_or_else(|error| panic!("{error}: {text}"));
    out
}

fn text(input: &mut &[u8]) -> String {
    let bytes = *input;
    let (text, rest) = decode::read_str_from_slice(bytes).unwrap();
    *input = rest;
    text.to_owned()
}

/// Reads with rmp only.
fn read(input: &mut &[u8]) -> Value {
    match Marker::from_u8(input[0]) {
        Marker::Null => decode::read_nil(input).map(|()| Value::Null).unwrap(),
        Marker::True | Marker::False => decode::read_bool(input).unwrap().into(),
        Marker::FixStr(_) | Marker::Str8 | Marker::Str16 | Marker::Str32 => text(input).into(),
        Marker::FixArray(_) | Marker::Array16 | Marker::Array32 => {
            let count = decode::read_array_len(input).unwrap();
            (0..count).map(|_| read(input)).collect()
        }
        Marker::FixMap(_) | Marker::Map16 | Marker::Map32 => {
            let count = decode::read_map_len(input).unwrap();
            let pairs = (0..count).map(|_| (text(input), read(input)));
            Value::Object(pairs.collect::<Map<_, _>>())
        }
        Marker::U64 => decode::read_int::<u64, _>(input).unwrap().into(),
        Marker::F64 => decode::read_f64(input).unwrap().into(),
        _ => decode::read_int::<i64, _>(input).unwrap().into(),
    }
}

/// A random JSON value, and the same value with its decimals as strings.
fn random(random: &mut StdRng, depth: usize) -> (String, Value) {
    let kinds = if depth < 4 { 8 } else { 6 };
    match random.random_range(0..kinds) {
        0 => ("null".to_owned(), Value::Null),
        1 => ("true".to_owned(), true.into()),
        2 => {
            let number: u64 = random.random::<u64>() >> random.random_range(0..64);
            (number.to_string(), number.into())
        }
        3 => {
            let number: i64 = random.random::<i64>() >> random.random_range(0..64);
            (number.to_string(), number.into())
        }
        4 => {
            let (whole, part): (u64, u128) = (random.random(), random.random());
            let text = match random.random_range(0..4) {
                0 => format!("{whole}.{part}"),
                1 => format!("-0.{part:040}"),
                2 => format!("{whole}e{}", random.random_range(-99..99)),
                // Does not fit into 64 bits.
                _ => format!("{}{part}", u64::MAX),
            };
            (text.clone(), text.into())
        }
        5 => {
            let text = random_text(random);
            (Value::from(text.as_str()).to_string(), text.into())
        }
        6 => {
            let count = random.random_range(0..20);
            let items: Vec<_> = (0..count)
                .map(|_| self::random(random, depth + 1))
                .collect();
            let text: Vec<_> = items.iter().map(|(text, _)| text.as_str()).collect();
            let text = format!("[ {}\n]", text.join(" ,"));
            (text, items.into_iter().map(|(_, value)| value).collect())
        }
        _ => {
            let count = random.random_range(0..20);
            let (mut texts, mut map) = (Vec::new(), Map::new());
            for index in 0..count {
                let key = format!("{index}{}", random_text(random));
                let (text, value) = self::random(random, depth + 1);
                texts.push(format!("{} : {text}", Value::from(key.as_str())));
                map.insert(key, value);
            }
            (format!("{{{}}}", texts.join("\t, ")), Value::Object(map))
        }
    }
}

fn random_text(random: &mut StdRng) -> String {
    let letters: Vec<char> = "ab \"\\/\n\u{1}éß長崎🦀".chars().collect();
    let length = match random.random_range(0..400) {
        0 => 70_000,
        1 => 300,
        _ => random.random_range(0..40),
    };
    (0..length)
        .map(|_| letters[random.random_range(0..letters.len())])
        .collect()
}

#[test]
fn random_json_round_trips() {
    let mut source = StdRng::seed_from_u64(42);
    for round in 0..200 {
        let (text, expected) = random(&mut source, 0);
        let packed = packed(&text);
        let mut rest = &packed[..];
        assert_eq!(read(&mut rest), expected, "round {round}");
        assert!(rest.is_empty(), "round {round}");
        let back = to_json(&packed).unwrap();
        let back: Value = serde_json::from_str(&back).unwrap();
        assert_eq!(back, expected, "round {round}, back");
    }
}

#[test]
fn decimals_become_strings_even_when_whole() {
    let price = r#"{"token":"ETH","price":3456.120000000000000001,"timestamp":1790000000000,"confidence":0.42,"ageMs":120}"#;
    assert_eq!(
        to_json(&packed(price)).unwrap(),
        r#"{"token":"ETH","price":"3456.120000000000000001","timestamp":1790000000000,"confidence":"0.42","ageMs":120}"#
    );
    let whole = to_json(&packed(
        r#"{"price":3456,"list":[{"confidence":0}],"prices":7}"#,
    ))
    .unwrap();
    assert_eq!(
        whole,
        r#"{"price":"3456","list":[{"confidence":"0"}],"prices":7}"#
    );
}

#[test]
fn numbers_of_clients_are_integers_or_floats() {
    let message = r#"{"price":1,"payload":{"price":1,"list":[0.5,{"a":18446744073709551616}],"big":1e400},"low":2}"#;
    let packed = packed(message);
    let mut rest = &packed[..];
    let count = decode::read_map_len(&mut rest).unwrap();
    assert_eq!((count, text(&mut rest)), (3, "price".to_owned()));
    assert_eq!(read(&mut rest), "1");
    assert_eq!(text(&mut rest), "payload");
    assert_eq!(decode::read_map_len(&mut rest).unwrap(), 3);
    assert_eq!(
        (text(&mut rest), read(&mut rest)),
        ("price".to_owned(), 1.into())
    );
    let list = json!([0.5, { "a": 18_446_744_073_709_551_616_f64 }]);
    assert_eq!(
        (text(&mut rest), read(&mut rest)),
        ("list".to_owned(), list)
    );
    assert_eq!(text(&mut rest), "big");
    assert_eq!(decode::read_f64(&mut rest).unwrap(), f64::INFINITY);
    assert_eq!(
        (text(&mut rest), read(&mut rest)),
        ("low".to_owned(), "2".into())
    );
}

#[test]
fn price_amounts_are_strings() {
    use crate::{JsonNumber, PriceStatus, PriceUpdate};
    let update = PriceUpdate {
        token: "ETH".parse().unwrap(),
        price: JsonNumber(3_000.into()),
        timestamp: 1,
        quote: "USD".into(),
        confidence: JsonNumber(0.into()),
        sources: Vec::new(),
        age_ms: 2,
        status: PriceStatus::Ok,
        reason: None,
        details: Vec::new(),
    };
    let read = to_json(&packed(&serde_json::to_string(&update).unwrap())).unwrap();
    let read: Value = serde_json::from_str(&read).unwrap();
    let numbers = read.as_object().unwrap().iter();
    let numbers: Vec<_> = numbers.filter(|(_, value)| value.is_number()).collect();
    assert_eq!(
        numbers,
        [
            (&"ageMs".into(), &2.into()),
            (&"timestamp".into(), &1.into())
        ]
    );
}

#[test]
fn candle_amounts_are_strings() {
    use crate::{Candle, CandleInterval, CandleUpdate};
    let candle = Candle::from_price(CandleInterval::Minute, 60_001, &3_000.into());
    let token = "ETH".parse().unwrap();
    let update = CandleUpdate::new(&token, CandleInterval::Minute, &candle, false);
    let read = to_json(&packed(&serde_json::to_string(&update).unwrap())).unwrap();
    let read: Value = serde_json::from_str(&read).unwrap();
    for side in ["open", "high", "low", "close"] {
        assert_eq!(read[side], "3000");
    }
    assert_eq!(read["timestamp"], 60_000);
    assert_eq!(read["count"], 1);
    assert_eq!(read["interval"], "1m");
}

#[test]
fn integers_take_their_smallest_form() {
    for (text, bytes) in [
        ("0", &[0x00][..]),
        ("127", &[0x7f]),
        ("128", &[0xcc, 0x80]),
        ("-1", &[0xff]),
        ("-33", &[0xd0, 0xdf]),
        (
            "18446744073709551615",
            &[0xcf, 255, 255, 255, 255, 255, 255, 255, 255],
        ),
        ("-9223372036854775808", &[0xd3, 0x80, 0, 0, 0, 0, 0, 0, 0]),
        ("18446744073709551616", b"\xb418446744073709551616"),
        ("1.0", b"\xa31.0"),
    ] {
        assert_eq!(packed(text), bytes, "{text}");
    }
    assert_eq!(packed("{}"), [0x80]);
    assert_eq!(packed("[]"), [0x90]);
    let sixteen = format!("[{}]", vec!["0"; 16].join(","));
    assert_eq!(packed(&sixteen)[..3], [0xdc, 0, 16]);
    let many = format!("[{}]", vec!["0"; 65_536].join(","));
    assert_eq!(packed(&many)[..5], [0xdd, 0, 1, 0, 0]);
}

#[test]
fn rejects_invalid_json_and_keeps_the_output() {
    for text in [
        "",
        " ",
        "{",
        "[",
        "[1",
        "[1,",
        "[1,]",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\":1,}",
        "{a:1}",
        "\"",
        "\"\\",
        "\"\\\"",
        "\"\\x\"",
        "\"\n\"",
        "01",
        "-",
        "1.",
        ".5",
        "1e",
        "+1",
        "nul",
        "tru",
        "truex",
        "1 2",
        "\"\\ud800\"",
        "é",
        "\"\\é\"",
    ] {
        let mut out = b"before".to_vec();
        assert!(from_json(text, &mut out).is_err(), "{text}");
        assert_eq!(out, b"before", "{text}");
        assert!(serde_json::from_str::<Value>(text).is_err(), "{text}");
    }
    let deep = |depth| "[".repeat(depth) + &"]".repeat(depth);
    assert!(from_json(&deep(MAX_DEPTH), &mut Vec::new()).is_ok());
    let deeper = from_json(&deep(MAX_DEPTH + 1), &mut Vec::new());
    assert_eq!(deeper, Err(NotJson(MAX_DEPTH)));
}

#[test]
fn decode_errors_name_the_fault() {
    use DecodeError::{Deep, Key, Kind, Long, NotText, Short};
    for (bytes, error) in [
        (&b""[..], Short),
        (&[0x81], Short),
        (&[0xdf, 255, 255, 255, 255], Short),
        (&[0xdb, 255, 255, 255, 255, b'a'], Short),
        (&[0xdd, 255, 255, 255, 255, 1, 2], Short),
        (&[0xc0, 0xc0], Long),
        (&[0xa1, 0xff], NotText),
        (&[0x81, 0x01, 0x02], Key),
        (&[0x81, 0xc4, 0x01, b'a', 0x02], Key),
        (&[0xc4, 0x01, b'a'], Kind("bytes (bin)")),
        (&[0xd6, 0xff, 0, 0, 0, 0], Kind("extension types")),
        (&[0xc1], Kind("bytes of 0xc1")),
        (
            &[0xcb, 0x7f, 0xf8, 0, 0, 0, 0, 0, 0],
            Kind("NaN and infinity"),
        ),
        (&[0x91; MAX_DEPTH + 1], Deep),
        (&[0x91; 60_000], Deep),
    ] {
        assert_eq!(to_json(bytes), Err(error), "{bytes:02x?}");
    }
    assert_eq!(
        to_json(&[
            0x92, 0xcb, 0x3f, 0xf8, 0, 0, 0, 0, 0, 0, 0xca, 0x40, 0, 0, 0
        ])
        .unwrap(),
        "[1.5,2.0]"
    );
}

#[test]
fn random_bytes_decode_to_bounded_json_or_an_error() {
    let mut random = StdRng::seed_from_u64(43);
    let whole = packed(&json!({"id": 1, "event": "subscribe", "data": {"channels": ["price:ETH", "new-block"], "since": {"new-block": 41}}}).to_string());
    for _ in 0..20_000 {
        let bytes: Vec<u8> = if random.random() {
            let length = random.random_range(0..40);
            (0..length).map(|_| random.random()).collect()
        } else {
            let mut bytes = whole.clone();
            for _ in 0..random.random_range(1..4) {
                let at = random.random_range(0..bytes.len());
                bytes[at] = random.random();
            }
            bytes.truncate(random.random_range(0..=bytes.len()));
            bytes
        };
        if let Ok(text) = to_json(&bytes) {
            assert!(text.len() <= 6 * bytes.len(), "{bytes:02x?}");
            let read: Result<Value, _> = serde_json::from_str(&text);
            assert!(read.is_ok(), "{bytes:02x?} {text}");
        }
        let text = String::from_utf8_lossy(&bytes);
        let mut out = Vec::new();
        let accepted = from_json(&text, &mut out).is_ok();
        assert_eq!(
            accepted,
            serde_json::from_str::<&serde_json::value::RawValue>(&text).is_ok(),
            "{text}"
        );
    }
}
