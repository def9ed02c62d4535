//! Headers in other forms than Ethereum's: real blocks of Avalanche's C-Chain and of Gnosis, and blocks from the tests
//! of Avalanche's node software.

use serde_json::{Value, json};

use super::*;
use crate::chain::decode::header_of;

const EMPTY_TRIE: &str = "0x56e81f171bcc55a6ff8345e692c0f86e5b48e01b996cadc001622fb5e363b421";
const NO_OMMERS: &str = "0x1dcc4de8dec75d7aab85b567b6ccd41ad312451b948a7413f0a142fd40d49347";

fn zeros(bytes: usize) -> String {
    format!("0x{}", "00".repeat(bytes))
}

/// A header with these fields and common ones.
fn header(fields: Value) -> Value {
    let mut header = json!({
        "sha3Uncles": NO_OMMERS, "transactionsRoot": EMPTY_TRIE, "receiptsRoot": EMPTY_TRIE, "logsBloom": zeros(256),
        "extraData": "0x", "gasUsed": "0x0", "transactions": [],
    });
    for (key, value) in fields.as_object().unwrap() {
        header[key] = value.clone();
    }
    header
}

/// Block 4,096 of the C-Chain, before its London.
fn c_chain() -> Value {
    header(json!({
        "hash": "0x71bf35e949fd8a4ab11ad141def5caa704d4aa9072adb236bc4e2c53cdb28dfc",
        "parentHash": "0x73a42f8c66433ba964f309ef67ef5395fad641f6a7f4c0f8355e62cedf86d594",
        "miner": "0x0100000000000000000000000000000000000000",
        "stateRoot": "0x39cef27c57d5da7357c76a9397a44242b461948b8136afaf68a3f60a69cc10c6",
        "transactionsRoot": "0xe7e18b0f402df710a3d5b24037bb6093073900a7259df862f56d245cfbb0a28c",
        "receiptsRoot": "0x970f0a58616549cbad3d7f1260c05fae5da0157435e775529d1353b94f50604c",
        "logsBloom": "0x0012000000001000000000000000000000000000000000000000000000020000000000000000000000000000000000080000000080\
            000000000000040000100000040000000000000040000000200001000000400000000040008000000000000000000000000000000000080000\
            000000000000000000000100000000000000000008400000000000000000000000000000040010400000000080040000000008008000200000\
            020000000000080000000000018000000100000000001000000000000000000000000000000000010001010000000000900000000200000000\
            000a000000000000000000000000000000000040000000280000000000000000",
        "difficulty": "0x1", "number": "0x1000", "gasLimit": "0x7a1200", "gasUsed": "0x520c", "timestamp": "0x6146bb69",
        "mixHash": zeros(32), "nonce": zeros(8), "extDataHash": EMPTY_TRIE, "blockExtraData": "0x",
    }))
}

/// A block of `coreth`'s own tests, with every field up to Granite.
fn granite() -> Value {
    header(json!({
        "hash": "0xa8f0f89315f3fa83c3857155a4e26e3886286c15ea190fdc4b84b5cadeaf72e4",
        "parentHash": "0xcff199da2c1c619b9caf41ccae69db6ea642f6bb358e031a4aaf9aa9bf2c5b4e", "miner": zeros(20),
        "stateRoot": "0x94868d1188e9d742248c280a147aac1fe9540029a00ac03f38d255c8701ef09a",
        "transactionsRoot": "0x4022accb18056de5994cfb85f3c2721a86c9b1de72ef02f3b224e9c913a18a10",
        "receiptsRoot": "0x056b23fbba480696b65fe5a59b8f2148a1299103c4f57df839233af2cf4ca2d2",
        "difficulty": "0x1", "number": "0xa", "gasLimit": "0x989680", "gasUsed": "0x5208", "timestamp": "0x64",
        "extraData": "0x000000000098447800000000000052080000000000000000", "mixHash": zeros(32), "nonce": zeros(8),
        "baseFeePerGas": "0x1", "extDataHash": EMPTY_TRIE, "extDataGasUsed": "0x0", "blockGasCost": "0x0",
        "blobGasUsed": "0x0", "excessBlobGas": "0x0", "parentBeaconBlockRoot": zeros(32),
        "timestampMilliseconds": "0x186a0", "minDelayExcess": "0x799d4c",
    }))
}

