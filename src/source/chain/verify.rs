//! Trust, then check: what a block claims is recomputed before anything of it is stored.
//!
//! Pure. A check that a chain's own rules contradict can be switched off alone in `[chains.checks]`; nothing here
//! skips one by itself. That a block's parent is the block before it is checked where the two meet, in the store.

use std::time::{Duration, Instant};

use alloy::{
    consensus::{
        TxEnvelope,
        crypto::secp256k1::recover_signer_unchecked,
        proofs::{calculate_withdrawals_root, ordered_trie_root_encoded},
        transaction::SignerRecoverable,
    },
    eips::eip2718::Encodable2718,
    primitives::{B256, Bloom, keccak256},
};

use super::{
    ChecksConfig, RawBlock, Senders, arbitrum,
    bloom::bloom_of,
    celo, derived, encode, fixed, genesis, header, outcome, state_sync,
    wire::{RawHeader, RawReceipt, RawTransaction},
};
use crate::model::BlockRef;

/// A block that is not what it claims to be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("block {} {}: {reason}; if this chain's rules differ here, set chains.checks.{check} = {}", .block.number, .block.hash, off(.check))]
pub struct CheckError {
    pub block: BlockRef,
    /// The key in `[chains.checks]` that switches this check off.
    pub check: &'static str,
    pub reason: String,
}

fn off(check: &str) -> &'static str {
    if check == "senders" {
        "\"off\""
    } else {
        "false"
    }
}

/// What is measured of the checks, in the order in which they run. Most are called as their keys; `derived` is the rules
/// of what receipts repeat, each with a key of its own.
pub const CHECKS: [&str; 6] = [
    "block_hash",
    "transactions_root",
    "receipts_root",
    "logs_bloom",
    "derived",
    "senders",
];

/// What each of [`CHECKS`] took.
pub(super) type Times = [Duration; CHECKS.len()];

/// Runs the checks that are on.
pub fn verify(block: &RawBlock, checks: &ChecksConfig) -> Result<(), CheckError> {
    verify_timed(block, checks, &mut Times::default())
}

/// As [`verify`], and adds up what each check took.
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
    let count = proven_part(block, checks).map_err(failed("state_sync"))?;
    let (sent, receipts) = (&block.transactions[..count], &block.receipts[..count]);
    let senders = checks.senders != Senders::Off;
    let mut envelopes = Vec::new();
    if checks.transactions_root || senders {
        // What cannot be encoded fails the first check that needs it: the one to switch off.
        let needed_by = match checks.transactions_root {
            true => "transactions_root",
            false => "senders",
        };
        envelopes = transactions(sent).map_err(failed(needed_by))?;
    }
    let bare_genesis = genesis::is_bare(block);
    if checks.transactions_root && !bare_genesis {
        transactions_root(&block.header, sent, &envelopes).map_err(failed("transactions_root"))?;
        done(1);
    }
    let mut blooms = Vec::new();
    if checks.receipts_root || checks.logs_bloom {
        blooms.extend(receipts.iter().map(|receipt| bloom_of(&receipt.logs)));
        done(3);
    }
    if checks.receipts_root && !bare_genesis {
        receipts_root(&block.header, sent, receipts, &blooms).map_err(failed("receipts_root"))?;
        done(2);
    }
    if checks.logs_bloom {
        bloom(&block.header, &blooms).map_err(failed("logs_bloom"))?;
        done(3);
    }
    derived::check(block, checks, count).map_err(|(check, reason)| failed(check)(reason))?;
    done(4);
    if senders {
        recovered(sent, &envelopes).map_err(failed("senders"))?;
        done(5);
    }
    Ok(())
}

/// How many transactions of the block the header is about: all of them, or all but a made-up one, where
/// `state_sync = false` allows for it.
fn proven_part(block: &RawBlock, checks: &ChecksConfig) -> Result<usize, String> {
    let all = block.transactions.len();
    let asked = checks.transactions_root || checks.receipts_root || checks.logs_bloom;
    match state_sync::ends_with_pair(block) {
        true if checks.state_sync && asked => Err(format!(
            "transaction {} is the made-up one of a state sync, which no root is over",
            all - 1
        )),
        true => Ok(all - 1),
        false => Ok(all),
    }
}

/// Leaves of receipts that have both a status and a root the one that the receipts root is over.
pub(super) fn settle_outcomes(block: &mut RawBlock) {
    let (header, transactions) = (&block.header, &block.transactions);
    outcome::settle(&mut block.receipts, header.receipts_root, |receipts| {
        let mut encoded = Items::with_capacity(receipts.len(), RECEIPT_BYTES);
        for (receipt, sent) in receipts.iter().zip(transactions) {
            let bloom = bloom_of(&receipt.logs);
            encode::receipt(receipt, sent.kind(), &bloom, &mut encoded.bytes).ok()?;
            encoded.ended();
        }
        Some(encoded.root())
    });
}

