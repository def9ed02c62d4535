//! Watched transactions and addresses: what those who watch are told.

use alloy::primitives::{Address, U256};
use serde_json::{Value, json};

use super::stage::{Stage, data, eventually};
use crate::{
    dev::{AnvilOptions, Market, deploy_or_load},
    model::{B256, Channel, Update},
    source::chain::ChainConfig,
};

pub(super) const HOUR: u64 = 3_600;
pub(super) const MANY: u64 = 1_000;
pub(super) const GATEWAY: &str = "a gateway";

impl Stage {
    pub(super) async fn watch(&self, channel: &Channel) -> u64 {
        let began = self
            .store
            .watch(std::slice::from_ref(channel), HOUR, MANY, GATEWAY)
            .await
            .unwrap();
        began[0].unwrap()
    }

    pub(super) async fn updates(&self, channel: &Channel) -> Vec<Update> {
        let all = self.store.updates_between(channel, 0, u64::MAX, 1_000);
        all.await.unwrap()
    }

    /// The channel's updates, once there are as many; no fewer and no more.
    pub(super) async fn told(&self, channel: &Channel, count: usize) -> Vec<Update> {
        let what = format!("{count} updates of {channel}");
        eventually(&what, async || {
            let updates = self.updates(channel).await;
            (updates.len() >= count).then_some(updates)
        })
        .await
    }

    pub(super) async fn statuses(&self, hash: B256, count: usize) -> Vec<String> {
        let updates = self.told(&Channel::Tx(hash), count).await;
        updates
            .iter()
            .map(|update| data(update)["status"].as_str().unwrap().to_owned())
            .collect()
    }

    /// A plain payment at a fixed price, so that the same is the same transaction again.
    pub(super) async fn pay(&self, nonce: u64, gas_price: u64) -> B256 {
        let accounts = self.node.accounts(2).await.unwrap();
        let payment = json!({
            "from": accounts[0], "to": accounts[1], "value": "0x7", "gas": "0x5208", "type": "0x0",
            "nonce": format!("{nonce:#x}"), "gasPrice": format!("{gas_price:#x}"),
        });
        self.node
            .request("eth_sendTransaction", (payment,))
            .await
            .unwrap()
    }

    pub(super) async fn mine_one(&self) {
        self.control.mine(1).await.unwrap();
        self.caught_up().await;
    }

    pub(super) async fn known(&self, hash: B256) -> Value {
        data(&self.store.transaction_state(hash).await.unwrap())
    }
}

pub(super) const GWEI: u64 = 1_000_000_000;

