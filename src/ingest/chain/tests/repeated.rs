//! One transaction in two blocks, as on Cosmos EVM chains: it failed in the first and is in a later one again.

use super::{
    lab::{Lab, config_of},
    stage::{CHAIN, data, eventually},
    watched::{GATEWAY, HOUR, MANY},
};
use crate::{
    dev::faulty_node::{Contents, FaultyNode, Payment, Tree},
    model::{B256, Channel},
    source::chain::Role,
};

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

impl Lab {
    async fn watch(&self, hash: B256) {
        let watched = self
            .store
            .watch(&[Channel::Tx(hash)], HOUR, MANY, GATEWAY)
            .await;
        assert!(watched.unwrap()[0].is_some());
    }

    /// Number of the block, and whether it succeeded there, by REST's query.
    async fn read(&self, hash: B256) -> (u64, Option<bool>) {
        let found = self.store.read_transaction(CHAIN, hash).await.unwrap();
        let found = found.unwrap().transaction;
        (found.block_number, found.succeeded)
    }

    /// The same by the watch, once it is this.
    async fn told(&self, hash: B256, block: u64, succeeded: bool) {
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
    let lab = Lab::new().await;
    let tree = Tree::new(CHAIN);
    tree.mine(&firsts(&[0, 1, 2], false, 1));
    let node = FaultyNode::of_tree(&tree).await.unwrap();
    let running = lab.ingest(config_of(&[(&node, Role::All)])).await.unwrap();
    lab.caught_up(&tree, "the first block").await;
    let hashes: Vec<B256> = tree
        .block(tree.head().hash)
        .unwrap()
        .receipts
        .iter()
        .map(|receipt| receipt.transaction_hash)
        .collect();
    lab.watch(hashes[0]).await;
    lab.told(hashes[0], 1, false).await;

    // Two of them succeed in one commit's block, one fails again; the same twice in one load.
    tree.mine(&firsts(&[1], false, 2));
    tree.mine(&firsts(&[0, 1], true, 3));
    tree.mine(&firsts(&[2, 0], false, 4));
    for salt in 5..9 {
        tree.mine(&Contents::transfers(1, salt));
    }
    lab.caught_up(&tree, "the rest").await;
    lab.assert_equals(&tree, 0, "every row of every block")
        .await;
    assert_eq!(lab.read(hashes[0]).await, (3, Some(true)));
    assert_eq!(lab.read(hashes[1]).await, (3, Some(true)));
    assert_eq!(lab.read(hashes[2]).await, (4, Some(false)));
    lab.told(hashes[0], 3, true).await;
    // A watch that begins now finds the same blocks.
    for (at, block, succeeded) in [(1, 3, true), (2, 4, false)] {
        lab.watch(hashes[at]).await;
        lab.told(hashes[at], block, succeeded).await;
    }
    let first = tree.at(1);
    let listed = lab
        .store
        .read_block_transactions(CHAIN, first.hash, None, 10);
    let listed = listed.await.unwrap();
    assert_eq!(listed.len(), 3);
    assert!(
        listed
            .iter()
            .all(|sent| sent.block_number == 1 && sent.succeeded == Some(false))
    );

    // A reorg that takes the later block leaves the earlier one.
    let depth = tree.head().number - 2;
    let branch: Vec<Contents> = (20..20 + depth + 1).map(Contents::empty).collect();
    tree.reorg(depth, &branch);
    lab.caught_up(&tree, "the other branch").await;
    lab.assert_equals(&tree, 0, "after the reorg").await;
    assert_eq!(lab.read(hashes[0]).await, (1, Some(false)));
    lab.told(hashes[0], 1, false).await;
    lab.told(hashes[1], 2, false).await;
    lab.told(hashes[2], 1, false).await;
    let channel = Channel::Tx(hashes[1]);
    let updates = lab.store.updates_between(&channel, 0, u64::MAX, 1_000);
    let told: Vec<_> = updates.await.unwrap().iter().map(data).collect();
    assert_eq!(told[0]["status"], "reorged", "{told:?}");
    assert_eq!(told[1]["status"], "included", "{told:?}");
    assert_eq!(
        (&told[1]["blockNumber"], &told[1]["confirmations"]),
        (&2.into(), &1.into())
    );
    running.stop().await;
}
