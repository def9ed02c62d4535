//! Trust, then check: what a block claims is recomputed before anything of it is stored.
//!
//! Pure. A check that a chain's own rules contradict can be switched off alone in `[chains.checks]`; nothing here
//! skips one by itself. That a block's parent is the block before it is checked where the two meet, in the store.

use alloy::{
    consensus::{
        ReceiptWithBloom,
        proofs::{calculate_receipt_root, ordered_trie_root_encoded},
    },
    eips::eip2718::Encodable2718,
    network::{AnyTxEnvelope, any::AnyReceiptEnvelope},
    primitives::{Log, keccak256, logs_bloom},
};

use super::{ChecksConfig, RawBlock};
use crate::model::{B256, BlockRef};

/// A block that is not what it claims to be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("block {} {}: {reason}; if this chain's rules differ here, set chains.checks.{check} = false", .block.number, .block.hash)]
pub struct CheckError {
    pub block: BlockRef,
    /// The key in `[chains.checks]` that switches this check off.
    pub check: &'static str,
    pub reason: String,
}

/// Runs the checks that are on.
pub fn verify(block: &RawBlock, checks: &ChecksConfig) -> Result<(), CheckError> {
    let failed = |check: &'static str| {
        move |reason: String| CheckError {
            block: block.block_ref(),
            check,
            reason,
        }
    };
    if checks.block_hash {
        block_hash(block).map_err(failed("block_hash"))?;
    }
    if checks.transactions_root {
        transactions_root(block).map_err(failed("transactions_root"))?;
    }
    if checks.receipts_root {
        receipts_root(block).map_err(failed("receipts_root"))?;
    }
    if checks.logs_bloom {
        bloom(block).map_err(failed("logs_bloom"))?;
    }
    Ok(())
}

/// Keccak-256 of the RLP of the header (Yellow Paper, section 4.3).
fn block_hash(block: &RawBlock) -> Result<(), String> {
    let header = block.header.inner.clone();
    let header = header
        .try_into_header()
        .map_err(|error| format!("its hash cannot be recomputed: {error}"))?;
    equal(
        "its header hashes to",
        header.hash_slow(),
        block.header.hash,
    )
}

/// Root of the trie of EIP-2718 encoded transactions; with it, each transaction's own hash.
fn transactions_root(block: &RawBlock) -> Result<(), String> {
    let mut encoded = Vec::with_capacity(block.transactions.len());
    for (index, transaction) in block.transactions.iter().enumerate() {
        let envelope = match transaction.as_ref() {
            AnyTxEnvelope::Ethereum(envelope) => envelope,
            AnyTxEnvelope::Unknown(unknown) => {
                return Err(format!(
                    "the encoding of transaction {index}, type {}, is not known, so its root cannot be recomputed",
                    unknown.inner.ty.0
                ));
            }
        };
        let bytes = envelope.encoded_2718();
        equal(
            &format!("transaction {index} hashes to"),
            keccak256(&bytes),
            *envelope.tx_hash(),
        )?;
        encoded.push(bytes);
    }
    equal(
        "its transactions have the root",
        ordered_trie_root_encoded(&encoded),
        block.header.transactions_root,
    )
}

/// Root of the trie of EIP-2718 encoded receipts, with blooms recomputed from their logs.
fn receipts_root(block: &RawBlock) -> Result<(), String> {
    let receipts: Vec<AnyReceiptEnvelope> = block
        .receipts
        .iter()
        .map(|receipt| {
            let envelope = &receipt.0.inner.inner;
            let receipt = envelope.inner.receipt.clone().map_logs(|log| log.inner);
            AnyReceiptEnvelope {
                inner: ReceiptWithBloom::from(receipt),
                r#type: envelope.r#type,
            }
        })
        .collect();
    equal(
        "its receipts have the root",
        calculate_receipt_root(&receipts),
        block.header.receipts_root,
    )
}

/// The 2048-bit filter over all logs (Yellow Paper, section 4.3.1).
fn bloom(block: &RawBlock) -> Result<(), String> {
    let logs: Vec<&Log> = block
        .receipts
        .iter()
        .flat_map(|receipt| receipt.logs())
        .map(|log| &log.inner)
        .collect();
    if logs_bloom(logs) == block.header.logs_bloom {
        Ok(())
    } else {
        Err("the bloom of its logs is not the header's".to_owned())
    }
}

