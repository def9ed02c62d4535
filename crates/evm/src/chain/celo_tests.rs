//! Two real CIP-64 transactions, one of Celo mainnet with fees in a token and one of its test network Baklava, and a
//! block made of them, whose roots and hash were computed independently.

use serde_json::{Value, json};

use super::*;
use crate::chain::{ChecksConfig, RawBlock, Senders, decode::decode, verify::verify};

const HASH: &str = "0x6ab7b0812b0fec42f251f69a5a949a5d3d55af1e848e79f362116de1aa3e0391";

fn pays_in_token() -> Value {
    json!({
        "hash": "0x2499b178a0e54fb856354bb53c9cb0fe2d1f70b2e6c876f6470e7a6e5090f3ac",
        "type": "0x7b", "chainId": "0xa4ec", "nonce": "0x705", "gas": "0x3644c", "gasPrice": "0x1ae0426f1",
        "maxFeePerGas": "0x26442dbed", "maxPriorityFeePerGas": "0x4d7ee",
        "from": "0xefe945ee33ce4ab037ff4d1e1384d0efcd95f37b",
        "to": "0x7a1e295c4babdf229776680c93ed0f73d069abc0", "value": "0x0", "accessList": [],
        "input": "0xcac35c7a290decd9548b62a8d60345a988386fc84ba6bc95484008f6362f93160ef3e563",
        "feeCurrency": "0x2f25deb3848c207fc8e0c34035b3ba7fc157602b",
        "v": "0x0", "yParity": "0x0",
        "r": "0xaa0cfaa3df893578b3504062b862428f0e4a94046370cf2a4fd6c392c0760dd8",
        "s": "0x1337d022bbb8faed78a9707e6c38d51f575816e7f85aa540f3d37a9081c58a71",
    })
}

fn pays_in_coin() -> Value {
    json!({
        "hash": "0xb7ae6b434382473c8beaba396d0bb119be1738d2ec1381e58be7cf45c65312bf",
        "type": "0x7b", "chainId": "0xf370", "nonce": "0x2", "gas": "0x186a0", "gasPrice": "0x5d22cfc40",
        "maxFeePerGas": "0x6fc23ac00", "maxPriorityFeePerGas": "0xf4240",
        "from": "0x52bcbd8bf68ee24a15adcd05951a49ae6c168a14",
        "to": "0xfb968b52d25549ec2dd26a9f650a0a0f135a4358", "value": "0x0", "accessList": [], "input": "0x",
        "v": "0x1", "yParity": "0x1",
        "r": "0x73220f0dbf123a982c75f006d76c6949e75a2bf89255432e2bf2c5016c37d0f3",
        "s": "0x1c69a201f1c24233c4a0fe8539073a7b4d3b370a25b8c00d2cf8e93a3694b9b7",
    })
}

fn receipt(tx: &Value, used: u64, sum: u64, base_fee: &str) -> Value {
    json!({
        "transactionHash": tx["hash"], "blockHash": HASH, "type": "0x7b", "status": "0x1", "logs": [],
        "gasUsed": format!("{used:#x}"), "cumulativeGasUsed": format!("{sum:#x}"),
        "effectiveGasPrice": tx["gasPrice"], "baseFee": base_fee, "contractAddress": null,
    })
}

fn block() -> RawBlock {
    let txs = [pays_in_token(), pays_in_coin()];
    let word = |byte: &str| format!("0x{}", byte.repeat(32));
    let header = json!({
        "hash": HASH, "parentHash": word("11"), "stateRoot": word("22"), "mixHash": word("33"),
        "sha3Uncles": "0x1dcc4de8dec75d7aab85b567b6ccd41ad312451b948a7413f0a142fd40d49347",
        "miner": "0x4200000000000000000000000000000000000011",
        "transactionsRoot": "0x5b3326cbd33d86134a27db97f0c71c72a0625dead6200c0b807a2c3e4424ea1b",
        "receiptsRoot": "0xb211792f06c761cb2158c05aeb1edb29697db16ebe03c22a14b390d3617725b0",
        "logsBloom": format!("0x{}", "00".repeat(256)), "difficulty": "0x0", "number": "0x1ef4fb5",
        "gasLimit": "0x1c9c380", "gasUsed": "0x30663", "timestamp": "0x67e3a55b", "extraData": "0x",
        "nonce": "0x0000000000000000", "baseFeePerGas": "0x5d21dba00", "transactions": txs,
    });
    let receipts = [
        receipt(&txs[0], 0x2b45b, 0x2b45b, "0x1adff4f03"),
        receipt(&txs[1], 0x5208, 0x30663, "0x5d21dba00"),
    ];
    RawBlock::new(
        serde_json::from_value(header).unwrap(),
        serde_json::from_value(json!(receipts)).unwrap(),
    )
}

fn all() -> ChecksConfig {
    ChecksConfig {
        senders: Senders::Always,
        ..ChecksConfig::default()
    }
}

fn failing(alter: impl Fn(&mut RawBlock)) -> &'static str {
    let mut block = block();
    alter(&mut block);
    verify(&block, &all()).unwrap_err().check
}

