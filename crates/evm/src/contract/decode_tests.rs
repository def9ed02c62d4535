use alloy::{
    dyn_abi::DynSolValue as V,
    json_abi::Event,
    primitives::{I256, keccak256},
};
use rand::{Rng, SeedableRng, rngs::StdRng};
use serde_json::{Value, json};

use super::*;

/// An event from its JSON ABI.
fn event(inputs: Value) -> EventShape {
    let event: Event = serde_json::from_value(json!({
        "type": "event", "name": "Reported", "inputs": inputs, "anonymous": false,
    }))
    .unwrap();
    EventShape::from_abi(&event).unwrap()
}

fn plain(types: &[&str]) -> EventShape {
    let inputs = types
        .iter()
        .zip('a'..)
        .map(|(kind, name)| json!({ "name": name.to_string(), "type": kind, "indexed": false }));
    event(inputs.collect())
}

fn decoded(shape: &EventShape, indexed: &[B256], data: &[u8]) -> Result<Value, DecodeError> {
    let topics = [&[shape.topic], indexed].concat();
    let text = shape.decode(&topics, data)?;
    Ok(serde_json::from_str(&text).expect("decoded text is JSON"))
}

/// Encodes values with alloy and decodes them.
fn round_trip(types: &[&str], values: Vec<V>) -> Value {
    let data = V::Tuple(values).abi_encode_params();
    decoded(&plain(types), &[], &data).unwrap()
}

fn uint(value: u64) -> V {
    V::Uint(U256::from(value), 256)
}

#[test]
fn integer_limits_are_decimal_strings() {
    let values = vec![
        V::Uint(U256::MAX, 256),
        V::Int(I256::MIN, 256),
        V::Int(I256::MAX, 256),
        V::Uint(U256::from(255), 8),
        V::Int(I256::unchecked_from(-128), 8),
        V::Int(I256::unchecked_from(127), 8),
        V::Int(I256::MINUS_ONE, 24),
        V::Uint(U256::ZERO, 64),
    ];
    let types = [
        "uint256", "int256", "int256", "uint8", "int8", "int8", "int24", "uint64",
    ];
    assert_eq!(
        round_trip(&types, values),
        json!({
            "a": "115792089237316195423570985008687907853269984665640564039457584007913129639935",
            "b": "-57896044618658097711785492504343953926634992332820282019728792003956564819968",
            "c": "57896044618658097711785492504343953926634992332820282019728792003956564819967",
            "d": "255", "e": "-128", "f": "127", "g": "-1", "h": "0",
        })
    );
}

#[test]
fn rejects_word_out_of_type_range() {
    let word = |value: U256| value.to_be_bytes::<32>();
    let negative = |value: i64| I256::unchecked_from(value).to_be_bytes::<32>();
    for (kind, data) in [
        ("uint8", word(U256::from(256))),
        ("int8", negative(-129)),
        ("int8", negative(128)),
        ("bool", word(U256::from(2))),
        ("address", word(U256::from(1) << 160)),
        ("bytes4", word(U256::from(1))),
    ] {
        assert_eq!(
            decoded(&plain(&[kind]), &[], &data),
            Err(DecodeError),
            "{kind}"
        );
    }
}

#[test]
fn decodes_elementary_types() {
    let address: Address = "0xd8da6bf26964af9d7eed9e03e53415d37aa96045"
        .parse()
        .unwrap();
    let values = vec![
        V::Bool(true),
        V::Address(address),
        V::FixedBytes(B256::right_padding_from(&[0xab, 0xcd]), 2),
        V::Bytes(vec![1, 2, 0xff]),
        V::String("naïve \"text\"\n".to_owned()),
    ];
    assert_eq!(
        round_trip(&["bool", "address", "bytes2", "bytes", "string"], values),
        json!({
            "a": true, "b": "0xd8dA6BF26964aF9D7eEd9e03E53415D37aA96045", "c": "0xabcd", "d": "0x0102ff",
            "e": "naïve \"text\"\n",
        })
    );
}

#[test]
fn string_replaces_nul_and_invalid_utf8() {
    let data = V::Tuple(vec![V::Bytes(b"a\0b\xffc".to_vec())]).abi_encode_params();
    let text = decoded(&plain(&["string"]), &[], &data).unwrap();
    assert_eq!(text, json!({ "a": "a\u{fffd}b\u{fffd}c" }));
}

#[test]
fn arrays_are_lists() {
    let list = |values: &[u64]| V::Array(values.iter().copied().map(uint).collect());
    let values = vec![
        V::Array(vec![list(&[1, 2]), list(&[]), list(&[3])]),
        V::FixedArray(vec![V::String("x".to_owned()), V::String(String::new())]),
        V::FixedArray(vec![uint(7), uint(8)]),
        uint(9),
    ];
    assert_eq!(
        round_trip(
            &["uint256[][]", "string[2]", "uint256[2]", "uint256"],
            values
        ),
        json!({ "a": [["1", "2"], [], ["3"]], "b": ["x", ""], "c": ["7", "8"], "d": "9" })
    );
}

