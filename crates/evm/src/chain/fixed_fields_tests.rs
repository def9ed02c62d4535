use alloy::primitives::{B256, keccak256};
use serde_json::{Value, json};

use super::*;
use crate::chain::{
    BlockTarget, ChainConfig, ChecksConfig, Node, RawBlock, Senders, arbitrum, decode::decode,
    verify::verify,
};
use chaincast_base::Secret;
use chaincast_model::IndexedTransaction;
use chaincast_testkit::faulty_node::{BlockTree, Contents, FaultyNode};

const ALICE: &str = "0x1111111111111111111111111111111111111111";
const BOB: &str = "0x2222222222222222222222222222222222222222";

/// One transaction of each type, as Nitro nodes return it.
fn truth(kind: u8) -> Value {
    let own = match kind {
        DEPOSIT => json!({ "requestId": B256::repeat_byte(0xaa), "value": "0x7b", "to": BOB }),
        CONTRACT => json!({ "requestId": B256::repeat_byte(0xaa), "maxFeePerGas": "0x3039",
            "gas": "0xc350", "value": "0x1", "to": BOB, "input": "0xabcdef" }),
        SUBMIT_RETRYABLE => json!({ "requestId": B256::repeat_byte(0xaa), "l1BaseFee": "0x64",
            "depositValue": "0xc8", "maxFeePerGas": "0x12c", "gas": "0x61a80", "retryTo": BOB,
            "retryValue": "0x32", "beneficiary": ALICE, "maxSubmissionFee": "0x258",
            "refundTo": BOB, "retryData": "0x01020304", "to": RETRYABLE_ADDRESS }),
        _ => json!({ "from": ARBOS, "to": ARBOS, "input": "0x1122334455" }),
    };
    let mut tx = json!({ "type": kind, "hash": B256::ZERO, "chainId": "0xa4b1", "from": ALICE,
        "nonce": "0x0", "gas": "0x0", "gasPrice": "0x0", "value": "0x0", "input": "0x" });
    let fields = tx.as_object_mut().unwrap();
    fields.extend(own.as_object().unwrap().clone());
    if kind == SUBMIT_RETRYABLE {
        tx["input"] = json!(hex::encode_prefixed(submission_call(&read(&tx)).unwrap()));
    }
    tx
}

fn read(tx: &Value) -> RawTransaction {
    serde_json::from_value(tx.clone()).unwrap()
}

/// A block of one transaction, with matching roots.
async fn block_of(tx: &Value) -> RawBlock {
    let tree = BlockTree::new(31_337);
    tree.mine(&Contents::transfers(1, 1));
    let server = FaultyNode::from_tree(&tree).await.unwrap();
    let node = Node::new(&ChainConfig::of(31_337, Secret::new(server.http_url()))).unwrap();
    let mut block = node.raw_block(BlockTarget::Number(1)).await.unwrap();
    let mut tx = read(tx);
    let mut encoded = Vec::new();
    arbitrum::transaction(&tx, &mut encoded).unwrap();
    tx.hash = keccak256(&encoded);
    block.header.transactions_root = Some(alloy::consensus::proofs::ordered_trie_root_encoded(&[
        encoded,
    ]));
    block.receipts[0].transaction_hash = tx.hash;
    block.receipts[0].contract_address = None;
    block.transactions = vec![tx];
    block
}

/// The checks of transactions only.
fn checks() -> ChecksConfig {
    ChecksConfig {
        block_hash: false,
        receipts_root: false,
        logs_bloom: false,
        gas_used: false,
        senders: Senders::Off,
        ..ChecksConfig::default()
    }
}

fn stored(block: RawBlock) -> IndexedTransaction {
    let mut rows = decode(block, &checks()).unwrap();
    rows.transactions.remove(0)
}

#[tokio::test]
async fn rejects_wrong_fixed_fields() {
    let call = "submitRetryable(bytes32,uint256,uint256,uint256,uint256,uint64,uint256,address,address,address,bytes)";
    assert_eq!(keccak256(call)[..4], SUBMIT_SELECTOR);
    for (kind, alterations) in [
        (
            DEPOSIT,
            vec![("gas", "0x1"), ("nonce", "0x1"), ("input", "0x12")],
        ),
        (CONTRACT, vec![("nonce", "0x1")]),
        (
            SUBMIT_RETRYABLE,
            vec![
                ("nonce", "0x1"),
                ("value", "0x1"),
                ("to", BOB),
                ("input", "0x"),
            ],
        ),
        (
            INTERNAL,
            vec![
                ("gas", "0x1"),
                ("nonce", "0x1"),
                ("value", "0x1"),
                ("to", BOB),
                ("from", ALICE),
            ],
        ),
    ] {
        let truth = truth(kind);
        verify(&block_of(&truth).await, &checks()).unwrap();
        for (field, altered) in alterations {
            let mut tx = truth.clone();
            tx[field] = json!(altered);
            let error = verify(&block_of(&tx).await, &checks()).unwrap_err();
            assert_eq!(error.check, "transactions_root", "{kind:#x} {field}");
        }
        let mut created = block_of(&truth).await;
        created.receipts[0].contract_address = Some(ARBOS);
        let error = verify(&created, &checks()).unwrap_err();
        assert_eq!(error.check, "contract_address", "{kind:#x}");
    }
}