#[test]
fn hashes_real_transactions() {
    for tx in [pays_in_token(), pays_in_coin()] {
        let raw: RawTransaction = serde_json::from_value(tx).unwrap();
        let mut encoded = Vec::new();
        transaction(&raw, &mut encoded).unwrap();
        assert_eq!(keccak256(encoded), raw.hash);
    }
}

#[test]
fn cip64_block_passes_every_check() {
    verify(&block(), &all()).unwrap();
    let rows = decode(block(), &all()).unwrap();
    assert!(rows.header.size_proved && rows.header.size.is_some());
    assert_eq!(rows.transactions[0].effective_gas_price, 0x1_ae04_26f1);
    // A missing price follows from the base fee in the token, which is in the receipt.
    let mut without = block();
    without.receipts[0].effective_gas_price = None;
    let rows = decode(without, &all()).unwrap();
    assert_eq!(rows.transactions[0].effective_gas_price, 0x1_ae04_26f1);
}

#[test]
fn altered_cip64_fails_its_check() {
    let root = "transactions_root";
    assert_eq!(
        failing(|block| block.transactions[0].fee_currency = None),
        root
    );
    assert_eq!(failing(|block| block.transactions[0].nonce += 1), root);
    assert_eq!(failing(|block| block.transactions[1].r = None), root);
    assert_eq!(
        failing(|block| block.transactions[0].from = block.transactions[1].from),
        "senders"
    );
    let root = "receipts_root";
    assert_eq!(failing(|block| block.receipts[0].base_fee = Some(1)), root);
    assert_eq!(failing(|block| block.receipts[1].base_fee = None), root);
    assert_eq!(
        failing(|block| block.receipts[0].effective_gas_price = Some(1)),
        "gas_price"
    );
    assert_eq!(
        failing(|block| block.receipts[0].contract_address = Some(block.transactions[0].from)),
        "contract_address"
    );
    // Without a root the sender is not trusted either.
    let mut block = block();
    block.transactions[0].chain_id = None;
    let checks = ChecksConfig {
        transactions_root: false,
        ..all()
    };
    let error = verify(&block, &checks).unwrap_err();
    assert_eq!(error.check, "senders");
    assert!(error.reason.contains("lacks a field"), "{error}");
}

/// The signed bytes of two transactions, from the tests of another CIP-42 encoder.
#[test]
fn cip42_has_its_own_field_order() {
    let address = |text: &str| Some(format!("0x{text}"));
    let fields = |chain: &str, nonce: &str, gas: &str, gateway_fee: Option<&str>| {
        json!({
            "hash": format!("0x{}", "00".repeat(32)), "from": format!("0x{}", "00".repeat(20)), "type": "0x7c",
            "chainId": chain, "nonce": nonce, "maxPriorityFeePerGas": "0x77359400", "maxFeePerGas": "0x77359400",
            "gas": gas, "value": "0xde0b6b3a7640000", "input": "0x", "gatewayFee": gateway_fee,
        })
    };
    let mut in_token = fields("0xa4ec", "0x0", "0x0", None);
    in_token["feeCurrency"] = json!(address("765de816845861e75a25fca122bb6898b8b1282a"));
    in_token["to"] = json!(address("f39fd6e51aad88f6f4ce6ab8827279cfffb92266"));
    let mut by_gateway = fields("0xa51e", "0x311", "0x5209", Some("0x16345785d8a0000"));
    by_gateway["gatewayFeeRecipient"] = json!(address("70997970c51812dc3a010c7d01b50e0d17dc79c8"));
    by_gateway["to"] = json!(address("90f79bf6eb2c4f870365e785982e1f101e93b906"));
    for (tx, expected) in [
        (
            in_token,
            "7cf84682a4ec80847735940084773594008094765de816845861e75a25fca122bb6898b8b1282a808094f39fd6e51aad88f6f4ce6a\
             b8827279cfffb92266880de0b6b3a764000080c0",
        ),
        (
            by_gateway,
            "7cf85282a51e82031184773594008477359400825209809470997970c51812dc3a010c7d01b50e0d17dc79c888016345785d8a0000\
             9490f79bf6eb2c4f870365e785982e1f101e93b906880de0b6b3a764000080c0",
        ),
    ] {
        let tx: RawTransaction = serde_json::from_value(tx).unwrap();
        let mut unsigned = Vec::new();
        put(&tx, None, &mut unsigned).unwrap();
        assert_eq!(alloy::hex::encode(unsigned), expected);
        assert!(signed(&tx).is_err(), "it has no signature");
    }
}

#[test]
fn foreign_values_of_celo_fields_are_ignored() {
    let mut tx = pays_in_coin();
    tx["type"] = json!("0x2");
    tx["feeCurrency"] = json!({ "symbol": "cUSD" });
    tx["gatewayFee"] = json!("none");
    let raw: RawTransaction = serde_json::from_value(tx).unwrap();
    assert!(raw.fee_currency.is_none() && raw.gateway_fee.is_none());
    assert_eq!(signed(&raw), Ok(None));
}