/// A block of `subnet-evm`'s own tests, without the data of the C-Chain.
fn subnet() -> Value {
    header(json!({
        "hash": "0xfaf24721ea90162f6491710986d08ad46e4a1f5657643d78e95bf69155379a63",
        "parentHash": "0xf6fb07f85d6d23ec543aa2e4b79b86fe06cb73ce3c21e74eee61d77cd9c05267", "miner": zeros(20),
        "stateRoot": "0x2b8307a066fd4575aca1fa6b42ef2c3a860a9c40337ea0d647c9f25e22062e34",
        "transactionsRoot": "0x69ff8003291e1cd08f75d174f070618f7291e4540b2e33f60b3375743e3fda01",
        "receiptsRoot": "0x056b23fbba480696b65fe5a59b8f2148a1299103c4f57df839233af2cf4ca2d2",
        "difficulty": "0x1", "number": "0xa", "gasLimit": "0x7a1200", "gasUsed": "0x5208", "timestamp": "0x64",
        "extraData": zeros(80), "mixHash": zeros(32), "nonce": zeros(8), "baseFeePerGas": "0x5d21dba00",
        "blockGasCost": "0x0", "blobGasUsed": "0x0", "excessBlobGas": "0x0", "parentBeaconBlockRoot": zeros(32),
        "timestampMilliseconds": "0x186a0", "minDelayExcess": "0x799d4c",
    }))
}

/// Block 1 of Gnosis.
fn gnosis() -> Value {
    header(json!({
        "hash": "0x96059ccf6d5b78b7f30795cd9661f77a117b94ae458020e9010d5a9968376be4",
        "parentHash": "0x4f1dd23188aab3a76b463e4af801b52b1248ef073c648cbdc4c9333d3da79756",
        "author": "0xcace5b3c29211740e595850e80478416ee77ca21", "miner": "0xcace5b3c29211740e595850e80478416ee77ca21",
        "stateRoot": "0x40cf4430ecaa733787d1a65154a3b9efb560c95d9e324a23b97f0609b539133b",
        "difficulty": "0xffffffffffffffffffffffffeda7455a", "number": "0x1", "gasLimit": "0x989680",
        "timestamp": "0x5bbba539", "extraData": "0xde830201018f5061726974792d457468657265756d86312e32392e30826c69",
        "step": 307_804_837,
        "signature": "0xc35e9f8ac05c69d8c36af2cb8b7bb3beda5945e8367fec758c459d32f9ddc183206bad888ebd7addaa6e3f00593100a6\
            28c5e86ca80ebe48d4fc831dd36f825d01",
    }))
}

fn read(value: &Value) -> RawHeader {
    serde_json::from_str(&value.to_string()).unwrap()
}

fn checked(value: &Value) -> Result<(), String> {
    hash(&read(value))
}

#[test]
fn hashes_real_headers_of_other_forms() {
    for value in [c_chain(), granite(), subnet(), gnosis()] {
        assert_eq!(checked(&value), Ok(()), "{value}");
        assert!(!is_ethereum_form(&read(&value)));
    }
    // Block 0 of Gnosis, with an empty seal.
    let genesis = header(json!({
        "hash": "0x4f1dd23188aab3a76b463e4af801b52b1248ef073c648cbdc4c9333d3da79756", "parentHash": zeros(32),
        "miner": zeros(20), "stateRoot": "0x40cf4430ecaa733787d1a65154a3b9efb560c95d9e324a23b97f0609b539133b",
        "difficulty": "0x20000", "number": "0x0", "gasLimit": "0x989680", "timestamp": "0x0", "step": "0",
        "signature": zeros(65),
    }));
    assert_eq!(checked(&genesis), Ok(()));
}