#[test]
fn tuples_are_objects_keyed_by_component() {
    let components = json!([
        { "name": "to", "type": "address" },
        { "name": "legs", "type": "tuple[]", "components": [
            { "name": "id", "type": "uint8" }, { "name": "", "type": "string" },
        ] },
    ]);
    let shape = event(json!([
        { "name": "order", "type": "tuple", "components": components, "indexed": false },
        { "name": "last", "type": "bool", "indexed": false },
    ]));
    let leg = |id: u64, text: &str| V::Tuple(vec![uint(id), V::String(text.to_owned())]);
    let order = V::Tuple(vec![
        V::Address(Address::ZERO),
        V::Array(vec![leg(1, "a"), leg(2, "b")]),
    ]);
    let data = V::Tuple(vec![order, V::Bool(false)]).abi_encode_params();
    assert_eq!(
        decoded(&shape, &[], &data).unwrap(),
        json!({
            "order": {
                "to": "0x0000000000000000000000000000000000000000",
                "legs": [{ "id": "1", "1": "a" }, { "id": "2", "1": "b" }],
            },
            "last": false,
        })
    );
}

#[test]
fn indexed_dynamic_value_is_a_hash() {
    let shape = event(json!([
        { "name": "id", "type": "uint64", "indexed": true },
        { "name": "note", "type": "string", "indexed": true },
        { "name": "value", "type": "uint256", "indexed": false },
        { "name": "pair", "type": "uint256[2]", "indexed": true },
    ]));
    let (note, pair) = (keccak256("note"), keccak256("pair"));
    let topics = [B256::with_last_byte(5), note, pair];
    let data = uint(9).abi_encode();
    assert_eq!(
        decoded(&shape, &topics, &data).unwrap(),
        json!({ "id": "5", "note": { "hash": note }, "value": "9", "pair": { "hash": pair } })
    );
    let text = shape
        .decode(&[&[shape.topic], &topics[..]].concat(), &data)
        .unwrap();
    assert!(
        text.starts_with("{\"id\":\"5\",\"note\":"),
        "in ABI order: {text}"
    );
}

#[test]
fn unnamed_parameter_is_keyed_by_position() {
    let shape = event(json!([
        { "name": "", "type": "uint8", "indexed": false },
        { "name": "x", "type": "uint8", "indexed": false },
        { "name": "x", "type": "uint8", "indexed": false },
    ]));
    let data = V::Tuple(vec![uint(1), uint(2), uint(3)]).abi_encode_params();
    assert_eq!(
        decoded(&shape, &[], &data).unwrap(),
        json!({ "0": "1", "x": "2", "2": "3" })
    );
}

#[test]
fn rejects_wrong_topics_and_truncated_data() {
    let shape = event(json!([
        { "name": "from", "type": "address", "indexed": true },
        { "name": "text", "type": "string", "indexed": false },
    ]));
    let data = V::Tuple(vec![V::String("a text".to_owned())]).abi_encode_params();
    let from = [B256::with_last_byte(1)];
    assert!(decoded(&shape, &from, &data).is_ok());
    assert_eq!(decoded(&shape, &[], &data), Err(DecodeError));
    assert_eq!(decoded(&shape, &[from[0]; 2], &data), Err(DecodeError));
    assert_eq!(
        shape.decode(&[B256::ZERO, from[0]], &data),
        Err(DecodeError)
    );
    assert_eq!(shape.decode(&[], &data), Err(DecodeError));
    for cut in 0..64 + 6 {
        assert_eq!(
            decoded(&shape, &from, &data[..cut]),
            Err(DecodeError),
            "{cut} bytes"
        );
    }
}

#[test]
fn shared_offsets_are_bounded() {
    // 1,000 references to one array of 1,000 references to one array of 1,000 numbers.
    let words = 1_000_u64;
    let mut data = Vec::new();
    let mut push = |value: u64| data.extend(U256::from(value).to_be_bytes::<32>());
    push(32);
    for _ in 0..2 {
        push(words);
        for _ in 0..words {
            push(words * 32);
        }
    }
    push(words);
    for _ in 0..words {
        push(7);
    }
    assert_eq!(
        decoded(&plain(&["uint256[][][]"]), &[], &data),
        Err(DecodeError)
    );
}

#[test]
fn random_logs_do_not_panic() {
    let mut random = StdRng::seed_from_u64(6);
    let shapes = [
        plain(&["uint256", "int8", "bool", "address", "bytes4"]),
        plain(&["string", "bytes", "uint256[]", "string[]", "bytes[3]"]),
        plain(&["uint256[][]", "address[2][]", "bool"]),
        event(json!([
            { "name": "a", "type": "address", "indexed": true },
            { "name": "b", "type": "tuple[]", "indexed": false, "components": [
                { "name": "c", "type": "bytes" }, { "name": "d", "type": "tuple", "components": [
                    { "name": "e", "type": "int128[]" } ] } ] },
        ])),
    ];
    let mut read = 0;
    for round in 0..40_000 {
        let shape = &shapes[round % shapes.len()];
        let mut data = vec![0; random.random_range(0..24) * 32 + random.random_range(0..3)];
        for word in data.chunks_mut(32) {
            match random.random_range(0..8) {
                // Small numbers are valid offsets, lengths and words.
                0..=5 => {
                    if let Some(last) = word.last_mut() {
                        *last = random.random_range(0..8) * 32 * random.random_range(0..2);
                    }
                }
                6 => random.fill(word),
                _ => word.fill(0xff),
            }
        }
        let mut topics = vec![shape.topic];
        topics.resize_with(random.random_range(1..4), || {
            B256::from(random.random::<[u8; 32]>())
        });
        if topics.len() == 2 {
            topics[1] = B256::with_last_byte(1);
        }
        if let Ok(text) = shape.decode(&topics, &data) {
            read += 1;
            let value: Value = serde_json::from_str(&text).expect("decoded text is JSON");
            assert!(value.is_object() && !text.contains("\\u0000"));
        }
    }
    assert!(read > 100, "only {read} random logs were decoded");
}
