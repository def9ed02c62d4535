//! The block size as nodes report it: bytes of the RLP of header, transactions, ommers and withdrawals. Pure.

use alloy::{
    consensus::EMPTY_OMMER_ROOT_HASH,
    eips::eip4895::Withdrawal,
    rlp::{Encodable, Header as RlpHeader},
};

use super::{
    RawBlock, arbitrum, celo, encode, header::is_ethereum_form, state_sync, wire::RawTransaction,
};

/// The size; `None` if a part is unknown: ommers, of which the block has only hashes, missing withdrawals, transactions
/// of unknown encoding, and headers in another form than Ethereum's. Correct if the header hashes to the block's hash;
/// the synthetic state-sync transaction is not in the block.
pub(super) fn of(block: &RawBlock, withdrawals: Option<&[Withdrawal]>) -> Option<u64> {
    if !is_ethereum_form(&block.header) {
        return None;
    }
    let header = encode::header(&block.header).ok()?;
    if header.ommers_hash != EMPTY_OMMER_ROOT_HASH {
        return None;
    }
    let mut tx_bytes = 0;
    let mut scratch = Vec::new();
    let count = block.transactions.len() - usize::from(state_sync::has_synthetic_tail(block));
    for transaction in &block.transactions[..count] {
        tx_bytes += length(transaction, &mut scratch)?;
    }
    let withdrawn = match (header.withdrawals_root, withdrawals) {
        (None, _) => 0,
        (Some(_), Some(list)) => with_rlp_header(list.iter().map(Encodable::length).sum()),
        (Some(_), None) => return None,
    };
    let payload = header.length() + with_rlp_header(tx_bytes) + with_rlp_header(0) + withdrawn;
    Some(with_rlp_header(payload) as u64)
}

/// Bytes of a transaction in the list: a legacy one is an RLP list, the others are strings.
fn length(tx: &RawTransaction, scratch: &mut Vec<u8>) -> Option<usize> {
    if let Some(envelope) = encode::envelope(tx).ok()? {
        return Some(envelope.length());
    }
    scratch.clear();
    encode::deposit(tx, scratch)
        .or_else(|| arbitrum::transaction(tx, scratch))
        .or_else(|| celo::transaction(tx, scratch))?;
    Some(with_rlp_header(scratch.len()))
}

/// Bytes of an RLP list, or of a string longer than one byte, with this payload.
fn with_rlp_header(payload_length: usize) -> usize {
    let header = RlpHeader {
        list: true,
        payload_length,
    };
    header.length() + payload_length
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use alloy::{
        consensus::{Block, BlockBody},
        primitives::B256,
    };
    use serde_json::json;

    use super::*;
    use crate::chain::{
        BlockTarget, ChainConfig, ChecksConfig, Node,
        decode::{decode, withdrawals_of},
    };
    use chaincast_base::Secret;
    use chaincast_dev::{Anvil, AnvilOptions};
    use chaincast_testkit::{
        SyntheticChain, SyntheticNode, SyntheticNodeOptions, SyntheticOptions, Traffic,
    };

    #[tokio::test]
    async fn size_equals_anvil() {
        let anvil = Anvil::start(&AnvilOptions::default()).await.unwrap();
        let config = ChainConfig::of(31_337, Secret::new(anvil.http_url()));
        let node = Node::new(&config).unwrap();
        let accounts: Vec<chaincast_protocol::Address> =
            node.request("eth_accounts", ()).await.unwrap();
        let (from, to) = (accounts[0], accounts[1]);
        let price = "0xba43b7400";
        for fields in [
            json!({ "type": "0x0", "gasPrice": price, "value": "0x7" }),
            json!({ "type": "0x1", "gasPrice": price, "accessList": [{ "address": to, "storageKeys": [B256::ZERO] }] }),
            json!({ "type": "0x2", "maxFeePerGas": price, "maxPriorityFeePerGas": "0x1", "input": format!("0x{}", "ab".repeat(300)) }),
        ] {
            let mut tx = fields;
            tx["from"] = json!(from);
            tx["to"] = json!(to);
            tx["gas"] = json!("0x186a0");
            let hash: B256 = node.request("eth_sendTransaction", (tx,)).await.unwrap();
            // anvil answers before it has mined the block of the transaction.
            let mined = async {
                loop {
                    let receipt: serde_json::Value = node
                        .request("eth_getTransactionReceipt", (hash,))
                        .await
                        .unwrap();
                    if !receipt.is_null() {
                        break;
                    }
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
            };
            tokio::time::timeout(Duration::from_secs(60), mined)
                .await
                .unwrap();
        }
        for number in 0..=3 {
            let block = node.raw_block(BlockTarget::Number(number)).await.unwrap();
            let withdrawals = withdrawals_of(&block.header);
            assert_eq!(block.transactions.len(), usize::from(number > 0));
            // anvil's blocks have a withdrawals root, but its size omits the list: one byte if empty.
            assert!(block.header.withdrawals_root.is_some());
            assert_eq!(
                of(&block, withdrawals.as_deref()),
                block.header.size.map(|size| size + 1),
                "block {number}"
            );
        }
        anvil.stop().await.unwrap();
    }

    #[tokio::test]
    async fn size_counts_every_transaction_type() {
        let chain = SyntheticChain::generate(&SyntheticOptions {
            chain_id: 1_337,
            seed: 7,
            blocks: 3,
            transactions: 20,
            traffic: Traffic::Varied,
        });
        let served = SyntheticNode::start(chain.into(), SyntheticNodeOptions::default())
            .await
            .unwrap();
        let node = Node::new(&ChainConfig::of(1_337, Secret::new(served.http_url()))).unwrap();
        let mut types = std::collections::BTreeSet::new();
        for number in 0..=3 {
            let block = node.raw_block(BlockTarget::Number(number)).await.unwrap();
            types.extend(block.transactions.iter().map(RawTransaction::kind));
            let transactions = block.transactions.iter();
            let body = BlockBody {
                transactions: transactions
                    .map(|tx| encode::envelope(tx).unwrap().unwrap())
                    .collect(),
                ommers: Vec::new(),
                withdrawals: Some(Default::default()),
            };
            let header = encode::header(&block.header).unwrap();
            let expected = Block::rlp_length_for(&header, &body) as u64;
            assert_eq!(of(&block, Some(&[])), Some(expected), "block {number}");
            assert_eq!(of(&block, None), None, "withdrawals are not known");
            // If the header may have unknown fields, the size of the node is stored.
            let mut odd = block.clone();
            odd.header.size = Some(7);
            let stored = |block_hash: bool| {
                let checks = ChecksConfig {
                    block_hash,
                    ..ChecksConfig::default()
                };
                let header = decode(odd.clone(), &checks).unwrap().header;
                (header.size, header.size_proved)
            };
            assert_eq!(stored(true), (Some(expected), true));
            assert_eq!(stored(false), (Some(7), false));
            let mut with_ommers = block.clone();
            with_ommers.header.ommers_hash = Some(B256::ZERO);
            assert_eq!(of(&with_ommers, Some(&[])), None);
            if let Some(first) = with_ommers.transactions.first_mut() {
                with_ommers.header.ommers_hash = block.header.ommers_hash;
                first.ty = Some(0x7d);
                assert_eq!(of(&with_ommers, Some(&[])), None, "an unknown type");
            }
        }
        assert_eq!(Vec::from_iter(types), [0, 1, 2, 3, 4]);
    }
}