#[test]
fn hash_detects_changed_fields() {
    let numbers = |value: &Value| match value.as_u64() {
        Some(number) => json!(number + 1),
        None => json!("0x7"),
    };
    for (value, fields) in [
        (c_chain(), &["extDataHash", "stateRoot", "nonce"][..]),
        (
            granite(),
            &[
                "extDataHash",
                "baseFeePerGas",
                "extDataGasUsed",
                "blockGasCost",
                "blobGasUsed",
                "excessBlobGas",
                "parentBeaconBlockRoot",
                "timestampMilliseconds",
                "minDelayExcess",
            ],
        ),
        (
            subnet(),
            &["blockGasCost", "timestampMilliseconds", "mixHash"],
        ),
        (gnosis(), &["step", "signature", "miner", "difficulty"]),
    ] {
        for field in fields {
            let mut altered = value.clone();
            altered[*field] = match altered[*field].as_str() {
                Some(text) if text.len() > 40 => json!(format!("{}7", &text[..text.len() - 1])),
                _ => numbers(&altered[*field]),
            };
            assert_ne!(altered, value, "{field}");
            assert!(checked(&altered).is_err(), "{field}");
            altered[*field] = Value::Null;
            assert!(checked(&altered).is_err(), "no {field}");
        }
    }
}

#[test]
fn hash_rejects_uncovered_fields() {
    for value in [granite(), gnosis()] {
        for field in ["withdrawalsRoot", "requestsHash", "blockAccessListHash"] {
            let mut more = value.clone();
            more[field] = json!(EMPTY_TRIE);
            let error = checked(&more).unwrap_err();
            assert!(error.contains(field), "{error}");
        }
    }
    let mut more = gnosis();
    more["blobGasUsed"] = json!("0x0");
    assert!(checked(&more).unwrap_err().contains("blobGasUsed"));
}

#[test]
fn authority_round_seal_replaces_mix_hash_and_nonce() {
    let mut others = gnosis();
    let fields = others.as_object_mut().unwrap();
    // In the format of Erigon.
    let step = fields.remove("step").unwrap();
    fields.insert(
        "auraStep".to_owned(),
        json!(format!("{:#x}", step.as_u64().unwrap())),
    );
    let seal = fields.remove("signature").unwrap();
    fields.insert("auraSeal".to_owned(), seal);
    fields.insert("mixHash".to_owned(), json!(zeros(32)));
    fields.insert("nonce".to_owned(), json!(zeros(8)));
    for value in [gnosis(), others.clone()] {
        assert_eq!(checked(&value), Ok(()));
        let stored = header_of(read(&value));
        assert_eq!((stored.mix_hash, stored.nonce), (None, None));
    }
    // No hash covers another mix hash.
    others["mixHash"] = json!(EMPTY_TRIE);
    assert!(checked(&others).is_err());
}

/// Chains may use these names in headers of Ethereum's form.
#[test]
fn hash_decides_header_form() {
    let plain = header(json!({
        "hash": zeros(32), "parentHash": zeros(32), "miner": zeros(20), "stateRoot": zeros(32), "number": "0x1",
        "gasLimit": "0x1", "timestamp": "0x1", "mixHash": zeros(32), "nonce": zeros(8),
        "baseFeePerGas": "0x7",
    }));
    let hashed = encode::header(&read(&plain)).unwrap().hash_slow();
    for more in [
        json!({ "blockGasCost": "0x5" }),
        json!({ "extDataHash": EMPTY_TRIE, "withdrawalsRoot": null }),
        json!({ "step": "0x5", "signature": "0xabcd" }),
        json!({ "step": { "at": 5 }, "signature": [1, 2] }),
        json!({ "step": "five", "signature": "bGV0dGVycw==" }),
    ] {
        let mut value = plain.clone();
        value["hash"] = json!(hashed);
        for (key, field) in more.as_object().unwrap() {
            value[key] = field.clone();
        }
        assert_eq!(checked(&value), Ok(()), "{more}");
        value["gasLimit"] = json!("0x2");
        let error = checked(&value).unwrap_err();
        assert!(error.contains("its header hashes to"), "{more}: {error}");
    }
}
