//! Retention: what is deleted, and when.

use chaincast_protocol::now_ms;
use chaincast_store::{
    MessageRetention, Store, StoreConfig, StoreError,
    chain::{self, Batch, Tags},
    updates::ChannelLimit,
    writer::{Stream, Writer},
};

use tokio_util::sync::CancellationToken;

use super::{
    blocks::{self, CHAIN, Shape, block_ref as at},
    limits, number, store,
    ticks::{DAY, day_of, insert, partitions, tick},
};
use crate::support::eventually;

const COUNT: &str = "SELECT count(*) FROM dropped_blocks";

async fn finalize(writer: &mut Writer, number: u64) -> Result<(), StoreError> {
    let tags = Tags {
        finalized: Some(at(number)),
        ..Tags::default()
    };
    chain::record_tags(writer.connection(), CHAIN, &tags).await
}

/// Ten blocks, of which those above 4 were dropped.
async fn dropped(store: &Store) -> Writer {
    let shape = Shape {
        transactions: 1,
        logs: 1,
        transfers: 1,
    };
    let mut writer = Writer::acquire(store, Stream::Chain(CHAIN)).await.unwrap();
    let connection = writer.connection();
    chain::register(connection, CHAIN, at(0), 0).await.unwrap();
    let blocks: Vec<_> = (0..10).map(|number| blocks::block(number, shape)).collect();
    let batch = Batch::encode(CHAIN, &blocks).unwrap();
    chain::apply_batch(connection, &batch, true).await.unwrap();
    let gone = chain::unwind(connection, CHAIN, at(4)).await.unwrap();
    assert_eq!(gone.len(), 5);
    for table in ["transactions", "logs", "transfers"] {
        let query = format!("SELECT count(*) FROM {table} WHERE block_number > 4");
        assert_eq!(number(store, &query).await, 0, "{table}");
    }
    writer
}

#[tokio::test(flavor = "multi_thread")]
async fn dropped_block_is_kept_until_final_for_the_retention() {
    let (store, _) = store().await;
    let mut writer = dropped(&store).await;
    // Nothing is finalized: all dropped blocks stay, however short the retention.
    assert_eq!(store.prune_dropped(0, 100).await.unwrap(), 0);
    // Heights 5 and 6 are finalized now, so their retention begins.
    finalize(&mut writer, 6).await.unwrap();
    assert_eq!(store.prune_dropped(3_600_000, 100).await.unwrap(), 0);
    assert_eq!(number(&store, COUNT).await, 5);
    sqlx::query("UPDATE dropped_blocks SET final_at = final_at - interval '61 minutes'")
        .execute(store.pool())
        .await
        .unwrap();
    // In bounded batches.
    assert_eq!(store.prune_dropped(3_600_000, 1).await.unwrap(), 1);
    assert_eq!(store.prune_dropped(3_600_000, 100).await.unwrap(), 1);
    assert_eq!(store.prune_dropped(3_600_000, 100).await.unwrap(), 0);
    let kept = "SELECT min(number) FROM dropped_blocks";
    assert_eq!(number(&store, kept).await, 7);
    assert_eq!(number(&store, COUNT).await, 3);
    assert_eq!(
        store.read_dropped_block(CHAIN, at(8).hash).await.unwrap(),
        Some(8)
    );
    assert_eq!(
        store.read_dropped_block(CHAIN, at(5).hash).await.unwrap(),
        None
    );
}

#[tokio::test]
async fn short_candles_expire_and_long_ones_stay() {
    let (store, _) = store().await;
    sqlx::raw_sql(
        "INSERT INTO candles (token, seconds, start, open, high, low, close, count, first_at, last_at)
         SELECT 'ETH', seconds, at, 1, 1, 1, 1, 1, at, at
         FROM unnest(ARRAY[60, 300, 900, 3600, 14400, 86400]) AS i (seconds),
              unnest(ARRAY[now() - interval '40 days', now()]) AS t (at)",
    )
    .execute(store.pool())
    .await
    .unwrap();
    assert_eq!(store.prune_candles(30, 2).await.unwrap(), 2);
    assert_eq!(store.prune_candles(30, 2).await.unwrap(), 1);
    assert_eq!(store.prune_candles(30, 2).await.unwrap(), 0);
    let left: i64 = sqlx::query_scalar("SELECT count(*) FROM candles")
        .fetch_one(store.pool())
        .await
        .unwrap();
    assert_eq!(left, 9);
}