fn equal(what: &str, computed: B256, claimed: B256) -> Result<(), String> {
    if computed == claimed {
        Ok(())
    } else {
        Err(format!("{what} {computed}, not {claimed}"))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::{
        dev::{Anvil, AnvilOptions, ChainControl, Node as Control},
        model::{Address, U256},
        source::chain::{ChainConfig, Node, Wanted},
    };

    /// A block of anvil's with a legacy, an EIP-2930 and an EIP-1559 transaction and a creation that emits a log.
    async fn block() -> (Anvil, RawBlock) {
        let anvil = Anvil::start(&AnvilOptions::default()).await.unwrap();
        let control = Control::connect(&anvil.http_url()).unwrap();
        ChainControl::new(control.clone())
            .set_automine(false)
            .await
            .unwrap();
        let accounts = control.accounts(2).await.unwrap();
        let (from, to) = (accounts[0], accounts[1]);
        let price = "0xba43b7400";
        for mut transaction in [
            json!({ "type": "0x0", "to": to, "gasPrice": price }),
            json!({ "type": "0x1", "to": to, "gasPrice": price,
                "accessList": [{ "address": to, "storageKeys": [B256::ZERO] }] }),
            json!({ "type": "0x2", "to": to, "maxFeePerGas": price, "maxPriorityFeePerGas": "0x1" }),
            // PUSH1 7, PUSH1 0, PUSH1 0, LOG1: an empty log with the topic 7.
            json!({ "type": "0x2", "data": "0x600760006000a1", "maxFeePerGas": price, "maxPriorityFeePerGas": "0x0" }),
        ] {
            transaction["from"] = json!(from);
            transaction["gas"] = json!("0x30d40");
            let _: B256 = control
                .request("eth_sendTransaction", (transaction,))
                .await
                .unwrap();
        }
        ChainControl::new(control).mine(1).await.unwrap();
        let config: ChainConfig = serde_json::from_value(json!({
            "chain_id": 31_337, "rpc_url": anvil.http_url(),
        }))
        .unwrap();
        let node = Node::new(&config).unwrap();
        let block = node.raw_block(Wanted::Number(1)).await.unwrap();
        (anvil, block)
    }

    fn failing(block: &RawBlock) -> Vec<&'static str> {
        let off = ChecksConfig {
            block_hash: false,
            transactions_root: false,
            receipts_root: false,
            logs_bloom: false,
        };
        [
            ChecksConfig {
                block_hash: true,
                ..off
            },
            ChecksConfig {
                transactions_root: true,
                ..off
            },
            ChecksConfig {
                receipts_root: true,
                ..off
            },
            ChecksConfig {
                logs_bloom: true,
                ..off
            },
        ]
        .iter()
        .filter_map(|checks| verify(block, checks).err().map(|error| error.check))
        .collect()
    }

    fn changed<T>(value: &T, change: impl Fn(&mut Value)) -> T
    where
        T: serde::Serialize + serde::de::DeserializeOwned,
    {
        let mut json = serde_json::to_value(value).unwrap();
        change(&mut json);
        serde_json::from_value(json).unwrap()
    }

    #[tokio::test]
    async fn a_true_block_passes_every_check_and_each_lie_fails_the_check_that_is_for_it() {
        let (anvil, mut block) = block().await;
        assert_eq!(block.transactions.len(), 4);
        assert_eq!(
            block
                .receipts
                .iter()
                .map(|receipt| receipt.logs().len())
                .sum::<usize>(),
            1
        );
        verify(&block, &ChecksConfig::default()).unwrap();

        let header = block.header.clone();
        block.header.inner.state_root = B256::repeat_byte(1);
        assert_eq!(failing(&block), ["block_hash"]);
        block.header = header;

        for index in 0..4 {
            let sent = block.transactions[index].clone();
            block.transactions[index] = changed(&sent, |sent| sent["value"] = json!(U256::from(7)));
            assert_eq!(
                failing(&block),
                ["transactions_root"],
                "transaction {index}"
            );
            block.transactions[index] = changed(&sent, |sent| sent["hash"] = json!(B256::ZERO));
            assert_eq!(
                failing(&block),
                ["transactions_root"],
                "hash of transaction {index}"
            );
            block.transactions[index] = sent;
        }

        let log = 3;
        let receipt = block.receipts[log].clone();
        block.receipts[log] = changed(&receipt, |receipt| receipt["status"] = json!("0x0"));
        assert_eq!(failing(&block), ["receipts_root"]);
        block.receipts[log] = changed(&receipt, |receipt| receipt["logs"] = json!([]));
        assert_eq!(failing(&block), ["receipts_root", "logs_bloom"]);
        block.receipts[log] = changed(&receipt, |receipt| {
            receipt["logs"][0]["address"] = json!(Address::ZERO);
        });
        assert_eq!(failing(&block), ["receipts_root", "logs_bloom"]);
        block.receipts[log] = receipt;
        assert!(failing(&block).is_empty());

        // A transaction type that is not known cannot be proven, and that is said.
        block.transactions[0] = changed(&block.transactions[0], |sent| {
            sent["type"] = json!("0x7e");
        });
        let error = verify(&block, &ChecksConfig::default())
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("type 126") && error.contains("chains.checks.transactions_root = false"),
            "{error}"
        );
        let rows = crate::source::chain::decode::decode(&block).unwrap();
        assert_eq!(rows.transactions[0].transaction_type, 126);
        assert_eq!(rows.transactions[0].value, rows.transactions[1].value);
        anvil.stop().await.unwrap();
    }
}
