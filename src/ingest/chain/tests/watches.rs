//! Watches: the seam at which one begins, its end, and what looking them up costs.

use std::time::Duration;

use serde_json::json;
use sqlx::Connection;

use super::{
    stage::{CHAIN, Stage, count, data, eventually},
    watched::{GATEWAY, GWEI, HOUR, MANY},
};
use crate::{
    model::{Address, B256, Channel, IndexMode},
    source::chain::ChainConfig,
    store::watches,
};

impl Stage {
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
}

fn four_addresses() -> Vec<Channel> {
    let addresses = (1..=4).map(Address::repeat_byte);
    addresses.map(Channel::Address).collect()
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
    let begun = tokio::spawn(async move {
        store
            .watch(&[Channel::Tx(hash)], HOUR, MANY, GATEWAY)
            .await
            .unwrap()
    });
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
    let channels = four_addresses();
    let began = stage
        .store
        .watch(&channels[..2], HOUR, 3, GATEWAY)
        .await
        .unwrap();
    assert_eq!(began, [Some(0), Some(0)]);
    let began = stage
        .store
        .watch(&channels, HOUR, 3, GATEWAY)
        .await
        .unwrap();
    assert_eq!(began, [Some(0), Some(0), Some(0), None]);
    assert_eq!(stage.count("SELECT count FROM watching").await, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_is_let_go_early_when_it_told_nothing_and_one_gateway_alone_asked_for_it() {
    let stage = Stage::new().await;
    let channels = four_addresses();
    let watch = async |channels: &[Channel], gateway: &str| {
        stage
            .store
            .watch(channels, HOUR, MANY, gateway)
            .await
            .unwrap();
    };
    let let_go = async |gateway: &str| {
        let gone = stage.store.let_go(&channels, Duration::ZERO, gateway);
        gone.await.unwrap()
    };
    watch(&channels, GATEWAY).await;
    // Another gateway has one of them, too, and another one has told something.
    watch(&channels[1..2], "another gateway").await;
    sqlx::query("UPDATE channels SET seq = seq + 1 WHERE name = $1")
        .bind(channels[2].to_string())
        .execute(&mut *stage.connection().await)
        .await
        .unwrap();
    assert_eq!(let_go("another gateway").await, [false; 4]);
    assert_eq!(let_go(GATEWAY).await, [true, false, false, true]);
    // Somebody subscribes meanwhile.
    watch(&channels[3..], GATEWAY).await;
    assert_eq!(stage.store.end_watches(10).await.unwrap(), 1);
    let left = "SELECT count(*) FROM watches WHERE until > now() + interval '50 minutes'";
    assert_eq!(stage.count(left).await, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_index_of_hashes_a_watch_searches_no_table_and_the_node_names_the_block() {
    let stage = Stage::new().await;
    stage.control.set_automine(false).await.unwrap();
    let running = stage.ingest(stage.config()).await.unwrap();
    let hash = stage.pay(0, 20 * GWEI).await;
    stage.mine_one().await;
    running.stop().await;
    // As while a large load runs.
    sqlx::raw_sql(
        "INSERT INTO deferred_indexes (name, definition)
         SELECT indexname, indexdef FROM pg_indexes WHERE indexname = 'transactions_hash';
         DROP INDEX transactions_hash",
    )
    .execute(&mut *stage.connection().await)
    .await
    .unwrap();
    let mut connection = stage.connection().await;
    let mut transaction = connection.begin().await.unwrap();
    let scans = "SELECT coalesce(seq_scan, 0) + coalesce(idx_scan, 0) FROM pg_stat_xact_user_tables
                 WHERE relname = 'transactions'";
    let before = count(&mut transaction, scans).await;
    sqlx::query("SELECT * FROM begin_watches($1, $2, 3600, 10, $3)")
        .bind(vec![hash.as_slice()])
        .bind(vec![Channel::Tx(hash).to_string()])
        .bind(GATEWAY)
        .fetch_all(&mut *transaction)
        .await
        .unwrap();
    let after = count(&mut transaction, scans).await;
    assert_eq!(after, before, "nobody waits for a search");
    sqlx::query("SET LOCAL enable_seqscan = off")
        .execute(&mut *transaction)
        .await
        .unwrap();
    let plan: Vec<String> = sqlx::query_scalar(&format!("EXPLAIN (COSTS OFF) {}", watches::STORED))
        .bind(hash.as_slice())
        .bind(CHAIN as i64)
        .bind(1_i64)
        .fetch_all(&mut *transaction)
        .await
        .unwrap();
    let searched = plan
        .iter()
        .position(|line| line.contains(" on transactions t"));
    let condition = searched.and_then(|at| plan.get(at + 1)).unwrap();
    assert!(
        condition.contains("Cond: ") && condition.contains("block_number = "),
        "{plan:#?}"
    );
    transaction.commit().await.unwrap();
    drop(connection);
    assert_eq!(stage.known(hash).await["status"], "unknown");
    let running = stage.ingest(stage.config()).await.unwrap();
    let told = data(&stage.told(&Channel::Tx(hash), 1).await[0]);
    assert_eq!(
        (&told["status"], &told["blockNumber"], &told["succeeded"]),
        (&json!("included"), &json!(1), &json!(true))
    );
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_no_transactions_are_indexed_the_node_is_not_asked_about_any() {
    let stage = Stage::new().await;
    stage.control.set_automine(false).await.unwrap();
    let config = ChainConfig {
        index: IndexMode::Logs,
        ..stage.config()
    };
    let running = stage.ingest(config).await.unwrap();
    stage.caught_up().await;
    let hash = stage.pay(0, 20 * GWEI).await;
    stage.watch(&Channel::Tx(hash)).await;
    // At each of these heads it would be asked; first that the transaction is pending.
    for _ in 0..3 {
        stage.mine_one().await;
    }
    assert!(stage.updates(&Channel::Tx(hash)).await.is_empty());
    assert_eq!(stage.known(hash).await["status"], "unknown");
    running.stop().await;
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