#[tokio::test]
async fn prices_expire_except_the_newest_of_a_token() {
    let (store, _) = store().await;
    sqlx::raw_sql(
        "INSERT INTO tokens (symbol, name) VALUES ('ETH', 'Ether'), ('OLD', 'Gone');
         INSERT INTO prices (token, seq, price, confidence, status, sources, observed_at, announced_at)
         SELECT token, seq, 1, 0, 'ok', ARRAY['a'], at, at FROM (VALUES
             ('ETH', 1, now() - interval '9 days'), ('ETH', 2, now() - interval '8 days'), ('ETH', 3, now()),
             ('OLD', 1, now() - interval '9 days'), ('OLD', 2, now() - interval '8 days')) v (token, seq, at)",
    )
    .execute(store.pool())
    .await
    .unwrap();
    assert_eq!(store.prune_prices(10, 100).await.unwrap(), 0);
    assert_eq!(store.prune_prices(7, 2).await.unwrap(), 2);
    assert_eq!(store.prune_prices(7, 2).await.unwrap(), 1);
    assert_eq!(store.prune_prices(7, 2).await.unwrap(), 0);
    let left: Vec<(String, i64)> =
        sqlx::query_as("SELECT token, seq FROM prices ORDER BY token, seq")
            .fetch_all(store.pool())
            .await
            .unwrap();
    assert_eq!(left, [("ETH".to_owned(), 3), ("OLD".to_owned(), 2)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn retention_runs_by_itself_and_creates_tick_partitions() {
    let (store, _) = store().await;
    let now = now_ms();
    let ahead = day_of(now + 2 * DAY);
    sqlx::query(&format!("DROP TABLE {ahead}"))
        .execute(store.pool())
        .await
        .unwrap();
    // One tick is in the default partition, one is very old, and one is of a day that is over.
    let times = [now + 2 * DAY, now - 50 * DAY, now - 40 * DAY];
    insert(&store, &times.map(|at| tick("5", at, None))).await;
    sqlx::raw_sql(
        "SELECT add_ticks_day((now() AT TIME ZONE 'UTC')::date - 40);
         INSERT INTO tokens (symbol, name) VALUES ('ETH', 'Ether');
         INSERT INTO prices (token, seq, price, confidence, status, sources, observed_at, announced_at)
         SELECT 'ETH', seq, 1, 0, 'ok', ARRAY['a'], at, at
         FROM (VALUES (1, now() - interval '100 days'), (2, now())) v (seq, at);
         INSERT INTO candles (token, seconds, start, open, high, low, close, count, first_at, last_at)
         SELECT 'ETH', seconds, at, 1, 1, 1, 1, 1, at, at
         FROM (VALUES (60, now() - interval '400 days'), (3600, now() - interval '400 days')) v (seconds, at)",
    )
    .execute(store.pool())
    .await
    .unwrap();
    let stop = CancellationToken::new();
    let task = tokio::spawn(store.clone().run_retention(
        StoreConfig::default(),
        MessageRetention::default(),
        stop.clone(),
    ));
    eventually("only recent rows are left", || async {
        let ticks = partitions(&store).await;
        let prices = number(&store, "SELECT count(*) FROM prices").await;
        let candles = number(&store, "SELECT count(*) FROM candles").await;
        let done = ticks.len() == 1 && ticks.get(&ahead) == Some(&1);
        (done && (prices, candles) == (1, 1)).then_some(())
    })
    .await;
    stop.cancel();
    task.await.unwrap();
}

#[tokio::test]
async fn channel_keeps_a_bounded_number_of_recent_updates() {
    let (store, _) = store().await;
    sqlx::raw_sql(
        "INSERT INTO channels (name, seq) VALUES ('price:ETH', 10), ('user:alice', 10), ('new-block', 4);
         INSERT INTO updates (channel_id, seq, event, data)
         SELECT id, s, 'e', '{}' FROM channels c CROSS JOIN LATERAL generate_series(1, c.seq) s",
    )
    .execute(store.pool())
    .await
    .unwrap();
    assert_eq!(
        store.prune_long_channels(&limits(3, 5), 4).await.unwrap(),
        4
    );
    while store.prune_long_channels(&limits(3, 5), 4).await.unwrap() > 0 {}
    let left: Vec<(String, i64, i64)> = sqlx::query_as(
        "SELECT c.name, min(u.seq), max(u.seq) FROM updates u JOIN channels c ON c.id = u.channel_id
         GROUP BY c.name ORDER BY c.name",
    )
    .fetch_all(store.pool())
    .await
    .unwrap();
    let expected = [
        ("new-block", 1, 4),
        ("price:ETH", 6, 10),
        ("user:alice", 8, 10),
    ];
    let returned = left
        .iter()
        .map(|(name, from, to)| (name.as_str(), *from, *to));
    assert_eq!(returned.collect::<Vec<_>>(), expected);
}

#[tokio::test]
async fn first_limit_whose_pattern_matches_decides() {
    let (store, _) = store().await;
    sqlx::raw_sql(
        "INSERT INTO channels (name, seq) VALUES ('room:a_b', 10), ('room:axb', 10), ('room:lobby-1', 10);
         INSERT INTO updates (channel_id, seq, event, data)
         SELECT id, s, 'room-message', '{}' FROM channels c CROSS JOIN LATERAL generate_series(1, c.seq) s",
    )
    .execute(store.pool())
    .await
    .unwrap();
    let limits = [
        ("room:a\\_b", 2),
        ("room:lobby-%", 3),
        ("room:%", 1),
        ("%", 9),
    ];
    let limits = limits.map(|(pattern, keep)| ChannelLimit {
        pattern: pattern.to_owned(),
        keep,
    });
    assert_eq!(store.prune_long_channels(&limits, 100).await.unwrap(), 24);
    for (name, left) in [("room:a_b", 2), ("room:axb", 1), ("room:lobby-1", 3)] {
        let query = format!(
            "SELECT count(*) FROM updates WHERE channel_id = (SELECT id FROM channels WHERE name = '{name}')"
        );
        assert_eq!(number(&store, &query).await, left, "{name}");
    }
    assert!(store.channel_faults(10).await.unwrap().is_empty());
}
