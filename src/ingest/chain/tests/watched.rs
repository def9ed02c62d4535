//! Watched transactions and addresses: their life, and the seam at which a watch begins.

use alloy::primitives::{Address, U256};
use serde_json::{Value, json};

use super::stage::{Stage, data, eventually};
use crate::{
    dev::{AnvilOptions, Market, deploy_or_load},
    model::{B256, Channel, Update},
    source::chain::ChainConfig,
    store::watches,
};

const HOUR: u64 = 3_600;
const MANY: u64 = 1_000;

impl Stage {
    async fn watch(&self, channel: &Channel) -> u64 {
        let began = self
            .store
            .watch(std::slice::from_ref(channel), HOUR, MANY)
            .await
            .unwrap();
        began[0].unwrap()
    }

    async fn updates(&self, channel: &Channel) -> Vec<Update> {
        let all = self.store.updates_between(channel, 0, u64::MAX, 1_000);
        all.await.unwrap()
    }

    /// The channel's updates, once there are as many; no fewer and no more.
    async fn told(&self, channel: &Channel, count: usize) -> Vec<Update> {
        let what = format!("{count} updates of {channel}");
        eventually(&what, async || {
            let updates = self.updates(channel).await;
            (updates.len() >= count).then_some(updates)
        })
        .await
    }

    async fn statuses(&self, hash: B256, count: usize) -> Vec<String> {
        let updates = self.told(&Channel::Tx(hash), count).await;
        updates
            .iter()
            .map(|update| data(update)["status"].as_str().unwrap().to_owned())
            .collect()
    }