#[tokio::test]
async fn drops_fields_without_encoding() {
    let mut tx = truth(INTERNAL);
    for (field, altered) in [
        ("gasPrice", json!("0x7")),
        ("maxFeePerGas", json!("0x7")),
        ("maxPriorityFeePerGas", json!("0x7")),
        ("accessList", json!([{ "address": BOB, "storageKeys": [] }])),
    ] {
        tx[field] = altered;
    }
    let row = stored(block_of(&tx).await);
    assert_eq!((row.gas_price, row.effective_gas_price), (Some(0), 0));
    assert_eq!(
        (row.max_fee_per_gas, row.max_priority_fee_per_gas),
        (None, None)
    );
    assert_eq!(row.access_list, None);

    // The hash covers the fee, but not a tip.
    let mut tx = truth(CONTRACT);
    tx["maxPriorityFeePerGas"] = json!("0x7");
    let row = stored(block_of(&tx).await);
    assert_eq!(
        (row.max_fee_per_gas, row.max_priority_fee_per_gas),
        (Some(12_345), None)
    );
}

#[tokio::test]
async fn system_contract_follows_from_sender_and_nonce() {
    let mut tx = truth(CONTRACT);
    tx.as_object_mut().unwrap().remove("to");
    let by_rule = ALICE.parse::<Address>().unwrap().create(0);
    for (reported, kept) in [
        (Some(by_rule), Some(by_rule)),
        (Some(ARBOS), None),
        (None, None),
    ] {
        let mut block = block_of(&tx).await;
        block.receipts[0].contract_address = reported;
        verify(&block, &checks()).unwrap();
        assert_eq!(stored(block).contract_address, kept);
    }
}

#[tokio::test]
async fn foreign_type_keeps_fees() {
    // A sponsored transaction of Ronin and Viction.
    let mut block = block_of(&truth(DEPOSIT)).await;
    block.transactions[0] = read(
        &json!({ "type": DEPOSIT, "hash": B256::ZERO, "chainId": "0x7e4", "from": ALICE,
        "nonce": "0x5", "gas": "0x5208", "gasPrice": "0x9", "maxFeePerGas": "0x9",
        "maxPriorityFeePerGas": "0x2", "value": "0x0", "input": "0x", "to": BOB,
        "accessList": [{ "address": BOB, "storageKeys": [] }],
        "payer": BOB, "expiredTime": "0x0", "v": "0x1", "r": "0x1", "s": "0x1" }),
    );
    block.receipts[0].effective_gas_price = Some(9);
    let row = stored(block.clone());
    assert_eq!(
        (row.max_fee_per_gas, row.max_priority_fee_per_gas),
        (Some(9), Some(2))
    );
    assert_eq!(row.effective_gas_price, 9);
    assert!(row.access_list.is_some());

    // With a single price, and a created contract.
    let tx = &mut block.transactions[0];
    (tx.max_fee_per_gas, tx.to) = (None, None);
    let created = tx.from.create(6);
    block.receipts[0].contract_address = Some(created);
    let unproven = ChecksConfig {
        transactions_root: false,
        ..checks()
    };
    verify(&block, &unproven).unwrap();
    let row = stored(block);
    assert_eq!((row.gas_price, row.effective_gas_price), (Some(9), 9));
    assert_eq!(row.contract_address, Some(created));
}

#[tokio::test]
async fn oversized_ticket_price_is_dropped() {
    let wide = format!("0x8{}", "0".repeat(63));
    let mut tx = truth(SUBMIT_RETRYABLE);
    tx["gas"] = json!("0x0");
    tx["gasPrice"] = json!(wide);
    tx["maxFeePerGas"] = json!(wide);
    tx["input"] = json!(hex::encode_prefixed(submission_call(&read(&tx)).unwrap()));
    let block = block_of(&tx).await;
    verify(&block, &checks()).unwrap();
    let row = stored(block.clone());
    assert_eq!((row.gas_price, row.max_fee_per_gas), (None, None));

    // The hash covers the whole price.
    let mut other = block.clone();
    let price = &mut other.transactions[0].max_fee_per_gas;
    *price = price.map(|price| price >> 1);
    let error = verify(&other, &checks()).unwrap_err();
    assert_eq!(error.check, "transactions_root");

    // No account can pay that much.
    let mut signed = block;
    signed.transactions[0].ty = Some(0x7d);
    let reason = decode(signed, &checks()).unwrap_err();
    assert!(reason.contains("a price of transaction 0"), "{reason}");
}
