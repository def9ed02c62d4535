//! Headers and withdrawals are stored exactly, and false ones are rejected.

use alloy::{eips::eip4895::Withdrawal, primitives::Address};
use serde_json::json;

use super::{
    anvil_fixture::CHAIN,
    scripted_fixture::{ScriptedFixture, config_of},
};
use chaincast_base::Secret;
use chaincast_evm::chain::{BlockTarget, ChainConfig, ChecksConfig, Node, Role};
use chaincast_model::IndexMode;
use chaincast_store::read::{BlockId, WholeBlockRow};
use chaincast_testkit::faulty_node::{BlockTree, Contents, Fault, FaultyNode, Kind, Payment};

fn withdrawals() -> Vec<Withdrawal> {
    let one = |index: u64| Withdrawal {
        index,
        validator_index: 1_000_000 + index,
        address: Address::repeat_byte(index as u8),
        amount: 17_000_000 * index,
    };
    (0..16).map(one).collect()
}

/// A block before every fork with fields of its own, and one after all of them.
fn tree() -> BlockTree {
    let tree = BlockTree::new(CHAIN);
    tree.mine(&Contents::transfers(2, 1));
    let last = Contents::new(vec![Payment::new(1)], 2).in_slot(3);
    tree.mine(&last.with_withdrawals(withdrawals()));
    tree
}

