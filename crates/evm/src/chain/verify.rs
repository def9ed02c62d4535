//! Recomputes what a block claims before any of it is stored.
//!
//! Pure. A check that a chain's own rules contradict can be disabled alone in `[chains.checks]`; none is skipped
//! automatically. The store checks that a block links to its parent.

use std::time::{Duration, Instant};

use alloy::{
    consensus::{
        TxEnvelope, crypto::secp256k1::recover_signer_unchecked,
        proofs::calculate_withdrawals_root, transaction::SignerRecoverable,
    },
    eips::eip2718::Encodable2718,
    primitives::{B256, Bloom, keccak256},
};

use super::{
    CheckError, ChecksConfig, RawBlock, Senders, arbitrum,
    bloom::bloom_of,
    celo, derived_fields, encode, fixed_fields, genesis, header, receipt_outcome, state_sync,
    trie_items::TrieItems,
    wire::{RawHeader, RawReceipt, RawTransaction},
};

/// The timed checks, in the order in which they run. Most are named after their keys; `derived` is the rules of derived
/// receipt fields, each with its own key.
pub const CHECKS: [&str; 6] = [
    "block_hash",
    "transactions_root",
    "receipts_root",
    "logs_bloom",
    "derived",
    "senders",
];

/// The time of each of [`CHECKS`].
pub(super) type Times = [Duration; CHECKS.len()];

/// Typical encoded sizes, so that the buffer rarely grows.
const TRANSACTION_BYTES: usize = 200;
const RECEIPT_BYTES: usize = 500;

/// Runs the enabled checks.
#[cfg(test)]
pub(super) fn verify(block: &RawBlock, checks: &ChecksConfig) -> Result<(), CheckError> {
    verify_timed(block, checks, &mut Times::default())
}

/// Runs the enabled checks, and adds the time of each to `times`.
pub(super) fn verify_timed(
    block: &RawBlock,
    checks: &ChecksConfig,
    times: &mut Times,
) -> Result<(), CheckError> {
    let failed = |check: &'static str| {
        move |reason: String| CheckError {
            block: block.block_ref(),
            check,
            reason: block.header.with_unread(reason),
        }
    };
    let mut began = Instant::now();
    let mut done = |check: usize| {
        let now = Instant::now();
        times[check] += now - began;
        began = now;
    };
    if checks.block_hash {
        block_hash(&block.header).map_err(failed("block_hash"))?;
        done(0);
    }
    let count = proven_count(block, checks).map_err(failed("state_sync"))?;
    let (txs, receipts) = (&block.transactions[..count], &block.receipts[..count]);
    let senders = checks.senders != Senders::Off;
    let mut envelopes = Vec::new();
    if checks.transactions_root || senders {
        // An encoding error fails the first check that needs it, so that the error names the check to disable.
        let needed_by = match checks.transactions_root {
            true => "transactions_root",
            false => "senders",
        };
        envelopes = transactions(txs).map_err(failed(needed_by))?;
    }
    let bare_genesis = genesis::is_empty_genesis(block);
    if checks.transactions_root && !bare_genesis {
        transactions_root(&block.header, txs, &envelopes).map_err(failed("transactions_root"))?;
        done(1);
    }
    let mut blooms = Vec::new();
    if checks.receipts_root || checks.logs_bloom {
        blooms.extend(receipts.iter().map(|receipt| bloom_of(&receipt.logs)));
        done(3);
    }
    if checks.receipts_root && !bare_genesis {
        receipts_root(&block.header, txs, receipts, &blooms).map_err(failed("receipts_root"))?;
        done(2);
    }
    if checks.logs_bloom {
        bloom(&block.header, &blooms).map_err(failed("logs_bloom"))?;
        done(3);
    }
    derived_fields::check(block, checks, count).map_err(|(check, reason)| failed(check)(reason))?;
    done(4);
    if senders {
        check_senders(txs, &envelopes).map_err(failed("senders"))?;
        done(5);
    }
    Ok(())
}

