//! Blocks in the JSON forms of many nodes: each passes all checks.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::*;
use crate::chain::{
    ChecksConfig, Senders,
    verify::{settle_outcomes, verify},
};
use chaincast_testkit::faulty_node::{BlockTree, Contents};

/// A block with two transactions, and its receipts, in the JSON of a node.
fn truth() -> (Value, Value) {
    let tree = BlockTree::new(31_337);
    let at = tree.mine(&Contents::transfers(2, 7));
    let block = tree.block(at.hash).unwrap();
    (json!(block.block), json!(block.receipts))
}

fn proven(block: &Value, receipts: &Value) -> Result<RawBlock, String> {
    let header: RawHeader =
        serde_json::from_str(&block.to_string()).map_err(|error| error.to_string())?;
    let receipts: Vec<RawReceipt> =
        serde_json::from_str(&receipts.to_string()).map_err(|error| error.to_string())?;
    let mut block = RawBlock::new(header, receipts);
    settle_outcomes(&mut block);
    let checks = ChecksConfig {
        senders: Senders::Always,
        ..Default::default()
    };
    verify(&block, &checks).map_err(|error| error.to_string())?;
    Ok(block)
}

/// Pointers to every quantity of an object.
fn quantities(at: &str, value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                quantities(&format!("{at}/{key}"), value, found);
            }
        }
        Value::Array(items) => {
            for (index, value) in items.iter().enumerate() {
                quantities(&format!("{at}/{index}"), value, found);
            }
        }
        // Hashes, addresses and bytes have an even number of digits, and most of them are long.
        Value::String(text) => {
            let digits = text.strip_prefix("0x").unwrap_or(text);
            let key = at.rsplit('/').next().unwrap_or_default();
            let is_bytes = ["input", "data", "extraData"].contains(&key) || digits.len() >= 40;
            if (!is_bytes || ["r", "s"].contains(&key)) && !digits.is_empty() {
                found.push(at.to_owned());
            }
        }
        _ => {}
    }
}

fn forms(text: &str) -> Vec<Value> {
    let digits = text.trim_start_matches("0x");
    let mut all = vec![
        json!(format!("0x000{digits}")),
        json!(format!("0X{}", digits.to_uppercase())),
        json!(U256::from_str_radix(digits, 16).unwrap().to_string()),
    ];
    if let Ok(number) = u64::from_str_radix(digits, 16) {
        all.push(json!(number));
    }
    if digits == "1" {
        all.push(json!(true));
    }
    all
}

#[test]
fn verifies_blocks_with_every_quantity_form() {
    let (block, receipts) = truth();
    proven(&block, &receipts).unwrap();
    let mut tried = BTreeSet::new();
    for in_receipts in [false, true] {
        let whole = if in_receipts { &receipts } else { &block };
        let mut found = Vec::new();
        quantities("", whole, &mut found);
        for at in found {
            let text = whole.pointer(&at).unwrap().as_str().unwrap().to_owned();
            for form in forms(&text) {
                let mut odd = whole.clone();
                *odd.pointer_mut(&at).unwrap() = form.clone();
                let done = match in_receipts {
                    true => proven(&block, &odd),
                    false => proven(&odd, &receipts),
                };
                done.unwrap_or_else(|error| panic!("{at} as {form}: {error}"));
            }
            tried.insert(at.rsplit('/').next().unwrap().to_owned());
        }
    }
    for field in [
        "gas",
        "nonce",
        "v",
        "r",
        "s",
        "status",
        "cumulativeGasUsed",
        "timestamp",
        "type",
    ] {
        assert!(tried.contains(field), "{field} was not tried: {tried:?}");
    }
}

#[test]
fn verifies_blocks_with_null_lists_and_empty_addresses() {
    let (block, receipts) = truth();
    for to in [json!(null), json!(""), json!("0x"), json!("0x0")] {
        let mut odd = receipts.clone();
        odd[0]["contractAddress"] = to.clone();
        proven(&block, &odd).unwrap_or_else(|error| panic!("contractAddress {to}: {error}"));
        let mut odd = receipts.clone();
        odd[1]["root"] = if to == "0x0" { json!(null) } else { to };
        proven(&block, &odd).unwrap();
    }
    let mut odd = receipts.clone();
    odd[0]["contractAddress"] = json!(Address::ZERO);
    proven(&block, &odd).unwrap();
    let mut odd = block.clone();
    for tx in odd["transactions"].as_array_mut().unwrap() {
        let tx = tx.as_object_mut().unwrap();
        for list in ["accessList", "blobVersionedHashes", "authorizationList"] {
            tx.insert(list.to_owned(), Value::Null);
        }
        let input = tx.remove("input").unwrap();
        tx.insert("data".to_owned(), input);
    }
    odd["nonce"] = json!("0x0");
    proven(&odd, &receipts).unwrap();
    // With both names of the input.
    for tx in odd["transactions"].as_array_mut().unwrap() {
        let input = tx["data"].clone();
        tx["input"] = input;
    }
    proven(&odd, &receipts).unwrap();

    let tree = BlockTree::new(31_337);
    let empty = tree.mine(&Contents::empty(1));
    let mut block = json!(tree.block(empty.hash).unwrap().block);
    block["transactions"] = Value::Null;
    proven(&block, &json!([])).unwrap();
    let no_logs = json!({ "transactionHash": "0x1", "blockHash": "0x2", "cumulativeGasUsed": "0x0",
        "gasUsed": "0x0", "status": true, "logs": null });
    let receipt: RawReceipt = serde_json::from_value(no_logs).unwrap();
    assert!(receipt.logs.is_empty() && receipt.status == Some(1));
}

