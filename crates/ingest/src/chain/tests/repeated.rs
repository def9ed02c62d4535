//! One transaction in two blocks, as on Cosmos EVM chains: it fails in the first and is included again later.

use super::{
    anvil_fixture::{CHAIN, data, eventually},
    scripted_fixture::{ScriptedFixture, config_of},
    watched::{GATEWAY, HOUR, MANY},
};
use chaincast_evm::chain::Role;
use chaincast_protocol::{B256, Channel};
use chaincast_testkit::faulty_node::{BlockTree, Contents, FaultyNode, Payment};

/// A block with the first transaction of each of these accounts.
fn firsts(accounts: &[u8], success: bool, salt: u64) -> Contents {
    let payments = accounts.iter().map(|account| Payment {
        nonce: Some(0),
        success,
        ..Payment::new(*account)
    });
    Contents {
        payments: payments.collect(),
        salt,
        ..Contents::default()
    }
}

impl ScriptedFixture {
    async fn watch(&self, hash: B256) {
        let watched = self
            .store
            .watch(&[Channel::Tx(hash)], HOUR, MANY, GATEWAY)
            .await;
        assert!(watched.unwrap()[0].is_some());
    }

    /// The block number and success, by the query of the REST API.
    async fn read(&self, hash: B256) -> (u64, Option<bool>) {
        let found = self.store.read_transaction(CHAIN, hash).await.unwrap();
        let found = found.unwrap().transaction;
        (found.block_number, found.succeeded)
    }

    /// Waits until the watch has this block and success.
    async fn expect_watch(&self, hash: B256, block: u64, succeeded: bool) {
        eventually("the state of the transaction", async || {
            let state = data(&self.store.transaction_state(hash).await.unwrap());
            let there = state["blockNumber"] == block && state["succeeded"] == succeeded;
            there.then_some(())
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn transaction_may_be_in_several_blocks() {
    let fixture = ScriptedFixture::new().await;
    let tree = BlockTree::new(CHAIN);
    tree.mine(&firsts(&[0, 1, 2], false, 1));
    let node = FaultyNode::from_tree(&tree).await.unwrap();
    let running = fixture
        .ingest(config_of(&[(&node, Role::All)]))
        .await
        .unwrap();
    fixture.caught_up(&tree, "the first block").await;
    let hashes: Vec<B256> = tree
        .block(tree.head().hash)
        .unwrap()
        .receipts
        .iter()
        .map(|receipt| receipt.transaction_hash)
        .collect();
    fixture.watch(hashes[0]).await;
    fixture.expect_watch(hashes[0], 1, false).await;

    // Two of them succeed in one commit's block, one fails again; the same twice in one load.
    tree.mine(&firsts(&[1], false, 2));
    tree.mine(&firsts(&[0, 1], true, 3));
    tree.mine(&firsts(&[2, 0], false, 4));
    for salt in 5..9 {
        tree.mine(&Contents::transfers(1, salt));
    }
    fixture.caught_up(&tree, "the rest").await;
    fixture
        .assert_equals(&tree, 0, "every row of every block")
        .await;
    assert_eq!(fixture.read(hashes[0]).await, (3, Some(true)));
    assert_eq!(fixture.read(hashes[1]).await, (3, Some(true)));
    assert_eq!(fixture.read(hashes[2]).await, (4, Some(false)));
    fixture.expect_watch(hashes[0], 3, true).await;
    // A new watch finds the same blocks.
    for (at, block, succeeded) in [(1, 3, true), (2, 4, false)] {
        fixture.watch(hashes[at]).await;
        fixture.expect_watch(hashes[at], block, succeeded).await;
    }
    let first = tree.at(1);
    let listed = fixture
        .store
        .read_block_transactions(CHAIN, first.hash, None, 10);
    let listed = listed.await.unwrap();
    assert_eq!(listed.len(), 3);
    assert!(
        listed
            .iter()
            .all(|sent| sent.block_number == 1 && sent.succeeded == Some(false))
    );

    // A reorg that drops the later block leaves the earlier one.
    let depth = tree.head().number - 2;
    let branch: Vec<Contents> = (20..20 + depth + 1).map(Contents::empty).collect();
    tree.reorg(depth, &branch);
    fixture.caught_up(&tree, "the other branch").await;
    fixture.assert_equals(&tree, 0, "after the reorg").await;
    assert_eq!(fixture.read(hashes[0]).await, (1, Some(false)));
    fixture.expect_watch(hashes[0], 1, false).await;
    fixture.expect_watch(hashes[1], 2, false).await;
    fixture.expect_watch(hashes[2], 1, false).await;
    let channel = Channel::Tx(hashes[1]);
    let updates = fixture.store.updates_between(&channel, 0, u64::MAX, 1_000);
    let expect_watch: Vec<_> = updates.await.unwrap().iter().map(data).collect();
    assert_eq!(expect_watch[0]["status"], "reorged", "{expect_watch:?}");
    assert_eq!(expect_watch[1]["status"], "included", "{expect_watch:?}");
    assert_eq!(
        (
            &expect_watch[1]["blockNumber"],
            &expect_watch[1]["confirmations"]
        ),
        (&2.into(), &1.into())
    );
    running.stop().await;
}