/// The number of transactions that the header covers: all, or all but the synthetic one if `state_sync = false`.
fn proven_count(block: &RawBlock, checks: &ChecksConfig) -> Result<usize, String> {
    let all = block.transactions.len();
    let needed = checks.transactions_root || checks.receipts_root || checks.logs_bloom;
    match state_sync::has_synthetic_tail(block) {
        true if checks.state_sync && needed => Err(format!(
            "transaction {} is a synthetic state-sync transaction, which no root covers",
            all - 1
        )),
        true => Ok(all - 1),
        false => Ok(all),
    }
}

/// For receipts with both a status and a root, keeps the one that the receipts root covers.
pub(super) fn settle_outcomes(block: &mut RawBlock) {
    let (header, transactions) = (&block.header, &block.transactions);
    receipt_outcome::settle(&mut block.receipts, header.receipts_root, |receipts| {
        let mut encoded = TrieItems::with_capacity(receipts.len(), RECEIPT_BYTES);
        for (receipt, tx) in receipts.iter().zip(transactions) {
            let bloom = bloom_of(&receipt.logs);
            encode::receipt(receipt, tx.kind(), &bloom, &mut encoded.bytes).ok()?;
            encoded.end_item();
        }
        Some(encoded.root())
    });
}

/// Keccak-256 of the RLP of the header (Yellow Paper, section 4.3; for other chains see [`super::header`]).
pub(super) fn block_hash<T>(raw: &RawHeader<T>) -> Result<(), String> {
    header::hash(raw)?;
    withdrawals(raw)
}

/// The withdrawals root (EIP-4895). OP-stack chains have another root there and no withdrawals, so an empty list is not
/// checked, see [`super::decode`].
fn withdrawals<T>(header: &RawHeader<T>) -> Result<(), String> {
    let listed = header.withdrawals.as_ref().filter(|list| !list.is_empty());
    match (listed, header.withdrawals_root) {
        (Some(list), Some(root)) => check_equal(
            "its withdrawals have the root",
            calculate_withdrawals_root(list),
            root,
        ),
        (Some(_), None) => {
            Err("it has withdrawals, but its header has no withdrawals root".to_owned())
        }
        (None, _) => Ok(()),
    }
}

fn transactions(txs: &[RawTransaction]) -> Result<Vec<Option<TxEnvelope>>, String> {
    txs.iter()
        .enumerate()
        .map(|(index, tx)| {
            encode::envelope(tx).map_err(|reason| format!("transaction {index} {reason}"))
        })
        .collect()
}

/// The root of the trie of EIP-2718 encoded transactions; also checks the hash of each transaction.
fn transactions_root(
    header: &RawHeader,
    txs: &[RawTransaction],
    envelopes: &[Option<TxEnvelope>],
) -> Result<(), String> {
    let mut encoded = TrieItems::with_capacity(envelopes.len(), TRANSACTION_BYTES);
    for (index, (tx, envelope)) in txs.iter().zip(envelopes).enumerate() {
        match envelope {
            Some(envelope) => envelope.encode_2718(&mut encoded.bytes),
            None if encode::deposit(tx, &mut encoded.bytes).is_some() => {}
            None if arbitrum::transaction(tx, &mut encoded.bytes).is_some() => {}
            None if celo::transaction(tx, &mut encoded.bytes).is_some() => {}
            None => {
                return Err(format!(
                    "transaction {index} has the unknown type {}, so the root cannot be recomputed",
                    tx.kind()
                ));
            }
        }
        if envelope.is_none() {
            fixed_fields::check(tx).map_err(|reason| format!("transaction {index} {reason}"))?;
        }
        let hash = keccak256(encoded.end_item());
        if hash != tx.hash {
            let what = format!("transaction {index} hashes to");
            check_equal(&what, hash, tx.hash)?;
        }
    }
    check_equal(
        "its transactions have the root",
        encoded.root(),
        claimed(header.transactions_root, "transactionsRoot")?,
    )
}

