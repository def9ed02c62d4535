use serde_json::{Value, json};

use super::*;
use crate::chain::{
    answer::{Answer, Outcome},
    wire::{RawHeader, RawReceipt},
};
use chaincast_testkit::faulty_node::{BlockTree, Contents};

/// A block with two transactions, and its receipts.
fn block() -> (Value, Value) {
    let tree = BlockTree::new(31_337);
    let at = tree.mine(&Contents::transfers(2, 7));
    let block = tree.block(at.hash).unwrap();
    (json!(block.block), json!(block.receipts))
}

fn header(result: Value) -> Result<RawHeader, String> {
    let answer: Answer<RawHeader> = read(&json!({ "id": 1, "result": result }).to_string())?;
    match answer.outcome() {
        Outcome::Result(Some(header)) => Ok(header),
        _ => Err("no result".to_owned()),
    }
}

#[test]
fn error_names_block_path_and_value() {
    let (block, receipts) = block();
    let hash = block["hash"].as_str().unwrap().to_owned();
    let error_at = |at: &str, to: Value| {
        let mut block = block.clone();
        *block.pointer_mut(at).unwrap() = to;
        header(block).unwrap_err()
    };
    let error = error_at("/transactions/1/gas", json!("0xzz"));
    assert_eq!(
        error,
        format!(
            "block 1 {hash}: `transactions[1].gas` is \"0xzz\", not a quantity such as \"0x1b4\" that fits its field"
        )
    );
    let error = error_at("/timestamp", json!(null));
    assert!(
        error.contains("`timestamp` is null, not a quantity"),
        "{error}"
    );
    let error = error_at("/transactions/0", json!(hash));
    assert!(
        error.contains("`transactions[0]`: invalid type: string"),
        "{error}"
    );
    assert!(error.contains("a whole transaction"), "{error}");

    let mut lacking = block.clone();
    lacking["transactions"][1]
        .as_object_mut()
        .unwrap()
        .remove("gas");
    let error = header(lacking).unwrap_err();
    assert_eq!(
        error,
        format!("block 1 {hash}: `transactions[1].gas` is missing")
    );

    let mut receipts = receipts;
    receipts[1]["logs"][0]["topics"][2] = json!("0xzz");
    let text = json!({ "result": receipts }).to_string();
    let error = read::<Answer<Vec<RawReceipt>>>(&text).err().unwrap();
    assert_eq!(
        error,
        format!(
            "block 1 {hash}: `[1].logs[0].topics[2]` is \"0xzz\", not a hash of 32 bytes in hex"
        )
    );
}

#[test]
fn error_reports_incomplete_json() {
    let error = read::<Answer<u64>>(r#"{"result":"#).err().unwrap();
    assert!(error.starts_with("incomplete or invalid JSON"), "{error}");
}

#[test]
fn takes_last_of_duplicate_keys() {
    let (block, _) = block();
    let text = json!({ "result": block }).to_string();
    let twice = text.replacen("\"gasLimit\":", "\"gasLimit\":\"0x1\",\"gasLimit\":", 1);
    assert_ne!(text, twice);
    let answer: Answer<RawHeader> = read(&twice).unwrap();
    assert!(matches!(
        answer.outcome(),
        Outcome::Result(Some(header)) if header.gas_limit > 1
    ));
}

#[test]
fn skips_unreadable_check_fields() {
    let (block, _) = block();
    for (at, to) in [
        ("/mixHash", json!("0xzz")),
        ("/nonce", json!({ "a": 1 })),
        ("/logsBloom", json!([1])),
        ("/sha3Uncles", json!("zz")),
        ("/transactions/1/v", json!("zz")),
        ("/transactions/0/r", json!({})),
        ("/transactions/1/accessList", json!([{ "address": "zz" }])),
    ] {
        let mut odd = block.clone();
        match odd.pointer_mut(at) {
            Some(place) => *place = to,
            None => odd["transactions"][1]["accessList"] = to,
        }
        let header = header(odd).unwrap_or_else(|error| panic!("{at}: {error}"));
        assert_eq!(header.transactions.len(), 2);
        let [unread] = header.unread.as_slice() else {
            panic!("{at}: {:?}", header.unread);
        };
        let field = at.trim_start_matches('/').split('/').next_back().unwrap();
        assert!(unread.contains(field), "{at}: {unread}");
    }
    assert!(header(block).unwrap().unread.is_empty());
}

#[test]
fn node_cannot_set_skipped_fields() {
    let (mut block, _) = block();
    block["\0unread"] = json!(["x".repeat(1 << 20)]);
    block["unread"] = json!(["x"]);
    let read = header(block.clone()).unwrap();
    assert!(read.unread.is_empty());
    // Skipped fields belong to one header only.
    for key in [
        "mixHash",
        "stateRoot",
        "receiptsRoot",
        "withdrawalsRoot",
        "requestsHash",
    ] {
        block[key] = json!("zz");
    }
    let read = header(block).unwrap();
    assert_eq!(read.unread.len(), 5);
    let reason = read.with_unread("wrong".to_owned());
    assert!(reason.ends_with("; and 1 more fields"), "{reason}");
    assert!(reason.len() < 1_000, "{reason}");
    let (block, _) = self::block();
    assert!(header(block).unwrap().unread.is_empty());
}