/// Keccak-256 of the RLP of the header (Yellow Paper, section 4.3; of other chains see [`super::header`]).
pub(super) fn block_hash<T>(raw: &RawHeader<T>) -> Result<(), String> {
    header::hash(raw)?;
    withdrawals(raw)
}

/// The root over withdrawals (EIP-4895). OP-stack chains have another root in its place and no withdrawals: of an empty
/// list nothing is said here, see [`super::decode`].
fn withdrawals<T>(header: &RawHeader<T>) -> Result<(), String> {
    let listed = header.withdrawals.as_ref().filter(|list| !list.is_empty());
    match (listed, header.withdrawals_root) {
        (Some(list), Some(root)) => equal(
            "its withdrawals have the root",
            calculate_withdrawals_root(list),
            root,
        ),
        (Some(_), None) => Err("it has withdrawals, but its header has no root of any".to_owned()),
        (None, _) => Ok(()),
    }
}

fn transactions(sent: &[RawTransaction]) -> Result<Vec<Option<TxEnvelope>>, String> {
    sent.iter()
        .enumerate()
        .map(|(index, sent)| {
            encode::envelope(sent).map_err(|reason| format!("transaction {index} {reason}"))
        })
        .collect()
}

/// Root of the trie of EIP-2718 encoded transactions; with it, each transaction's own hash.
fn transactions_root(
    header: &RawHeader,
    sent: &[RawTransaction],
    envelopes: &[Option<TxEnvelope>],
) -> Result<(), String> {
    let mut encoded = Items::with_capacity(envelopes.len(), TRANSACTION_BYTES);
    for (index, (sent, envelope)) in sent.iter().zip(envelopes).enumerate() {
        match envelope {
            Some(envelope) => envelope.encode_2718(&mut encoded.bytes),
            None if encode::deposit(sent, &mut encoded.bytes).is_some() => {}
            None if arbitrum::transaction(sent, &mut encoded.bytes).is_some() => {}
            None if celo::transaction(sent, &mut encoded.bytes).is_some() => {}
            None => {
                return Err(format!(
                    "the encoding of transaction {index}, type {}, is not known, so its root cannot be recomputed",
                    sent.kind()
                ));
            }
        }
        if envelope.is_none() {
            fixed::check(sent).map_err(|reason| format!("transaction {index} {reason}"))?;
        }
        let hash = keccak256(encoded.ended());
        if hash != sent.hash {
            let what = format!("transaction {index} hashes to");
            equal(&what, hash, sent.hash)?;
        }
    }
    equal(
        "its transactions have the root",
        encoded.root(),
        claimed(header.transactions_root, "transactionsRoot")?,
    )
}

/// Root of the trie of EIP-2718 encoded receipts, with blooms recomputed from their logs.
fn receipts_root(
    header: &RawHeader,
    sent: &[RawTransaction],
    receipts: &[RawReceipt],
    blooms: &[Bloom],
) -> Result<(), String> {
    let mut encoded = Items::with_capacity(blooms.len(), RECEIPT_BYTES);
    for (index, (receipt, bloom)) in receipts.iter().zip(blooms).enumerate() {
        let kind = sent.get(index).map_or(0, RawTransaction::kind);
        encode::receipt(receipt, kind, bloom, &mut encoded.bytes)
            .map_err(|reason| format!("receipt {index} {reason}"))?;
        encoded.ended();
    }
    equal(
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
        Err("the bloom of its logs is not the header's".to_owned())
    }
}

/// The sender is who signed.
fn recovered(sent: &[RawTransaction], envelopes: &[Option<TxEnvelope>]) -> Result<(), String> {
    for (index, (sent, envelope)) in sent.iter().zip(envelopes).enumerate() {
        // Before EIP-2 signatures with a high s were allowed; a block that is mined obeys its own rules.
        let signer = match envelope {
            Some(envelope) => envelope.recover_signer_unchecked(),
            None => {
                let signed = celo::signed(sent);
                match signed.map_err(|reason| format!("transaction {index} {reason}"))? {
                    Some((signature, hash)) => recover_signer_unchecked(&signature, hash),
                    None => continue,
                }
            }
        };
        let signer =
            signer.map_err(|_| format!("no signer fits the signature of transaction {index}"))?;
        if signer != sent.from {
            return Err(format!(
                "transaction {index} is from {}, but {signer} signed it",
                sent.from
            ));
        }
    }
    Ok(())
}