/// The root of the trie of EIP-2718 encoded receipts, with blooms recomputed from their logs.
fn receipts_root(
    header: &RawHeader,
    txs: &[RawTransaction],
    receipts: &[RawReceipt],
    blooms: &[Bloom],
) -> Result<(), String> {
    let mut encoded = TrieItems::with_capacity(blooms.len(), RECEIPT_BYTES);
    for (index, (receipt, bloom)) in receipts.iter().zip(blooms).enumerate() {
        let kind = txs.get(index).map_or(0, RawTransaction::kind);
        encode::receipt(receipt, kind, bloom, &mut encoded.bytes)
            .map_err(|reason| format!("receipt {index} {reason}"))?;
        encoded.end_item();
    }
    check_equal(
        "its receipts have the root",
        encoded.root(),
        claimed(header.receipts_root, "receiptsRoot")?,
    )
}

/// The 2048-bit filter over all logs (Yellow Paper, section 4.3.1).
fn bloom(header: &RawHeader, blooms: &[Bloom]) -> Result<(), String> {
    let mut all = Bloom::ZERO;
    for bloom in blooms {
        all.accrue_bloom(bloom);
    }
    if all == claimed(header.logs_bloom, "logsBloom")? {
        Ok(())
    } else {
        Err("the bloom of its logs differs from the header".to_owned())
    }
}

/// Checks that each sender is the signer.
fn check_senders(txs: &[RawTransaction], envelopes: &[Option<TxEnvelope>]) -> Result<(), String> {
    for (index, (tx, envelope)) in txs.iter().zip(envelopes).enumerate() {
        // Before EIP-2 signatures with a high s were valid; mined blocks follow the rules of their time.
        let signer = match envelope {
            Some(envelope) => envelope.recover_signer_unchecked(),
            None => {
                let signed = celo::signed(tx);
                match signed.map_err(|reason| format!("transaction {index} {reason}"))? {
                    Some((signature, hash)) => recover_signer_unchecked(&signature, hash),
                    None => continue,
                }
            }
        };
        let signer = signer.map_err(|_| format!("transaction {index} has an invalid signature"))?;
        if signer != tx.from {
            return Err(format!(
                "transaction {index} is from {}, but was signed by {signer}",
                tx.from
            ));
        }
    }
    Ok(())
}

/// A claimed value; if absent, the check that needs it fails.
fn claimed<T>(value: Option<T>, field: &str) -> Result<T, String> {
    value.ok_or_else(|| format!("its header has no {field}"))
}

