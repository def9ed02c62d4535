//! OP-stack deposits against real chains and the software of such chains.

use alloy::primitives::{Address, B256, Bloom, address, b256, hex, keccak256};
use serde_json::{Value, json};

use super::*;
use crate::chain::{ChecksConfig, RawBlock, Senders, decode::decode, verify::verify};

fn read_tx(transaction: Value) -> RawTransaction {
    serde_json::from_value(transaction).unwrap()
}

fn encoded(transaction: &RawTransaction) -> Vec<u8> {
    let mut bytes = Vec::new();
    deposit(transaction, &mut bytes).unwrap();
    bytes
}

#[test]
fn hashes_real_deposit() {
    // The first transaction of Base's block 0x31bde9f, as its node returns it.
    let tx = read_tx(json!({
        "blockHash": "0x64d3010c7c0709e760500250dc4177f2479571a79fdcfc48eb73cda64c7332bd",
        "blockNumber": "0x31bde9f",
        "depositReceiptVersion": "0x1",
        "from": "0xdeaddeaddeaddeaddeaddeaddeaddeaddead0001",
        "gas": "0xf4240",
        "gasPrice": "0x0",
        "hash": "0x233ace96f255608781596edfe1520000bd25b69b122cc101be3abb6689a85322",
        "input": "0x3db6be2b000008dd00101c120000000000000005000000006ac2196700000000018e8792000000000000000000000000000000000000000000000000000000000be3256b00000000000000000000000000000000000000000000000000000000008b9262ae74035a834ae8863310574c2213838e9de36478c4f8c048cf3ea5d3ffcec4010000000000000000000000005050f69a9786f081509234f1a7f4684b5e5b76c90000000000000000000000000094",
        "mint": "0x0",
        "nonce": "0x31bdea2",
        "r": "0x0",
        "s": "0x0",
        "sourceHash": "0x391329aebfee79dbb200b510b04d8795c891055a887433c20a7392b77b0f2fec",
        "to": "0x4200000000000000000000000000000000000015",
        "transactionIndex": "0x0",
        "type": "0x7e",
        "v": "0x0",
        "value": "0x0",
        "yParity": "0x0",
    }));
    assert_eq!(keccak256(encoded(&tx)), tx.hash);
}

#[test]
fn deposit_encoding_equals_op_alloy() {
    // From the tests of op-alloy.
    let expected = hex!(
        "7ef9015aa044bae9d41b8380d781187b426c6fe43df5fb2fb57bd4466ef6a701e1f01e015694deaddeaddeaddeaddeaddeaddeaddeaddead000194420000000000000000000000000000000000001580808408f0d18001b90104015d8eb900000000000000000000000000000000000000000000000000000000008057650000000000000000000000000000000000000000000000000000000063d96d10000000000000000000000000000000000000000000000000000000000009f35273d89754a1e0387b89520d989d3be9c37c1f32495a88faf1ea05c61121ab0d1900000000000000000000000000000000000000000000000000000000000000010000000000000000000000002d679b567db6187c0c8323fa982cfb88b74dbcc7000000000000000000000000000000000000000000000000000000000000083400000000000000000000000000000000000000000000000000000000000f4240"
    );
    // The input is its last 260 bytes.
    let input = hex::encode_prefixed(&expected[expected.len() - 260..]);
    let transaction = json!({
        "type": "0x7e",
        "hash": B256::ZERO,
        "sourceHash": b256!("44bae9d41b8380d781187b426c6fe43df5fb2fb57bd4466ef6a701e1f01e0156"),
        "from": address!("deaddeaddeaddeaddeaddeaddeaddeaddead0001"),
        "to": address!("4200000000000000000000000000000000000015"),
        "gas": "0x8f0d180",
        "nonce": "0x0",
        "isSystemTx": true,
        "value": "0x0",
        "input": input,
    });
    assert_eq!(encoded(&read_tx(transaction.clone())), expected);

    // A missing field is not invented.
    let mut lacking = transaction;
    lacking.as_object_mut().unwrap().remove("sourceHash");
    let mut bytes = Vec::new();
    assert!(deposit(&read_tx(lacking), &mut bytes).is_none() && bytes.is_empty());
}