async fn stored(fixture: &ScriptedFixture, number: u64) -> WholeBlockRow {
    let row = fixture
        .store
        .read_whole_block(CHAIN, BlockId::Number(number));
    row.await.unwrap().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn stores_whole_headers_in_every_mode() {
    let fixture = ScriptedFixture::new().await;
    for index in [IndexMode::Blocks, IndexMode::Logs, IndexMode::Transfers] {
        fixture.clear().await;
        let tree = tree();
        let node = FaultyNode::from_tree(&tree).await.unwrap();
        let config = ChainConfig {
            index,
            ..config_of(&[(&node, Role::All)])
        };
        let running = fixture.ingest(config).await.unwrap();
        fixture.caught_up(&tree, index.name()).await;
        for block in tree.canonical() {
            let at = block.block_ref();
            let row = stored(&fixture, at.number).await;
            let header = row.header().expect("a whole header");
            assert_eq!(header, block.block.header.inner, "{index}: {}", at.number);
            assert_eq!(header.hash_slow(), at.hash);
            let size: u64 = block.block.header.size.unwrap().to();
            assert_eq!(row.block.size, Some(size), "{index}: {}", at.number);
            assert_eq!(row.block.size_proved, Some(index == IndexMode::Blocks));
        }
        assert_eq!(stored(&fixture, 1).await.withdrawals, None);
        assert_eq!(stored(&fixture, 2).await.withdrawals, Some(withdrawals()));

        tree.reorg(1, &[Contents::empty(5), Contents::empty(6)]);
        fixture.caught_up(&tree, "a reorg").await;
        let kept = "SELECT count(*) FROM dropped_blocks, blocks b
             WHERE length(content->'block'->>'logs_bloom') = 514 AND content->'block'->>'withdrawals' IS NOT NULL
                 AND b.number = 3";
        assert_eq!(fixture.count(kept).await, 1, "{index}");
        running.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn stores_null_for_omitted_fields() {
    let fixture = ScriptedFixture::new().await;
    let checks = ChecksConfig {
        block_hash: false,
        transactions_root: false,
        receipts_root: false,
        logs_bloom: false,
        ..ChecksConfig::default()
    };
    for (at, column) in [
        ("/sha3Uncles", "ommers_hash"),
        ("/miner", "miner"),
        ("/stateRoot", "state_root"),
        ("/transactionsRoot", "transactions_root"),
        ("/receiptsRoot", "receipts_root"),
        ("/logsBloom", "logs_bloom"),
    ] {
        fixture.clear().await;
        let tree = tree();
        let node = FaultyNode::from_tree(&tree).await.unwrap();
        for method in ["eth_getBlockByNumber", "eth_getBlockByHash"] {
            let left_out = Kind::Alter {
                at: at.to_owned(),
                to: json!(null),
            };
            node.add(Fault::new(method, left_out));
        }
        let config = ChainConfig {
            checks,
            ..config_of(&[(&node, Role::All)])
        };
        let running = fixture.ingest(config).await.unwrap();
        fixture.caught_up(&tree, column).await;
        let nulls = format!("SELECT count(*) FROM blocks WHERE {column} IS NULL");
        assert_eq!(fixture.count(&nulls).await, 3, "{column}");
        let row = stored(&fixture, 1).await;
        let block = &row.block;
        let absent = [
            block.ommers_hash.is_none(),
            block.miner.is_none(),
            block.state_root.is_none(),
            block.transactions_root.is_none(),
            block.receipts_root.is_none(),
            row.logs_bloom.is_none(),
        ];
        assert_eq!(
            absent.iter().filter(|absent| **absent).count(),
            1,
            "{column}"
        );
        assert_eq!(row.header(), None, "{column}");

        // A reorg keeps the dropped rows unchanged.
        tree.reorg(1, &[Contents::empty(5), Contents::empty(6)]);
        fixture.caught_up(&tree, "a reorg").await;
        let kept = format!(
            "SELECT count(*) FROM dropped_blocks WHERE content->'block'->>'{column}' IS NULL"
        );
        assert_eq!(fixture.count(&kept).await, 1, "{column}");
        running.stop().await;
    }
}

async fn fetched(fault: Kind) -> Result<Option<Vec<Withdrawal>>, String> {
    let node = FaultyNode::from_tree(&tree()).await.unwrap();
    node.add(Fault::new("eth_getBlockByNumber", fault));
    let config = ChainConfig::of(CHAIN, Secret::new(node.http_url()));
    let client = Node::new(&config).unwrap();
    let block = client
        .block(BlockTarget::Number(2), &ChecksConfig::default())
        .await;
    block
        .map(|block| block.withdrawals)
        .map_err(|error| error.to_string())
}

#[tokio::test]
async fn rejects_false_withdrawals() {
    let alter = |at: &str, to| Kind::Alter {
        at: at.to_owned(),
        to,
    };
    for (at, to) in [
        ("/withdrawals/0/amount", json!("0x1")),
        ("/withdrawals/15/address", json!(Address::ZERO)),
        ("/withdrawals/3/index", json!("0x63")),
        ("/withdrawals", json!([withdrawals()[0]])),
    ] {
        let error = fetched(alter(at, to)).await.unwrap_err();
        assert!(
            error.contains("its withdrawals have the root") && error.contains("block_hash"),
            "{at}: {error}"
        );
    }
    // Omitted or unparsable withdrawals are unknown, which is no error.
    let odd = json!([{ "validator": "someone", "amount": -1 }]);
    for nothing in [json!([]), json!(null), json!("none"), odd] {
        let block = fetched(alter("/withdrawals", nothing)).await;
        assert_eq!(block, Ok(None));
    }
}

#[tokio::test]
async fn computes_block_size_independent_of_node() {
    let tree = tree();
    let node = FaultyNode::from_tree(&tree).await.unwrap();
    let lie = Kind::Alter {
        at: "/size".to_owned(),
        to: json!("0x7"),
    };
    node.add(Fault::new("eth_getBlockByNumber", lie));
    let config = ChainConfig::of(CHAIN, Secret::new(node.http_url()));
    let client = Node::new(&config).unwrap();
    let truth = tree.canonical()[0].block.header.size.unwrap();
    for (checks, proved) in [
        (ChecksConfig::default(), true),
        (
            ChecksConfig {
                transactions_root: false,
                ..ChecksConfig::default()
            },
            false,
        ),
    ] {
        let block = client.block(BlockTarget::Number(2), &checks).await.unwrap();
        assert_eq!(block.header.size, Some(truth.to()));
        assert_eq!(block.header.size_proved, proved);
    }
}