fn check_equal(what: &str, computed: B256, claimed: B256) -> Result<(), String> {
    if computed == claimed {
        Ok(())
    } else {
        Err(format!("{what} {computed}, not {claimed}"))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::chain::{BlockTarget, ChainConfig, Node, decode::decode};
    use chaincast_dev::{Anvil, AnvilOptions, ChainControl, Node as Control};
    use chaincast_protocol::{Address, U256};

    /// An anvil block with a legacy, an EIP-2930 and an EIP-1559 transaction and a creation that emits a log.
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
        let block = node.raw_block(BlockTarget::Number(1)).await.unwrap();
        (anvil, block)
    }

    /// The checks that fail when each runs alone.
    fn failing(block: &RawBlock) -> Vec<&'static str> {
        let disabled_value = ChecksConfig {
            block_hash: false,
            transactions_root: false,
            receipts_root: false,
            logs_bloom: false,
            gas_used: false,
            gas_price: false,
            contract_address: false,
            senders: Senders::Off,
            ..ChecksConfig::default()
        };
        let mut alone = [disabled_value; 8];
        alone[0].block_hash = true;
        alone[1].transactions_root = true;
        alone[2].receipts_root = true;
        alone[3].logs_bloom = true;
        alone[4].gas_used = true;
        alone[5].gas_price = true;
        alone[6].contract_address = true;
        alone[7].senders = Senders::Always;
        alone
            .iter()
            .filter_map(|checks| verify(block, checks).err().map(|error| error.check))
            .collect()
    }

    #[tokio::test]
    async fn verify_accepts_valid_and_rejects_altered_blocks() {
        let (anvil, mut block) = block().await;
        assert_eq!(block.transactions.len(), 4);
        let logs = block.receipts.iter().map(|receipt| receipt.logs.len());
        assert_eq!(logs.sum::<usize>(), 1);
        verify(&block, &ChecksConfig::default()).unwrap();
        let truth = block.clone();
        fn failing_after(truth: &RawBlock, change: impl Fn(&mut RawBlock)) -> Vec<&'static str> {
            let mut block = truth.clone();
            change(&mut block);
            failing(&block)
        }

        assert_eq!(
            failing_after(&truth, |block| block.header.state_root =
                Some(B256::repeat_byte(1))),
            ["block_hash"]
        );
        for index in 0..4 {
            let value = failing_after(&truth, |block| {
                block.transactions[index].value = Some(U256::from(7));
            });
            assert_eq!(
                value,
                ["transactions_root", "senders"],
                "transaction {index}"
            );
            let hash = failing_after(&truth, |block| block.transactions[index].hash = B256::ZERO);
            assert_eq!(hash, ["transactions_root"], "hash of transaction {index}");
            // No root covers the sender.
            let from = failing_after(&truth, |block| {
                block.transactions[index].from = Address::repeat_byte(9);
            });
            assert_eq!(
                from.last(),
                Some(&"senders"),
                "sender of transaction {index}"
            );
            assert!(!from.contains(&"transactions_root"));
            let used = failing_after(&truth, |block| block.receipts[index].gas_used += 1);
            assert_eq!(used, ["gas_used"], "gas of transaction {index}");
            let paid = failing_after(&truth, |block| {
                block.receipts[index].effective_gas_price = Some(7);
            });
            assert_eq!(paid, ["gas_price"], "price of transaction {index}");
            let created = failing_after(&truth, |block| {
                block.receipts[index].contract_address = Some(Address::repeat_byte(9));
            });
            assert_eq!(
                created,
                ["contract_address"],
                "contract of transaction {index}"
            );
        }

        let log = 3;
        assert_eq!(
            failing_after(&truth, |block| block.receipts[log].status = Some(0)),
            ["receipts_root"]
        );
        assert_eq!(
            failing_after(&truth, |block| block.receipts[log].logs.clear()),
            ["receipts_root", "logs_bloom"]
        );
        assert_eq!(
            failing_after(&truth, |block| block.receipts[log].logs[0].address =
                Address::ZERO),
            ["receipts_root", "logs_bloom"]
        );
        assert_eq!(
            failing_after(&truth, |block| block.header.gas_used += 1),
            ["block_hash", "gas_used"]
        );
        assert!(failing(&truth).is_empty());

        // An encoding error names an enabled check.
        let mut unsigned = truth.clone();
        (unsigned.transactions[1].r, unsigned.transactions[1].s) = (None, None);
        unsigned.transactions[1].signature = None;
        assert_eq!(failing(&unsigned), ["transactions_root", "senders"]);

        // An unknown transaction type cannot be proven, and the error says so.
        block.transactions[0].ty = Some(0x7d);
        let error = verify(&block, &ChecksConfig::default())
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("type 125") && error.contains("chains.checks.transactions_root = false"),
            "{error}"
        );
        let rows = decode(block, &ChecksConfig::default()).unwrap();
        assert_eq!(rows.transactions[0].transaction_type, 125);
        assert_eq!(rows.transactions[0].value, rows.transactions[1].value);
        anvil.stop().await.unwrap();
    }
}