#[tokio::test(flavor = "multi_thread")]
async fn a_watched_transaction_is_told_from_the_pool_to_finality() {
    let stage = Stage::with(AnvilOptions {
        slots_in_an_epoch: 2,
        ..AnvilOptions::default()
    })
    .await;
    stage.control.set_automine(false).await.unwrap();
    let config = ChainConfig {
        confirmations: 3,
        ..stage.config()
    };
    let running = stage.ingest(config).await.unwrap();
    stage.caught_up().await;
    let hash = stage.pay(0, 20 * GWEI).await;
    assert_eq!(stage.known(hash).await["status"], "unknown");
    stage.watch(&Channel::Tx(hash)).await;
    assert_eq!(stage.statuses(hash, 1).await, ["pending"]);
    stage.mine_one().await;
    let included = data(&stage.told(&Channel::Tx(hash), 2).await[1]);
    assert_eq!(
        (
            &included["status"],
            &included["blockNumber"],
            &included["confirmations"]
        ),
        (&json!("included"), &json!(1), &json!(1))
    );
    assert_eq!(
        (
            &included["succeeded"],
            &included["transactionIndex"],
            &included["chainId"]
        ),
        (&json!(true), &json!(0), &json!(31_337))
    );
    // Each block once more, to the depth; then nothing until it is final.
    for _ in 0..4 {
        stage.mine_one().await;
    }
    let told = ["pending", "included", "included", "confirmed", "finalized"];
    assert_eq!(stage.statuses(hash, 5).await, told);
    let last = data(&stage.updates(&Channel::Tx(hash)).await[4]);
    assert_eq!(last["confirmations"], 5);
    assert_eq!(stage.known(hash).await["status"], "finalized");
    stage.mine_one().await;
    assert_eq!(stage.statuses(hash, 5).await, told);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_is_replaced_or_dropped_or_comes_back_after_a_reorg() {
    let stage = Stage::new().await;
    stage.control.set_automine(false).await.unwrap();
    let config = ChainConfig {
        confirmations: 2,
        ..stage.config()
    };
    let running = stage.ingest(config.clone()).await.unwrap();
    stage.mine_one().await;

    // Another one with its nonce is included.
    let first = stage.pay(0, 20 * GWEI).await;
    stage.watch(&Channel::Tx(first)).await;
    stage.statuses(first, 1).await;
    let second = stage.pay(0, 40 * GWEI).await;
    stage.watch(&Channel::Tx(second)).await;
    stage.mine_one().await;
    assert_eq!(stage.statuses(first, 2).await, ["pending", "replaced"]);
    let replaced = data(&stage.updates(&Channel::Tx(first)).await[1]);
    assert_eq!(replaced["replacedBy"], json!(second));

    // Its block goes, and with it what it replaced: both may be included again.
    let before = stage.statuses(second, 1).await.len();
    stage.control.reorg(1).await.unwrap();
    stage.caught_up().await;
    assert_eq!(stage.statuses(first, 3).await[2], "reorged");
    assert_eq!(stage.statuses(second, before + 1).await[before], "reorged");
    assert_eq!(stage.pay(0, 40 * GWEI).await, second);
    stage.mine_one().await;
    eventually("the transaction is included again", async || {
        let told = stage.statuses(second, 1).await;
        (told.last()? == "included").then_some(())
    })
    .await;
    eventually("the other one is replaced again", async || {
        let told = stage.statuses(first, 1).await;
        (told.last()? == "replaced").then_some(())
    })
    .await;
    running.stop().await;

    // The node forgets one that was pending.
    let running = stage
        .ingest(ChainConfig {
            dropped_after_ms: 200,
            ..config
        })
        .await
        .unwrap();
    let lost = stage.pay(1, 20 * GWEI).await;
    stage.watch(&Channel::Tx(lost)).await;
    stage.statuses(lost, 1).await;
    let _: Value = stage
        .node
        .request("anvil_dropTransaction", (lost,))
        .await
        .unwrap();
    assert_eq!(stage.statuses(lost, 2).await, ["pending", "dropped"]);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_happened_in_blocks_that_were_not_announced_is_told_all_the_same() {
    let stage = Stage::new().await;
    stage.control.set_automine(false).await.unwrap();
    let config = ChainConfig {
        confirmations: 5,
        announce_blocks: 2,
        ..stage.config()
    };
    let running = stage.ingest(config.clone()).await.unwrap();
    stage.caught_up().await;
    let first = stage.pay(0, 20 * GWEI).await;
    stage.watch(&Channel::Tx(first)).await;
    stage.statuses(first, 1).await;
    stage.mine_one().await;
    assert_eq!(stage.statuses(first, 2).await, ["pending", "included"]);
    let second = stage.pay(1, 20 * GWEI).await;
    stage.watch(&Channel::Tx(second)).await;
    stage.statuses(second, 1).await;
    running.stop().await;
    stage.control.mine(20).await.unwrap();
    let running = stage.ingest(config).await.unwrap();
    stage.caught_up().await;
    assert_eq!(
        stage.statuses(first, 3).await,
        ["pending", "included", "confirmed"]
    );
    assert_eq!(stage.statuses(second, 2).await, ["pending", "confirmed"]);
    stage.mine_one().await;
    assert_eq!(stage.statuses(first, 3).await.len(), 3);
    assert_eq!(stage.statuses(second, 2).await.len(), 2);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_hears_of_its_transactions_and_transfers_in_block_order_and_of_their_reorg() {
    let stage = Stage::new().await;
    let url = format!("http://127.0.0.1:{}", stage.anvil_options.port);
    let deployment = deploy_or_load(&url, stage.dir.path()).await.unwrap();
    let running = stage.ingest(stage.config()).await.unwrap();
    stage.caught_up().await;
    let market = Market::new(&url, &deployment, Some(1)).await.unwrap();
    let (from, to) = (market.holders()[0], market.holders()[1]);
    let sender = Channel::Address(from);
    let receiver = Channel::Address(to);
    stage.watch(&sender).await;
    stage.watch(&receiver).await;
    let sent = market
        .transfer("LINK", from, to, U256::from(77))
        .await
        .unwrap();
    stage.node.mined(&[sent]).await.unwrap();
    let block = stage.caught_up().await;
    let told = stage.told(&sender, 2).await;
    let events: Vec<&str> = told.iter().map(|update| &*update.event).collect();
    assert_eq!(events, ["address-transaction", "address-transfer"]);
    let (transaction, transfer) = (data(&told[0]), data(&told[1]));
    assert_eq!(transaction["hash"], json!(sent));
    assert_eq!(transaction["from"], from.to_string());
    assert_eq!(transaction["blockHash"], json!(block.hash));
    assert_eq!(transfer["transactionHash"], json!(sent));
    assert_eq!(
        (&transfer["amount"], &transfer["standard"]),
        (&json!("77"), &json!("ERC-20"))
    );
    let received = stage.told(&receiver, 1).await;
    assert_eq!(&*received[0].event, "address-transfer");

    stage.control.reorg(1).await.unwrap();
    stage.caught_up().await;
    let told = stage.told(&receiver, 2).await;
    assert_eq!(&*told[1].event, "address-reorg");
    assert_eq!(
        data(&told[1])["dropped"],
        json!([{ "number": block.number, "hash": block.hash }])
    );
    // What touches neither is nothing of theirs.
    stage.mine_one().await;
    assert_eq!(stage.updates(&receiver).await.len(), 2);
    assert_eq!(stage.updates(&sender).await.len(), 3);
    let stranger = Channel::Address(Address::repeat_byte(0x77));
    assert!(stage.updates(&stranger).await.is_empty());
    running.stop().await;
}
