//! Fills a database like a backfill: batches encoded on other threads, COPY, then the indexes.

use std::{
    error::Error,
    time::{Duration, Instant},
};

use chaincast_protocol::BlockRef;
use chaincast_store::{
    Store,
    chain::{self, Batch, Tags, indexes},
    writer::{Stream, Writer},
};
use futures_util::{StreamExt, TryStreamExt, stream};

use super::blocks::{self, CHAIN, Shape};

/// Blocks per batch, and batches per transaction.
const BATCH: u64 = 50;
const BATCHES: usize = 4;
/// Memory for an index; the default of `database.index_memory_bytes`.
const INDEX_MEMORY: u64 = 256 << 20;

/// Any error that ends a measurement; only its text is used.
pub type Failure = Box<dyn Error + Send + Sync>;

/// The measured durations.
#[derive(Debug, Default)]
pub struct LoadTimings {
    /// Processor time for all blocks.
    pub encode: Duration,
    /// Time until the last commit.
    pub load: Duration,
    pub indexes: Duration,
    pub rows: u64,
}

/// Stores `count` blocks of one shape; without indexes if there are at least `defer`.
pub async fn blocks(
    store: &Store,
    count: u64,
    shape: Shape,
    defer: u64,
) -> Result<LoadTimings, Failure> {
    let mut writer = Writer::acquire(store, Stream::Chain(CHAIN)).await?;
    let connection = writer.connection();
    chain::register(connection, CHAIN, blocks::block_ref(0), 0).await?;
    indexes::defer(connection, CHAIN, count, defer).await?;
    let began = Instant::now();
    let mut took = LoadTimings::default();
    let mut batches = stream::iter((0..count).step_by(BATCH as usize))
        .map(|from| {
            tokio::task::spawn_blocking(move || {
                let blocks: Vec<_> = (from..count.min(from + BATCH))
                    .map(|number| blocks::block(number, shape))
                    .collect();
                let began = processor_time()?;
                let batch = Batch::encode(CHAIN, &blocks)?;
                Ok::<_, Failure>((batch, processor_time()? - began))
            })
        })
        .buffered(2)
        .map(|joined| joined?)
        .try_chunks(BATCHES);
    while let Some(some) = batches.next().await {
        let (some, times): (Vec<Batch>, Vec<Duration>) = some?.into_iter().unzip();
        took.encode += times.iter().sum::<Duration>();
        took.rows += some.iter().map(|batch| batch.row_count()).sum::<u64>();
        let mut transaction = writer.begin().await?;
        chain::apply_batches(&mut transaction, &some, true).await?;
        transaction.commit().await?;
    }
    took.load = began.elapsed();
    let began = Instant::now();
    indexes::restore(writer.connection(), INDEX_MEMORY, |_| {}).await?;
    took.indexes = began.elapsed();
    let finalized = BlockRef {
        number: count - 1,
        hash: blocks::block_hash(count - 1),
    };
    let tags = Tags {
        node_head: Some(finalized.number),
        safe_number: Some(finalized.number),
        finalized: Some(finalized),
    };
    chain::record_tags(writer.connection(), CHAIN, &tags).await?;
    writer.release().await?;
    Ok(took)
}

/// Processor time of this thread, independent of other programs.
fn processor_time() -> Result<Duration, Failure> {
    let id = nix::time::ClockId::CLOCK_THREAD_CPUTIME_ID;
    Ok(Duration::from(nix::time::clock_gettime(id)?))
}

/// Prices, ticks, updates and dropped blocks, `count` of each, and fresh statistics of all tables.
pub async fn other_tables(store: &Store, count: u64) -> Result<(), Failure> {
    sqlx::raw_sql(&format!(
        "INSERT INTO tokens (symbol, name, position) VALUES ('ETH', 'Ether', 0), ('BTC', 'Bitcoin', 1);
         INSERT INTO price_sources (token, source, quote, chain_id, max_age_ms)
         VALUES ('ETH', 'chainlink', 'USD', {CHAIN}, 3600000), ('BTC', 'chainlink', 'USD', {CHAIN}, 3600000);
         INSERT INTO ticks (token, source, quote, price, observed_at, chain_id, block_number, block_hash, log_index)
         SELECT CASE WHEN n % 2 = 0 THEN 'ETH' ELSE 'BTC' END, 'chainlink', 'USD', 1 + n, to_timestamp(1700000000 + n),
             {CHAIN}, n, decode(repeat('01', 32), 'hex'), 0
         FROM generate_series(1, {count}) n;
         INSERT INTO prices (token, seq, price, confidence, status, sources, observed_at, announced_at)
         SELECT CASE WHEN n % 2 = 0 THEN 'ETH' ELSE 'BTC' END, n, 1 + n, 0, 'ok', '{{chainlink}}',
             to_timestamp(1700000000 + n), to_timestamp(1700000000 + n)
         FROM generate_series(1, {count}) n;
         INSERT INTO candles (token, seconds, start, open, high, low, close, count, first_at, last_at, told, closed)
         SELECT CASE WHEN n % 2 = 0 THEN 'ETH' ELSE 'BTC' END, 60, at, n, n, n, n, 1, at, at, 1, true
         FROM generate_series(1, {count}) n,
             LATERAL (SELECT to_timestamp(1699999980 + 60 * (n / 2)) AS at) t;
         INSERT INTO channels (name, seq) VALUES ('new-block', {count}), ('price:ETH', {count});
         INSERT INTO updates (channel_id, seq, event, data)
         SELECT c.id, n, c.name, '{{}}' FROM channels c, generate_series(1, {count}) n;
         INSERT INTO contracts (chain_id, name, shown, definition, position, addresses, events, start_block,
             decoded_from, decoded_through, found_from)
         VALUES ({CHAIN}, 'demo', 'Demo', decode(repeat('01', 32), 'hex'), 0, '{{}}', '{{Said(uint256),Rare()}}', 0, 0,
             {count}, 0);
         INSERT INTO contract_events (contract_id, chain_id, block_number, log_index, transaction_index, event,
             address, args)
         SELECT (SELECT id FROM contracts), {CHAIN}, n, 0, 0, CASE WHEN n % 200 = 0 THEN 'Rare' ELSE 'Said' END,
             decode(lpad(to_hex(n % 500), 40, '0'), 'hex'), '{{}}'
         FROM generate_series(1, {count}) n;
         INSERT INTO token_contracts (chain_id, address, standard, symbol, read_at)
         SELECT {CHAIN}, decode(lpad(to_hex(n), 40, '0'), 'hex'), 20, 'T', CASE WHEN n % 400 > 0 THEN now() END
         FROM generate_series(1, {count}) n;
         INSERT INTO alerts (subject, token, condition, threshold, revision)
         SELECT 'user-' || n % 100, 'ETH', 'above', n, n FROM generate_series(1, {count}) n;
         INSERT INTO alert_deliveries (alert_id, subject, seq, token, condition, threshold, price, status, fired_at)
         SELECT n, 'user-' || n % 100, n, 'ETH', 'above', n, n, 'ok', to_timestamp(1700000000 + n)
         FROM generate_series(1, {count}) n;
         INSERT INTO dropped_blocks (chain_id, hash, number, content)
         SELECT {CHAIN}, decode(lpad(to_hex(n), 64, '0'), 'hex'), n, '{{}}' FROM generate_series(1, {count}) n;"
    ))
    .execute(store.pool())
    .await?;
    sqlx::raw_sql("VACUUM ANALYZE")
        .execute(store.pool())
        .await?;
    Ok(())
}