#[test]
fn verifies_nested_signatures_and_omitted_types() {
    let (block, receipts) = truth();
    let mut odd = block.clone();
    for tx in odd["transactions"].as_array_mut().unwrap() {
        let tx = tx.as_object_mut().unwrap();
        let mut signature = json!({});
        for key in ["r", "s", "v", "yParity"] {
            if let Some(part) = tx.remove(key) {
                signature[key] = part;
            }
        }
        tx.insert("signature".to_owned(), signature);
        tx.remove("type");
    }
    proven(&odd, &receipts).unwrap();
    let mut untyped = receipts;
    for receipt in untyped.as_array_mut().unwrap() {
        receipt.as_object_mut().unwrap().remove("type");
    }
    proven(&odd, &untyped).unwrap();
    // A signature of another form does not reject a transaction.
    let mut text = block;
    text["transactions"][0]["signature"] = json!("0x1234");
    proven(&text, &untyped).unwrap();
}

#[test]
fn receipts_root_decides_between_status_and_root() {
    let (block, receipts) = truth();
    // After Byzantium with a root that nothing covers.
    let mut made_up = receipts.clone();
    for receipt in made_up.as_array_mut().unwrap() {
        receipt["root"] = json!(B256::repeat_byte(9));
    }
    let status_block = proven(&block, &made_up).unwrap();
    assert_eq!(status_block.receipts[0].status, Some(1));

    // Before it: the root is hashed, and the node invented the status.
    let mut roots: Vec<RawReceipt> = serde_json::from_value(receipts).unwrap();
    let header: RawHeader = serde_json::from_value(block).unwrap();
    let mut old = RawBlock::new(header, Vec::new());
    for (receipt, byte) in roots.iter_mut().zip(1..) {
        receipt.status = None;
        receipt.root = Some(B256::repeat_byte(byte));
    }
    let root_of = |receipts: &[RawReceipt]| {
        let encoded: Vec<Vec<u8>> = receipts
            .iter()
            .map(|one| {
                let mut bytes = Vec::new();
                let bloom = crate::chain::bloom::bloom_of(&one.logs);
                crate::chain::encode::receipt(one, 0, &bloom, &mut bytes).unwrap();
                bytes
            })
            .collect();
        alloy::consensus::proofs::ordered_trie_root_encoded(&encoded)
    };
    old.header.receipts_root = Some(root_of(&roots));
    old.receipts = roots;
    for receipt in &mut old.receipts {
        receipt.status = Some(0);
    }
    settle_outcomes(&mut old);
    assert!(
        old.receipts
            .iter()
            .all(|one| one.status.is_none() && one.root.is_some())
    );
}

#[test]
fn missing_field_fails_only_its_check() {
    let (block, receipts) = truth();
    let all_off = ChecksConfig {
        block_hash: false,
        transactions_root: false,
        receipts_root: false,
        logs_bloom: false,
        derived: false,
        senders: Senders::Off,
        ..Default::default()
    };
    for (field, check) in [
        ("mixHash", "block_hash"),
        ("nonce", "block_hash"),
        ("sha3Uncles", "block_hash"),
        ("miner", "block_hash"),
        ("stateRoot", "block_hash"),
        ("transactionsRoot", "transactions_root"),
        ("receiptsRoot", "receipts_root"),
        ("logsBloom", "logs_bloom"),
    ] {
        let mut odd = block.clone();
        odd.as_object_mut().unwrap().remove(field);
        let header: RawHeader = serde_json::from_value(odd).unwrap();
        let receipts: Vec<RawReceipt> = serde_json::from_value(receipts.clone()).unwrap();
        let read = RawBlock::new(header, receipts);
        verify(&read, &all_off).unwrap();
        let mut one = all_off;
        match check {
            "block_hash" => one.block_hash = true,
            "transactions_root" => one.transactions_root = true,
            "receipts_root" => one.receipts_root = true,
            _ => one.logs_bloom = true,
        }
        let error = verify(&read, &one).unwrap_err();
        assert_eq!(error.check, check);
        let text = error.to_string();
        assert!(
            text.contains(field) && text.contains(&format!("set chains.checks.{check} = false")),
            "{text}"
        );
    }
}