    /// A plain payment at a fixed price, so that the same is the same transaction again.
    async fn pay(&self, nonce: u64, gas_price: u64) -> B256 {
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

    async fn mine_one(&self) {
        self.control.mine(1).await.unwrap();
        self.caught_up().await;
    }

    /// Watches of addresses that nobody has.
    async fn fill(&self, from: u32, to: u32) {
        for statement in [
            &format!(
                "INSERT INTO channels (name) SELECT 'address:' || n FROM generate_series({from}, {to}) n"
            ),
            "INSERT INTO watches (key, channel_id, since, until)
             SELECT substr(sha256(id::text::bytea), 1, 20), id, 0, now() + interval '1 hour' FROM channels
             ON CONFLICT DO NOTHING",
            "ANALYZE watches",
        ] {
            sqlx::query(statement)
                .execute(&mut *self.connection().await)
                .await
                .unwrap();
        }
    }

    async fn known(&self, hash: B256) -> Value {
        data(&self.store.transaction_state(hash).await.unwrap())
    }
}

const GWEI: u64 = 1_000_000_000;

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

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_that_comes_while_blocks_are_committed_waits_and_sees_them() {
    let stage = Stage::new().await;
    let hash = B256::repeat_byte(7);
    let mut committing = stage.store.pool().begin().await.unwrap();
    watches::hold(&mut committing).await.unwrap();
    assert!(
        watches::among(&mut committing, &[hash.as_slice()])
            .await
            .unwrap()
            .is_empty()
    );
    let store = stage.store.clone();
    let begun =
        tokio::spawn(async move { store.watch(&[Channel::Tx(hash)], HOUR, MANY).await.unwrap() });
    let waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted";
    eventually("the watch waits", async || {
        (stage.count(waiting).await == 1).then_some(())
    })
    .await;
    for statement in [
        "INSERT INTO chains (chain_id, genesis_hash, start_block, head_number, head_hash)
         VALUES (1, decode(repeat('01', 32), 'hex'), 5, 5, decode(repeat('05', 32), 'hex'))",
        "INSERT INTO blocks (chain_id, number, hash, parent_hash, timestamp, miner, gas_used, gas_limit, difficulty,
             state_root, transactions_root, receipts_root, extra_data, transaction_count, log_count)
         VALUES (1, 5, decode(repeat('05', 32), 'hex'), decode(repeat('04', 32), 'hex'), 1,
             decode(repeat('00', 20), 'hex'), 0, 0, 0, '', '', '', '', 1, 0)",
        "INSERT INTO transactions (chain_id, block_number, transaction_index, hash, from_address, value, nonce, input,
             type, gas_limit, status, gas_used, cumulative_gas_used, effective_gas_price)
         VALUES (1, 5, 0, decode(repeat('07', 32), 'hex'), decode(repeat('00', 20), 'hex'), 0, 0, '', 0, 0, 0, 0, 0, 0)",
    ] {
        sqlx::query(statement).execute(&mut *committing).await.unwrap();
    }
    assert!(!begun.is_finished());
    committing.commit().await.unwrap();
    assert_eq!(begun.await.unwrap(), [Some(0)]);
    let state = stage.known(hash).await;
    assert_eq!(
        (&state["status"], &state["blockNumber"], &state["succeeded"]),
        (&json!("included"), &json!(5), &json!(false))
    );
    // And who commits the next blocks finds it.
    let mut next = stage.store.pool().begin().await.unwrap();
    watches::hold(&mut next).await.unwrap();
    let found = watches::among(&mut next, &[hash.as_slice()]).await.unwrap();
    assert_eq!(found, [hash.to_vec()]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_that_ended_takes_its_updates_along_and_begins_again_above_every_seq_it_gave() {
    let stage = Stage::new().await;
    stage.control.set_automine(false).await.unwrap();
    let running = stage.ingest(stage.config()).await.unwrap();
    let hash = stage.pay(0, 20 * GWEI).await;
    let channel = Channel::Tx(hash);
    assert_eq!(stage.watch(&channel).await, 0);
    let last = stage.told(&channel, 1).await.last().unwrap().seq;
    assert_eq!(stage.store.end_watches(10).await.unwrap(), 0);
    sqlx::query("UPDATE watches SET until = now() - interval '1 second'")
        .execute(&mut *stage.connection().await)
        .await
        .unwrap();
    assert_eq!(stage.store.end_watches(10).await.unwrap(), 1);
    assert!(stage.updates(&channel).await.is_empty());
    assert_eq!(
        stage
            .count("SELECT count(*) FROM channels WHERE name LIKE 'tx:%'")
            .await,
        0
    );
    let since = stage.watch(&channel).await;
    assert!(since > last, "{since} after {last}");
    let extent = stage.store.channel_extent(&channel).await.unwrap();
    assert!(
        extent.oldest > last + 1,
        "nobody who stood at {last} is told that nothing was missed: {extent:?}"
    );
    // A watch that is there is renewed, and keeps where it began.
    assert_eq!(stage.watch(&channel).await, since);
    assert_eq!(stage.told(&channel, 1).await[0].seq, since + 1);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn beyond_the_limit_no_watch_begins_and_those_there_are_go_on() {
    let stage = Stage::new().await;
    let channels: Vec<Channel> = (1..=4)
        .map(|byte| Channel::Address(Address::repeat_byte(byte)))
        .collect();
    let began = stage.store.watch(&channels[..2], HOUR, 3).await.unwrap();
    assert_eq!(began, [Some(0), Some(0)]);
    let began = stage.store.watch(&channels, HOUR, 3).await.unwrap();
    assert_eq!(began, [Some(0), Some(0), Some(0), None]);
    assert_eq!(stage.count("SELECT count FROM watching").await, 3);
}

/// As many as a block of 200 transactions touches; how long looking them up takes in the median.
async fn look_up(stage: &Stage) -> std::time::Duration {
    let keys: Vec<Vec<u8>> = (0..800u32)
        .map(|n| [n.to_be_bytes().as_slice(), &[9; 16]].concat())
        .collect();
    let keys: Vec<&[u8]> = keys.iter().map(Vec::as_slice).collect();
    let mut connection = stage.connection().await;
    let plan: Vec<String> = sqlx::query_scalar(&format!("EXPLAIN {}", watches::AMONG))
        .bind(&keys)
        .fetch_all(&mut *connection)
        .await
        .unwrap();
    let plan = plan.join("\n");
    let shown: String = plan.chars().take(500).collect();
    assert!(
        plan.contains("watches_pkey") && !plan.contains("Seq Scan on watches"),
        "{shown}"
    );
    let mut took = Vec::new();
    for _ in 0..41 {
        let begun = std::time::Instant::now();
        let found = watches::among(&mut connection, &keys).await.unwrap();
        took.push(begun.elapsed());
        assert!(found.is_empty());
    }
    took.sort();
    took[20]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_look_up_goes_by_index_however_many_watches_there_are() {
    let stage = Stage::new().await;
    let mut from = 1;
    for count in [1_000, 100_000] {
        stage.fill(from, count).await;
        println!(
            "800 keys among {count} watches: {:?}",
            look_up(&stage).await
        );
        from = count + 1;
    }
}
