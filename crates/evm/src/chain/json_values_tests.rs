use alloy::primitives::{B64, B256, Bloom, U256};
use serde::Deserialize;
use serde_json::{Value, json};

use super::*;

fn read<T: FromJson>(value: Value) -> Result<T, String> {
    required(value).map_err(|error: serde_json::Error| error.to_string())
}

fn read_optional<T: FromJson>(value: Value) -> Option<T> {
    optional(value).unwrap()
}

#[test]
fn quantity_reads_every_form() {
    for value in [
        json!("0x1b4"),
        json!("0x01b4"),
        json!("0x00000000000000000000000000000000001b4"),
        json!("0X1B4"),
        json!("436"),
        json!(436),
    ] {
        assert_eq!(read::<u64>(value.clone()), Ok(436), "{value}");
        assert_eq!(read::<u128>(value.clone()), Ok(436), "{value}");
        assert_eq!(read::<U256>(value.clone()), Ok(U256::from(436)), "{value}");
    }
    for (value, number) in [
        (json!(true), 1),
        (json!(false), 0),
        (json!("0x"), 0),
        (json!("0x0"), 0),
    ] {
        assert_eq!(read::<u8>(value.clone()), Ok(number), "{value}");
    }
    assert_eq!(read::<u64>(json!(u64::MAX)), Ok(u64::MAX));
    assert_eq!(read::<U256>(json!(U256::MAX.to_string())), Ok(U256::MAX));
}

#[test]
fn quantity_rejects_and_shows_other_values() {
    for value in [
        json!("1b4"),
        json!("0xzz"),
        json!("zz"),
        json!(-1),
        json!(1.5),
        json!(null),
        json!(""),
        json!("0x10000000000000000"),
    ] {
        let error = read::<u64>(value.clone()).unwrap_err();
        assert!(
            error.contains(&format!("is {value}, not a quantity")),
            "{error}"
        );
    }
    let long = read::<u64>(json!("x".repeat(10_000))).unwrap_err();
    assert!(long.len() < 300 && long.contains('…'), "{long}");
}

#[test]
fn optional_reads_absent_values() {
    assert_eq!(read_optional::<u64>(json!(null)), None);
    assert_eq!(read_optional::<u64>(json!("")), None);
    for absent in [json!(null), json!(""), json!("0x")] {
        assert_eq!(read_optional::<B256>(absent.clone()), None, "{absent}");
        assert_eq!(read_optional::<B64>(absent.clone()), None, "{absent}");
        assert_eq!(read_optional::<Bloom>(absent.clone()), None, "{absent}");
        assert_eq!(read_optional::<Address>(absent.clone()), None, "{absent}");
    }
    assert_eq!(read_optional::<Address>(json!("0x0")), None);
    assert_eq!(
        read_optional::<Address>(json!(Address::ZERO)),
        Some(Address::ZERO)
    );
    assert_eq!(created_address(json!(Address::ZERO)).unwrap(), None);
}

#[test]
fn fixed_bytes_read_short_padded_and_uppercase() {
    let nonce = B64::from(0x42_u64);
    for value in [
        json!("0x0000000000000042"),
        json!("0x42"),
        json!("0X42"),
        json!("0x00000000000000000000000042"),
        json!(66),
    ] {
        assert_eq!(read::<B64>(value.clone()), Ok(nonce), "{value}");
    }
    assert_eq!(read::<B64>(json!("0x0")), Ok(B64::ZERO));
    let hash = B256::repeat_byte(0xab);
    assert_eq!(
        read::<B256>(json!(format!("{hash:#X}").to_uppercase())),
        Ok(hash)
    );
    assert_eq!(
        read::<B256>(json!(format!("{hash:x}").replace("0x", ""))),
        Ok(hash)
    );
    assert!(read::<B256>(json!(format!("{hash}ab"))).is_err());
    let address = Address::repeat_byte(0xcd);
    let word = format!("0x{}{}", "0".repeat(24), &address.to_string()[2..]);
    assert_eq!(read::<Address>(json!(word)), Ok(address));
    assert_eq!(
        read::<Address>(json!(format!("{address:#x}").to_uppercase())),
        Ok(address)
    );
    assert!(read::<Address>(json!("0xcd")).is_err());
}

#[test]
fn null_is_empty_list_and_no_bytes() {
    #[derive(Deserialize)]
    struct Log {
        #[serde(default, deserialize_with = "values")]
        topics: Vec<B256>,
        #[serde(default, deserialize_with = "or_default")]
        data: Bytes,
        #[serde(deserialize_with = "nullable")]
        rest: Vec<u8>,
    }
    for value in [
        json!({ "topics": null, "data": null, "rest": null }),
        json!({ "topics": [], "data": "0x", "rest": [] }),
        json!({ "data": "", "rest": null }),
    ] {
        let log: Log = serde_json::from_value(value).unwrap();
        assert!(log.topics.is_empty() && log.data.is_empty() && log.rest.is_empty());
    }
    let log: Log =
        serde_json::from_value(json!({ "topics": ["0x1"], "data": "0XAB", "rest": [] })).unwrap();
    assert_eq!(log.topics, [B256::with_last_byte(1)]);
    assert_eq!(log.data, Bytes::from(vec![0xab]));
}