#[test]
fn deposit_receipt_nonce_needs_version() {
    let versioned = json!({
        "type": "0x7e",
        "transactionHash": B256::ZERO,
        "blockHash": B256::ZERO,
        "status": "0x1",
        "cumulativeGasUsed": "0xb741",
        "gasUsed": "0xb741",
        "logs": [],
        "depositNonce": "0x3d3bbf",
        "depositReceiptVersion": "0x1",
    });
    let encode = |value: Value| {
        let mut bytes = Vec::new();
        let raw: RawReceipt = serde_json::from_value(value).unwrap();
        receipt(&raw, DEPOSIT, &Bloom::ZERO, &mut bytes).unwrap();
        hex::encode(bytes)
    };
    let bloom = "00".repeat(256);
    // Since Canyon.
    assert_eq!(
        encode(versioned.clone()),
        format!("7ef9010d0182b741b90100{bloom}c0833d3bbf01")
    );
    // Between Regolith and Canyon no root covers the nonce.
    let mut before = versioned;
    before
        .as_object_mut()
        .unwrap()
        .remove("depositReceiptVersion");
    assert_eq!(encode(before), format!("7ef901080182b741b90100{bloom}c0"));
}

#[test]
fn verify_checks_deposits() {
    // Made by anvil --network optimism.
    let zeros = format!("0x{}", "00".repeat(256));
    let block = json!({
        "hash": "0x23e9b1ccd21dfd0bbffe271346be2159ed0a17a3a9eb69f3388b9ce19c88328e",
        "parentHash": "0x70a33a61cfb217870b45226fdf93d68dfd224c46e927f781d9dcf8c1168460df",
        "sha3Uncles": "0x1dcc4de8dec75d7aab85b567b6ccd41ad312451b948a7413f0a142fd40d49347",
        "miner": "0x0000000000000000000000000000000000000000",
        "stateRoot": "0x56c905d78bec9d253bffadb590c7fe88132a358305909592b47116356410db16",
        "transactionsRoot": "0x3b7caa08a53d0055ea6378e36a9bce8998173f4c23f5058e35dd7861f27ffa73",
        "receiptsRoot": "0xdbfba0cf1914b3c1e4a90affb3805a438411c3a55a04b59f649ae1cf4c487a79",
        "logsBloom": zeros,
        "difficulty": "0x0",
        "number": "0x1",
        "gasLimit": "0x1c9c380",
        "gasUsed": "0x5208",
        "timestamp": "0x6b01b408",
        "extraData": "0x",
        "mixHash": "0xb6e3e83c55adcf4f033c701a9f2a342017397e206865b7fac3a07a8a7292ca73",
        "nonce": "0x0000000000000000",
        "baseFeePerGas": "0x3b9aca00",
        "withdrawalsRoot": "0x56e81f171bcc55a6ff8345e692c0f86e5b48e01b996cadc001622fb5e363b421",
        "blobGasUsed": "0x0",
        "excessBlobGas": "0x0",
        "parentBeaconBlockRoot": "0x0000000000000000000000000000000000000000000000000000000000000000",
        "requestsHash": "0xe3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "size": "0x2c2",
        "transactions": [{
            "hash": "0x8a9abb304a9641365f42cbfaa1d9136f236efdfef1782543f171eba3eaa0357e",
            "type": "0x7e",
            "from": "0xf39fd6e51aad88f6f4ce6ab8827279cfffb92266",
            "gas": "0x186a0",
            "input": "0x",
            "mint": "0xa",
            "nonce": "0x0",
            "r": "0x0000000000000000000000000000000000000000000000000000000000000000",
            "s": "0x0000000000000000000000000000000000000000000000000000000000000000",
            "sourceHash": "0x391329aebfee79dbb200b510b04d8795c891055a887433c20a7392b77b0f2fec",
            "to": "0x70997970c51812dc3a010c7d01b50e0d17dc79c8",
            "v": "0x0",
            "value": "0x5",
        }],
    });
    let receipts = json!([{
        "type": "0x7E",
        "status": "0x1",
        "cumulativeGasUsed": "0x5208",
        "logs": [],
        "depositNonce": "0x1",
        "depositReceiptVersion": "0x1",
        "transactionHash": "0x8a9abb304a9641365f42cbfaa1d9136f236efdfef1782543f171eba3eaa0357e",
        "blockHash": "0x23e9b1ccd21dfd0bbffe271346be2159ed0a17a3a9eb69f3388b9ce19c88328e",
        "gasUsed": "0x5208",
        "effectiveGasPrice": "0x0",
        "contractAddress": null,
    }]);
    let truth = RawBlock::new(
        serde_json::from_value(block).unwrap(),
        serde_json::from_value(receipts).unwrap(),
    );
    let checks = ChecksConfig {
        senders: Senders::Always,
        ..ChecksConfig::default()
    };
    verify(&truth, &checks).unwrap();

    let failing = |alter: fn(&mut RawBlock)| {
        let mut block = truth.clone();
        alter(&mut block);
        verify(&block, &checks).unwrap_err().check
    };
    let root = "transactions_root";
    assert_eq!(
        failing(|block| block.transactions[0].from = Default::default()),
        root
    );
    assert_eq!(failing(|block| block.transactions[0].mint = None), root);
    assert_eq!(
        failing(|block| block.transactions[0].is_system_tx = Some(true)),
        root
    );
    assert_eq!(
        failing(|block| block.receipts[0].deposit_nonce = Some(2)),
        "receipts_root"
    );
    assert_eq!(
        failing(|block| block.receipts[0].deposit_receipt_version = None),
        "receipts_root"
    );
    // No hash covers the nonce: the stored one is the receipt's, which a root covers.
    let mut other = truth.clone();
    other.transactions[0].nonce = 77;
    verify(&other, &checks).unwrap();
    let rows = decode(other, &checks).unwrap();
    assert_eq!(rows.transactions[0].nonce, 1);
    assert_eq!(
        failing(|block| block.receipts[0].contract_address = Some(Default::default())),
        "contract_address"
    );
    // A creation: the contract follows from the receipt's nonce.
    let creating = |reported: Option<Address>, nonce: Option<u64>| -> Result<_, &str> {
        let mut block = truth.clone();
        block.transactions[0].to = None;
        block.receipts[0].contract_address = reported;
        block.receipts[0].deposit_nonce = nonce;
        let only = ChecksConfig {
            block_hash: false,
            transactions_root: false,
            receipts_root: false,
            logs_bloom: false,
            senders: Senders::Off,
            ..ChecksConfig::default()
        };
        verify(&block, &only).map_err(|error| error.check)?;
        Ok(decode(block, &only).unwrap().transactions[0].contract_address)
    };
    let by_rule = truth.transactions[0].from.create(1);
    assert_eq!(creating(Some(by_rule), Some(1)), Ok(Some(by_rule)));
    assert_eq!(creating(None, Some(1)), Ok(Some(by_rule)));
    // op-reth shows the contract of nonce 0.
    let of_nonce_0 = truth.transactions[0].from.create(0);
    assert_eq!(creating(Some(of_nonce_0), Some(1)), Ok(Some(by_rule)));
    assert_eq!(creating(Some(by_rule), None), Ok(None), "before Regolith");

    // An unknown type cannot be hashed: the error names the check to disable.
    let mut unknown = truth.clone();
    unknown.transactions[0].ty = Some(0x7d);
    let error = verify(&unknown, &checks).unwrap_err().to_string();
    assert!(
        error.contains("type 125") && error.contains("chains.checks.transactions_root = false"),
        "{error}"
    );
}
