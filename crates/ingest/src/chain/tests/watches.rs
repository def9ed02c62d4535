//! Watches: their begin during a commit, their end, and the cost of looking them up.

use std::time::Duration;

use serde_json::json;
use sqlx::Connection;

use super::{
    anvil_fixture::{AnvilFixture, CHAIN, count, data, eventually},
    watched::{GATEWAY, GWEI, HOUR, MANY},
};
use chaincast_evm::chain::ChainConfig;
use chaincast_model::IndexMode;
use chaincast_protocol::{Address, B256, Channel};
use chaincast_store::watches;

impl AnvilFixture {
    /// Watches of unused addresses.
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
async fn watch_begun_during_commit_sees_its_blocks() {
    let fixture = AnvilFixture::new().await;
    let hash = B256::repeat_byte(7);
    let mut committing = fixture.store.pool().begin().await.unwrap();
    watches::lock_shared(&mut committing).await.unwrap();
    assert!(
        watches::watched_keys(&mut committing, &[hash.as_slice()])
            .await
            .unwrap()
            .is_empty()
    );
    let store = fixture.store.clone();
    let begun = tokio::spawn(async move {
        store
            .watch(&[Channel::Tx(hash)], HOUR, MANY, GATEWAY)
            .await
            .unwrap()
    });
    let waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted";
    eventually("the watch waits for the lock", async || {
        (fixture.count(waiting).await == 1).then_some(())
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
    let state = fixture.known(hash).await;
    assert_eq!(
        (&state["status"], &state["blockNumber"], &state["succeeded"]),
        (&json!("included"), &json!(5), &json!(false))
    );
    // The commit of the next blocks finds it.
    let mut next = fixture.store.pool().begin().await.unwrap();
    watches::lock_shared(&mut next).await.unwrap();
    let found = watches::watched_keys(&mut next, &[hash.as_slice()])
        .await
        .unwrap();
    assert_eq!(found, [hash.to_vec()]);
}

#[tokio::test(flavor = "multi_thread")]
async fn ended_watch_restarts_above_its_last_seq() {
    let fixture = AnvilFixture::new().await;
    fixture.control.set_automine(false).await.unwrap();
    let running = fixture.ingest(fixture.config()).await.unwrap();
    let hash = fixture.pay(0, 20 * GWEI).await;
    let channel = Channel::Tx(hash);
    assert_eq!(fixture.watch(&channel).await, 0);
    let last = fixture
        .expect_updates(&channel, 1)
        .await
        .last()
        .unwrap()
        .seq;
    assert_eq!(fixture.store.end_watches(10).await.unwrap(), 0);
    sqlx::query("UPDATE watches SET until = now() - interval '1 second'")
        .execute(&mut *fixture.connection().await)
        .await
        .unwrap();
    assert_eq!(fixture.store.end_watches(10).await.unwrap(), 1);
    assert!(fixture.updates(&channel).await.is_empty());
    assert_eq!(
        fixture
            .count("SELECT count(*) FROM channels WHERE name LIKE 'tx:%'")
            .await,
        0
    );
    let since = fixture.watch(&channel).await;
    assert!(since > last, "{since} after {last}");
    let extent = fixture.store.channel_extent(&channel).await.unwrap();
    assert!(
        extent.oldest > last + 1,
        "a client at {last} must learn that updates were missed: {extent:?}"
    );
    // An existing watch is renewed, and keeps its begin.
    assert_eq!(fixture.watch(&channel).await, since);
    assert_eq!(fixture.expect_updates(&channel, 1).await[0].seq, since + 1);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn watch_limit_rejects_new_and_renews_existing() {
    let fixture = AnvilFixture::new().await;
    let channels = four_addresses();
    let began = fixture
        .store
        .watch(&channels[..2], HOUR, 3, GATEWAY)
        .await
        .unwrap();
    assert_eq!(began, [Some(0), Some(0)]);
    let began = fixture
        .store
        .watch(&channels, HOUR, 3, GATEWAY)
        .await
        .unwrap();
    assert_eq!(began, [Some(0), Some(0), Some(0), None]);
    assert_eq!(fixture.count("SELECT count FROM watching").await, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn unused_watch_of_one_gateway_is_released_early() {
    let fixture = AnvilFixture::new().await;
    let channels = four_addresses();
    let watch = async |channels: &[Channel], gateway: &str| {
        fixture
            .store
            .watch(channels, HOUR, MANY, gateway)
            .await
            .unwrap();
    };
    let release_watches = async |gateway: &str| {
        let gone = fixture
            .store
            .release_watches(&channels, Duration::ZERO, gateway);
        gone.await.unwrap()
    };
    watch(&channels, GATEWAY).await;
    // Another gateway has one of them too, and another one has published an update.
    watch(&channels[1..2], "another gateway").await;
    sqlx::query("UPDATE channels SET seq = seq + 1 WHERE name = $1")
        .bind(channels[2].to_string())
        .execute(&mut *fixture.connection().await)
        .await
        .unwrap();
    assert_eq!(release_watches("another gateway").await, [false; 4]);
    assert_eq!(release_watches(GATEWAY).await, [true, false, false, true]);
    // A client subscribes meanwhile.
    watch(&channels[3..], GATEWAY).await;
    assert_eq!(fixture.store.end_watches(10).await.unwrap(), 1);
    let left = "SELECT count(*) FROM watches WHERE until > now() + interval '50 minutes'";
    assert_eq!(fixture.count(left).await, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn watch_without_hash_index_asks_node_for_block() {
    let fixture = AnvilFixture::new().await;
    fixture.control.set_automine(false).await.unwrap();
    let running = fixture.ingest(fixture.config()).await.unwrap();
    let hash = fixture.pay(0, 20 * GWEI).await;
    fixture.mine_one().await;
    running.stop().await;
    // As during a large load.
    sqlx::raw_sql(
        "INSERT INTO deferred_indexes (name, definition)
         SELECT indexname, indexdef FROM pg_indexes WHERE indexname = 'transactions_hash';
         DROP INDEX transactions_hash",
    )
    .execute(&mut *fixture.connection().await)
    .await
    .unwrap();
    let mut connection = fixture.connection().await;
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
    assert_eq!(after, before, "no query searches the table");
    sqlx::query("SET LOCAL enable_seqscan = off")
        .execute(&mut *transaction)
        .await
        .unwrap();
    let plan: Vec<String> =
        sqlx::query_scalar(&format!("EXPLAIN (COSTS OFF) {}", watches::MARK_STORED))
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
    assert_eq!(fixture.known(hash).await["status"], "unknown");
    let running = fixture.ingest(fixture.config()).await.unwrap();
    let update = data(&fixture.expect_updates(&Channel::Tx(hash), 1).await[0]);
    assert_eq!(
        (
            &update["status"],
            &update["blockNumber"],
            &update["succeeded"]
        ),
        (&json!("included"), &json!(1), &json!(true))
    );
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn node_is_not_polled_without_indexed_transactions() {
    let fixture = AnvilFixture::new().await;
    fixture.control.set_automine(false).await.unwrap();
    let config = ChainConfig {
        index: IndexMode::Logs,
        ..fixture.config()
    };
    let running = fixture.ingest(config).await.unwrap();
    fixture.caught_up().await;
    let hash = fixture.pay(0, 20 * GWEI).await;
    fixture.watch(&Channel::Tx(hash)).await;
    // It would be polled at each of these heads; first the transaction must be pending.
    for _ in 0..3 {
        fixture.mine_one().await;
    }
    assert!(fixture.updates(&Channel::Tx(hash)).await.is_empty());
    assert_eq!(fixture.known(hash).await["status"], "unknown");
    running.stop().await;
}

/// The median time to look up as many keys as a block of 200 transactions touches.
async fn look_up(fixture: &AnvilFixture) -> std::time::Duration {
    let keys: Vec<Vec<u8>> = (0..800u32)
        .map(|n| [n.to_be_bytes().as_slice(), &[9; 16]].concat())
        .collect();
    let keys: Vec<&[u8]> = keys.iter().map(Vec::as_slice).collect();
    let mut connection = fixture.connection().await;
    let plan: Vec<String> = sqlx::query_scalar(&format!("EXPLAIN {}", watches::WATCHED_KEYS))
        .bind(&keys)
        .fetch_all(&mut *connection)
        .await
        .unwrap();
    let plan = plan.join("\n");
    let plan_start: String = plan.chars().take(500).collect();
    assert!(
        plan.contains("watches_pkey") && !plan.contains("Seq Scan on watches"),
        "{plan_start}"
    );
    let mut took = Vec::new();
    for _ in 0..41 {
        let begun = std::time::Instant::now();
        let found = watches::watched_keys(&mut connection, &keys).await.unwrap();
        took.push(begun.elapsed());
        assert!(found.is_empty());
    }
    took.sort();
    took[20]
}

#[tokio::test(flavor = "multi_thread")]
async fn watch_lookup_uses_index() {
    let fixture = AnvilFixture::new().await;
    let mut from = 1;
    for count in [1_000, 100_000] {
        fixture.fill(from, count).await;
        println!(
            "800 keys among {count} watches: {:?}",
            look_up(&fixture).await
        );
        from = count + 1;
    }
}
