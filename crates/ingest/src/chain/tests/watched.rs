//! Watched transactions and addresses: the published updates.

use alloy::primitives::{Address, U256};
use serde_json::{Value, json};

use super::anvil_fixture::{AnvilFixture, data, eventually};
use chaincast_dev::{AnvilOptions, Market, deploy_or_load};
use chaincast_evm::chain::ChainConfig;
use chaincast_protocol::{B256, Channel, Update};

pub(super) const HOUR: u64 = 3_600;
pub(super) const MANY: u64 = 1_000;
pub(super) const GATEWAY: &str = "a gateway";

impl AnvilFixture {
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

    /// The channel's updates, once there are exactly `count`.
    pub(super) async fn expect_updates(&self, channel: &Channel, count: usize) -> Vec<Update> {
        let what = format!("{count} updates of {channel}");
        eventually(&what, async || {
            let updates = self.updates(channel).await;
            (updates.len() >= count).then_some(updates)
        })
        .await
    }

    pub(super) async fn statuses(&self, hash: B256, count: usize) -> Vec<String> {
        let updates = self.expect_updates(&Channel::Tx(hash), count).await;
        updates
            .iter()
            .map(|update| data(update)["status"].as_str().unwrap().to_owned())
            .collect()
    }

    /// A plain payment at a fixed price, so that equal arguments give the same transaction.
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
async fn publishes_watched_transaction_until_finality() {
    let fixture = AnvilFixture::with(AnvilOptions {
        slots_in_an_epoch: 2,
        ..AnvilOptions::default()
    })
    .await;
    fixture.control.set_automine(false).await.unwrap();
    let config = ChainConfig {
        confirmations: 3,
        ..fixture.config()
    };
    let running = fixture.ingest(config).await.unwrap();
    fixture.caught_up().await;
    let hash = fixture.pay(0, 20 * GWEI).await;
    assert_eq!(fixture.known(hash).await["status"], "unknown");
    fixture.watch(&Channel::Tx(hash)).await;
    assert_eq!(fixture.statuses(hash, 1).await, ["pending"]);
    fixture.mine_one().await;
    let included = data(&fixture.expect_updates(&Channel::Tx(hash), 2).await[1]);
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
    // One update per block up to the depth; then none until finality.
    for _ in 0..4 {
        fixture.mine_one().await;
    }
    let expect_updates = ["pending", "included", "included", "confirmed", "finalized"];
    assert_eq!(fixture.statuses(hash, 5).await, expect_updates);
    let last = data(&fixture.updates(&Channel::Tx(hash)).await[4]);
    assert_eq!(last["confirmations"], 5);
    assert_eq!(fixture.known(hash).await["status"], "finalized");
    fixture.mine_one().await;
    assert_eq!(fixture.statuses(hash, 5).await, expect_updates);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn transaction_is_replaced_dropped_or_restored_by_reorg() {
    let fixture = AnvilFixture::new().await;
    fixture.control.set_automine(false).await.unwrap();
    let config = ChainConfig {
        confirmations: 2,
        ..fixture.config()
    };
    let running = fixture.ingest(config.clone()).await.unwrap();
    fixture.mine_one().await;

    // Another transaction with its nonce is included.
    let first = fixture.pay(0, 20 * GWEI).await;
    fixture.watch(&Channel::Tx(first)).await;
    fixture.statuses(first, 1).await;
    let second = fixture.pay(0, 40 * GWEI).await;
    fixture.watch(&Channel::Tx(second)).await;
    fixture.mine_one().await;
    assert_eq!(fixture.statuses(first, 2).await, ["pending", "replaced"]);
    let replaced = data(&fixture.updates(&Channel::Tx(first)).await[1]);
    assert_eq!(replaced["replacedBy"], json!(second));

    // Its block is dropped, which reverts the replacement: either may be included again.
    let before = fixture.statuses(second, 1).await.len();
    fixture.control.reorg(1).await.unwrap();
    fixture.caught_up().await;
    assert_eq!(fixture.statuses(first, 3).await[2], "reorged");
    assert_eq!(
        fixture.statuses(second, before + 1).await[before],
        "reorged"
    );
    assert_eq!(fixture.pay(0, 40 * GWEI).await, second);
    fixture.mine_one().await;
    eventually("the transaction is included again", async || {
        let expect_updates = fixture.statuses(second, 1).await;
        (expect_updates.last()? == "included").then_some(())
    })
    .await;
    eventually("the other one is replaced again", async || {
        let expect_updates = fixture.statuses(first, 1).await;
        (expect_updates.last()? == "replaced").then_some(())
    })
    .await;
    running.stop().await;

    // The node forgets a pending transaction.
    let running = fixture
        .ingest(ChainConfig {
            dropped_after_ms: 200,
            ..config
        })
        .await
        .unwrap();
    let lost = fixture.pay(1, 20 * GWEI).await;
    fixture.watch(&Channel::Tx(lost)).await;
    fixture.statuses(lost, 1).await;
    let _: Value = fixture
        .node
        .request("anvil_dropTransaction", (lost,))
        .await
        .unwrap();
    assert_eq!(fixture.statuses(lost, 2).await, ["pending", "dropped"]);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn publishes_changes_in_unannounced_blocks() {
    let fixture = AnvilFixture::new().await;
    fixture.control.set_automine(false).await.unwrap();
    let config = ChainConfig {
        confirmations: 5,
        announce_blocks: 2,
        ..fixture.config()
    };
    let running = fixture.ingest(config.clone()).await.unwrap();
    fixture.caught_up().await;
    let first = fixture.pay(0, 20 * GWEI).await;
    fixture.watch(&Channel::Tx(first)).await;
    fixture.statuses(first, 1).await;
    fixture.mine_one().await;
    assert_eq!(fixture.statuses(first, 2).await, ["pending", "included"]);
    let second = fixture.pay(1, 20 * GWEI).await;
    fixture.watch(&Channel::Tx(second)).await;
    fixture.statuses(second, 1).await;
    running.stop().await;
    fixture.control.mine(20).await.unwrap();
    let running = fixture.ingest(config).await.unwrap();
    fixture.caught_up().await;
    assert_eq!(
        fixture.statuses(first, 3).await,
        ["pending", "included", "confirmed"]
    );
    assert_eq!(fixture.statuses(second, 2).await, ["pending", "confirmed"]);
    fixture.mine_one().await;
    assert_eq!(fixture.statuses(first, 3).await.len(), 3);
    assert_eq!(fixture.statuses(second, 2).await.len(), 2);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn address_updates_are_in_block_order_and_reorged() {
    let fixture = AnvilFixture::new().await;
    let url = format!("http://127.0.0.1:{}", fixture.anvil_options.port);
    let deployment = deploy_or_load(&url, fixture.dir.path()).await.unwrap();
    let running = fixture.ingest(fixture.config()).await.unwrap();
    fixture.caught_up().await;
    let market = Market::new(&url, &deployment, Some(1)).await.unwrap();
    let (from, to) = (market.holders()[0], market.holders()[1]);
    let sender = Channel::Address(from);
    let receiver = Channel::Address(to);
    fixture.watch(&sender).await;
    fixture.watch(&receiver).await;
    let sent = market
        .transfer("LINK", from, to, U256::from(77))
        .await
        .unwrap();
    fixture.node.mined(&[sent]).await.unwrap();
    let block = fixture.caught_up().await;
    let expect_updates = fixture.expect_updates(&sender, 2).await;
    let events: Vec<&str> = expect_updates
        .iter()
        .map(|update| update.event.as_str())
        .collect();
    assert_eq!(events, ["address-transaction", "address-transfer"]);
    let (transaction, transfer) = (data(&expect_updates[0]), data(&expect_updates[1]));
    assert_eq!(transaction["hash"], json!(sent));
    assert_eq!(transaction["from"], from.to_string());
    assert_eq!(transaction["blockHash"], json!(block.hash));
    assert_eq!(transfer["transactionHash"], json!(sent));
    assert_eq!(
        (&transfer["amount"], &transfer["standard"]),
        (&json!("77"), &json!("ERC-20"))
    );
    let received = fixture.expect_updates(&receiver, 1).await;
    assert_eq!(received[0].event, "address-transfer");

    fixture.control.reorg(1).await.unwrap();
    fixture.caught_up().await;
    let expect_updates = fixture.expect_updates(&receiver, 2).await;
    assert_eq!(expect_updates[1].event, "address-reorg");
    assert_eq!(
        data(&expect_updates[1])["dropped"],
        json!([{ "number": block.number, "hash": block.hash }])
    );
    // Other activity is not published to them.
    fixture.mine_one().await;
    assert_eq!(fixture.updates(&receiver).await.len(), 2);
    assert_eq!(fixture.updates(&sender).await.len(), 3);
    let stranger = Channel::Address(Address::repeat_byte(0x77));
    assert!(fixture.updates(&stranger).await.is_empty());
    running.stop().await;
}
