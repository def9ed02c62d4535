//! State syncs of Polygon PoS before its Madhugiri fork: nodes add a synthetic transaction and receipt to the end of
//! the block, which no root and no bloom covers (0xPolygon/bor: `core/types/bor_receipt.go`,
//! `core/rawdb/bor_receipt.go`). Pure.

use alloy::primitives::{Address, B256, Keccak256};

use super::{RawBlock, wire::RawTransaction};

/// Prefix of the hash input of the synthetic transaction, before the number and hash of the block.
const PREFIX: &[u8] = b"matic-bor-receipt-";

/// The hash of the synthetic transaction of a block.
fn synthetic_hash(number: u64, block: B256) -> B256 {
    let mut hasher = Keccak256::new();
    hasher.update(PREFIX);
    hasher.update(number.to_be_bytes());
    hasher.update(block);
    hasher.finalize()
}

/// Whether the last transaction of a block is synthetic: a legacy transaction from and to the zero address, without
/// gas, price, value, nonce and input.
pub(super) fn has_synthetic_tail(block: &RawBlock) -> bool {
    let Some(last) = block.transactions.last() else {
        return false;
    };
    is_empty(last) && last.hash == synthetic_hash(block.header.number, block.header.hash)
}

fn is_empty(tx: &RawTransaction) -> bool {
    tx.kind() == 0
        && tx.from.is_zero()
        && tx.to.unwrap_or(Address::ZERO).is_zero()
        && tx.gas == 0
        && tx.gas_price.unwrap_or_default().is_zero()
        && tx.value.unwrap_or_default().is_zero()
        && tx.nonce == 0
        && tx.input().is_empty()
}

#[cfg(test)]
mod tests {
    use alloy::primitives::{b256, keccak256};

    use super::*;

    #[test]
    fn synthetic_hash_covers_prefix_number_and_block() {
        let block = b256!("00000000000000000000000000000000000000000000000000000000000000ab");
        let mut text = b"matic-bor-receipt-".to_vec();
        text.extend([0, 0, 0, 0, 3, 0x20, 0x0d, 0x80]);
        text.extend(block);
        assert_eq!(synthetic_hash(0x0320_0d80, block), keccak256(text));
    }

    use serde_json::json;

    use crate::chain::{
        BlockTarget, ChainConfig, ChecksConfig, Node, Senders, decode::decode, verify::verify,
    };
    use chaincast_base::Secret;
    use chaincast_testkit::faulty_node::{BlockTree, Contents, FaultyNode};

    /// A block with a valid part and a synthetic pair, which has a log.
    async fn block() -> RawBlock {
        let tree = BlockTree::new(137);
        tree.mine(&Contents::transfers(2, 1));
        let server = FaultyNode::from_tree(&tree).await.unwrap();
        let config = ChainConfig::of(137, Secret::new(server.http_url()));
        let node = Node::new(&config).unwrap();
        let mut block = node.raw_block(BlockTarget::Number(1)).await.unwrap();
        let hash = synthetic_hash(1, block.header.hash);
        let (zero, log) = (
            Address::ZERO,
            &tree.block(block.header.hash).unwrap().receipts[0],
        );
        let log = json!(log)["logs"][0].clone();
        let tx = json!({
            "hash": hash, "from": zero, "to": zero, "nonce": "0x0", "gas": "0x0", "gasPrice": "0x0", "value": "0x0",
            "input": "0x", "type": "0x0", "v": "0x0", "r": "0x0", "s": "0x0",
        });
        let receipt = json!({
            "transactionHash": hash, "blockHash": block.header.hash, "status": "0x1", "cumulativeGasUsed": "0x0",
            "gasUsed": "0x0", "effectiveGasPrice": "0x0", "contractAddress": null, "logs": [log, log],
        });
        block.transactions.push(serde_json::from_value(tx).unwrap());
        block
            .receipts
            .push(serde_json::from_value(receipt).unwrap());
        block
    }

    #[tokio::test]
    async fn state_sync_pair_is_excluded_if_allowed() {
        let block = block().await;
        let error = verify(&block, &ChecksConfig::default())
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("chains.checks.state_sync = false"),
            "{error}"
        );
        let allowed = ChecksConfig {
            state_sync: false,
            senders: Senders::Always,
            ..ChecksConfig::default()
        };
        verify(&block, &allowed).unwrap();
        // The block size does not include the pair.
        let mut alone = block.clone();
        alone.transactions.pop();
        alone.receipts.pop();
        let size = |block: &RawBlock| decode(block.clone(), &allowed).unwrap().header.size;
        assert!(size(&block).is_some());
        assert_eq!(size(&block), size(&alone));

        // Everything else is still proven.
        type Alter = fn(&mut RawBlock);
        let alterations: [(&str, Alter); 6] = [
            ("transactions_root", |block| {
                block.transactions[2].hash.0[0] ^= 1
            }),
            ("transactions_root", |block| block.transactions[2].gas = 1),
            ("transactions_root", |block| block.transactions.swap(1, 2)),
            ("receipts_root", |block| block.receipts[0].logs.clear()),
            ("gas_used", |block| block.receipts[1].gas_used += 1),
            ("senders", |block| {
                block.transactions[0].from = Address::ZERO
            }),
        ];
        for (check, alter) in alterations {
            let mut block = block.clone();
            alter(&mut block);
            assert_eq!(verify(&block, &allowed).unwrap_err().check, check);
        }
    }
}