/// About what one takes, so that the buffer seldom grows.
const TRANSACTION_BYTES: usize = 200;
const RECEIPT_BYTES: usize = 500;

/// Encoded items one after the other in one buffer.
struct Items {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Items {
    fn with_capacity(items: usize, each: usize) -> Self {
        Self {
            bytes: Vec::with_capacity(items * each),
            ends: Vec::with_capacity(items),
        }
    }

    /// Ends an item; its bytes.
    fn ended(&mut self) -> &[u8] {
        let from = self.ends.last().copied().unwrap_or(0);
        self.ends.push(self.bytes.len());
        &self.bytes[from..]
    }

    fn root(&self) -> B256 {
        let mut from = 0;
        let items: Vec<&[u8]> = self
            .ends
            .iter()
            .map(|&end| &self.bytes[std::mem::replace(&mut from, end)..end])
            .collect();
        ordered_trie_root_encoded(&items)
    }
}

/// What the header claims; absent is an error of the check that needs it.
fn claimed<T>(value: Option<T>, field: &str) -> Result<T, String> {
    value.ok_or_else(|| format!("its header has no {field}"))
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
    use serde_json::json;

    use super::*;
    use crate::{
        dev::{Anvil, AnvilOptions, ChainControl, Node as Control},
        model::{Address, U256},
        source::chain::{ChainConfig, Node, Wanted, decode::decode},
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

    /// The checks that fail when each runs alone.
    fn failing(block: &RawBlock) -> Vec<&'static str> {
        let off = ChecksConfig {
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
        let mut alone = [off; 8];
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
    async fn a_true_block_passes_every_check_and_each_lie_fails_the_check_that_is_for_it() {
        let (anvil, mut block) = block().await;
        assert_eq!(block.transactions.len(), 4);
        let logs = block.receipts.iter().map(|receipt| receipt.logs.len());
        assert_eq!(logs.sum::<usize>(), 1);
        verify(&block, &ChecksConfig::default()).unwrap();
        let truth = block.clone();
        fn lie(truth: &RawBlock, change: impl Fn(&mut RawBlock)) -> Vec<&'static str> {
            let mut block = truth.clone();
            change(&mut block);
            failing(&block)
        }

        assert_eq!(
            lie(&truth, |block| block.header.state_root =
                Some(B256::repeat_byte(1))),
            ["block_hash"]
        );
        for index in 0..4 {
            let value = lie(&truth, |block| {
                block.transactions[index].value = Some(U256::from(7));
            });
            assert_eq!(
                value,
                ["transactions_root", "senders"],
                "transaction {index}"
            );
            let hash = lie(&truth, |block| block.transactions[index].hash = B256::ZERO);
            assert_eq!(hash, ["transactions_root"], "hash of transaction {index}");
            // No root is over the sender.
            let from = lie(&truth, |block| {
                block.transactions[index].from = Address::repeat_byte(9);
            });
            assert_eq!(
                from.last(),
                Some(&"senders"),
                "sender of transaction {index}"
            );
            assert!(!from.contains(&"transactions_root"));
            let used = lie(&truth, |block| block.receipts[index].gas_used += 1);
            assert_eq!(used, ["gas_used"], "gas of transaction {index}");
            let paid = lie(&truth, |block| {
                block.receipts[index].effective_gas_price = Some(7);
            });
            assert_eq!(paid, ["gas_price"], "price of transaction {index}");
            let created = lie(&truth, |block| {
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
            lie(&truth, |block| block.receipts[log].status = Some(0)),
            ["receipts_root"]
        );
        assert_eq!(
            lie(&truth, |block| block.receipts[log].logs.clear()),
            ["receipts_root", "logs_bloom"]
        );
        assert_eq!(
            lie(&truth, |block| block.receipts[log].logs[0].address =
                Address::ZERO),
            ["receipts_root", "logs_bloom"]
        );
        assert_eq!(
            lie(&truth, |block| block.header.gas_used += 1),
            ["block_hash", "gas_used"]
        );
        assert!(failing(&truth).is_empty());

        // What cannot be encoded names a check that is on.
        let mut unsigned = truth.clone();
        (unsigned.transactions[1].r, unsigned.transactions[1].s) = (None, None);
        unsigned.transactions[1].signature = None;
        assert_eq!(failing(&unsigned), ["transactions_root", "senders"]);

        // A transaction type that is not known cannot be proven, and that is said.
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
