//! Backfills: downwards, upwards, killed, throttled, and with a reorg meanwhile.

use std::sync::Arc;

use sqlx::Connection;
use tokio::{task::JoinHandle, time::Instant};
use tokio_util::sync::CancellationToken;

use super::{
    anvil_fixture::{AnvilFixture, CHAIN, EveryTransfer, eventually},
    proxy::{Answer, Proxy},
};
use crate::{Backfill, ChainContext, IngestError, PriceSignals};
use chaincast_base::Secret;
use chaincast_dev::{PrivatePostgres, deploy_or_load};
use chaincast_evm::chain::{ChainConfig, ChecksConfig};
use chaincast_store::{
    StoreError,
    chain::ChainState,
    writer::{Stream, Writer},
};

const BLOCKS: &str = "eth_getBlockByNumber";

/// Small requests and transactions, so that there are many of them.
fn config_through(proxy: &Proxy, fixture: &AnvilFixture) -> ChainConfig {
    ChainConfig {
        rpc_url: Secret::new(proxy.url()),
        request_blocks: 3,
        batch_blocks: 5,
        rest_max_ms: 2_000,
        ..fixture.config()
    }
}

fn backfill(fixture: &AnvilFixture, config: ChainConfig, from: u64, to: Option<u64>) -> Backfill {
    let (signals, _) = PriceSignals::new();
    let context = ChainContext {
        first_chain: CHAIN,
        store: fixture.store.clone(),
        publisher: fixture.bus.publisher(),
        decoder: Arc::new(EveryTransfer),
        signals,
        contracts: fixture.contracts.clone(),
    };
    Backfill::new(config, context, from, to).unwrap()
}

async fn filled(
    fixture: &AnvilFixture,
    config: ChainConfig,
    from: u64,
    to: Option<u64>,
) -> Result<ChainState, IngestError> {
    let backfill = backfill(fixture, config, from, to);
    let filled = backfill.run(&CancellationToken::new(), |_| {}).await?;
    Ok(filled.state)
}

/// A backfill that can be killed.
fn started(
    fixture: &AnvilFixture,
    config: ChainConfig,
    from: u64,
) -> JoinHandle<Result<ChainState, IngestError>> {
    let backfill = backfill(fixture, config, from, None);
    tokio::spawn(async move {
        let filled = backfill.run(&CancellationToken::new(), |_| {}).await?;
        Ok(filled.state)
    })
}

/// As by SIGKILL: uncommitted work and the connection's lock are lost.
async fn killed(fixture: &AnvilFixture, running: JoinHandle<Result<ChainState, IngestError>>) {
    running.abort();
    running.await.ok();
    eventually("the lock of a killed writer is free", async || {
        let writer = Writer::acquire(&fixture.store, Stream::Chain(CHAIN)).await;
        writer.ok()?.release().await.ok()
    })
    .await;
}

/// A fixture with contracts and blocks up to this height.
async fn history(blocks: u64) -> AnvilFixture {
    let fixture = AnvilFixture::new().await;
    let url = format!("http://127.0.0.1:{}", fixture.anvil_options.port);
    deploy_or_load(&url, fixture.dir.path()).await.unwrap();
    let (head, _) = fixture.control.head().await.unwrap();
    assert!(head < blocks);
    fixture.control.mine(blocks - head).await.unwrap();
    fixture
}

#[tokio::test(flavor = "multi_thread")]
async fn downward_backfill_resumes_after_kill() {
    let fixture = history(60).await;
    let proxy = Proxy::new(fixture.anvil_options.port).await;
    let config = config_through(&proxy, &fixture);
    let state = filled(&fixture, config.clone(), 50, None).await.unwrap();
    assert_eq!((state.start_block, state.head.unwrap().number), (50, 60));
    assert_eq!(fixture.count("SELECT count(*) FROM transfers").await, 0);

    proxy.hold_after(BLOCKS, 25);
    let running = started(&fixture, config.clone(), 0);
    let middle = eventually("the middle", async || {
        let start = fixture.state().await.start_block;
        (start < 50 && proxy.holds(BLOCKS)).then_some(start)
    })
    .await;
    killed(&fixture, running).await;
    proxy.pass(BLOCKS);
    assert!(middle > 0);
    let state = fixture.state().await;
    assert!((1..50).contains(&state.start_block));
    assert_eq!(state.verified_through, Some(60));
    fixture.assert_equals_node().await;

    fixture.control.mine(5).await.unwrap();
    let state = filled(&fixture, config, 0, None).await.unwrap();
    assert_eq!((state.start_block, state.head.unwrap().number), (0, 65));
    assert_eq!(state.verified_through, Some(65));
    fixture.assert_equals_node().await;
    assert_eq!(fixture.count("SELECT count(*) FROM blocks").await, 66);
    assert!(fixture.count("SELECT count(*) FROM transfers").await > 10);
    assert!(fixture.count("SELECT count(*) FROM ticks").await > 0);
    // Only blocks above the stored head are announced, never those below.
    let announced = "SELECT count(*) FROM updates WHERE event = 'new-block'";
    assert_eq!(fixture.count(announced).await, 11 + 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn load_continues_linked_after_database_crash() {
    let mut fixture = history(80).await;
    let proxy = Proxy::new(fixture.anvil_options.port).await;
    proxy.hold_after(BLOCKS, 25);
    // Commits without announcements are asynchronous.
    let config = ChainConfig {
        announce_blocks: 0,
        ..config_through(&proxy, &fixture)
    };
    let running = started(&fixture, config, 0);
    eventually("the middle", async || {
        (fixture.count("SELECT count(*) FROM blocks").await > 10 && proxy.holds(BLOCKS))
            .then_some(())
    })
    .await;
    fixture.postgres.take().unwrap().abort();
    let again = PrivatePostgres::start(&fixture.dir.path().join("db")).await;
    fixture.postgres = Some(again.unwrap());
    let head = fixture.state().await.head;
    assert!(head.is_none_or(|head| head.number < 80), "{head:?}");
    fixture.assert_equals_node().await;

    proxy.pass(BLOCKS);
    let state = running.await.unwrap().unwrap();
    assert_eq!((state.start_block, state.head.unwrap().number), (0, 80));
    assert_eq!(fixture.count("SELECT count(*) FROM blocks").await, 81);
    fixture.assert_equals_node().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn upward_backfill_resumes_after_kill() {
    let fixture = history(80).await;
    let proxy = Proxy::new(fixture.anvil_options.port).await;
    let config = config_through(&proxy, &fixture);
    proxy.hold_after(BLOCKS, 25);
    let running = started(&fixture, config.clone(), 4);
    eventually("the middle", async || {
        let state = chaincast_store::chain::state(&mut *fixture.connection().await, CHAIN)
            .await
            .unwrap()?;
        (state.head.is_some() && proxy.holds(BLOCKS)).then_some(())
    })
    .await;
    killed(&fixture, running).await;
    proxy.pass(BLOCKS);
    assert!(fixture.state().await.head.unwrap().number < 80);
    fixture.assert_equals_node().await;

    let state = filled(&fixture, config.clone(), 4, Some(30)).await.unwrap();
    assert_eq!((state.start_block, state.head.unwrap().number), (4, 30));
    let serving = fixture
        .ingest(ChainConfig {
            start_block: 4,
            ..config
        })
        .await
        .unwrap();
    let head = fixture.caught_up().await;
    fixture.assert_equals_node().await;
    assert_eq!(fixture.state().await.verified_through, Some(head.number));
    serving.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn follows_reorg_during_upward_backfill() {
    let fixture = history(80).await;
    let proxy = Proxy::new(fixture.anvil_options.port).await;
    proxy.hold_after(BLOCKS, 25);
    let running = started(&fixture, config_through(&proxy, &fixture), 55);
    eventually("the middle", async || {
        let state = chaincast_store::chain::state(&mut *fixture.connection().await, CHAIN)
            .await
            .unwrap()?;
        (state.head.is_some_and(|head| head.number >= 58) && proxy.holds(BLOCKS)).then_some(())
    })
    .await;
    let (head, _) = fixture.control.head().await.unwrap();
    fixture.control.reorg(head - 57).await.unwrap();
    proxy.pass(BLOCKS);
    let state = running.await.unwrap().unwrap();
    assert_eq!((state.start_block, state.head.unwrap().number), (55, head));
    fixture.assert_equals_node().await;
    assert!(fixture.count("SELECT count(*) FROM dropped_blocks").await > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn follows_reorg_during_downward_backfill() {
    let fixture = history(80).await;
    let proxy = Proxy::new(fixture.anvil_options.port).await;
    let config = config_through(&proxy, &fixture);
    filled(&fixture, config.clone(), 60, None).await.unwrap();
    proxy.hold_after(BLOCKS, 25);
    let running = started(&fixture, config, 0);
    eventually("the middle", async || {
        let start = fixture.state().await.start_block;
        (start < 60 && proxy.holds(BLOCKS)).then_some(())
    })
    .await;
    fixture.control.reorg(7).await.unwrap();
    proxy.pass(BLOCKS);
    let state = running.await.unwrap().unwrap();
    assert_eq!((state.start_block, state.head.unwrap().number), (0, 80));
    fixture.assert_equals_node().await;
    let dropped = fixture.count("SELECT count(*) FROM dropped_blocks").await;
    assert_eq!(dropped, 7);
}

#[tokio::test(flavor = "multi_thread")]
async fn downward_backfill_reports_reorg_below_stored_chain() {
    let fixture = history(80).await;
    let config = fixture.config();
    filled(&fixture, config.clone(), 60, None).await.unwrap();
    fixture.control.reorg(30).await.unwrap();
    let error = filled(&fixture, config, 0, None).await.unwrap_err();
    let is_too_deep = matches!(&error, IngestError::ReorgTooDeep { .. });
    assert!(
        is_too_deep && error.to_string().contains("start_block = 60"),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn verified_through_ends_at_unproven_block() {
    let fixture = history(80).await;
    let proxy = Proxy::new(fixture.anvil_options.port).await;
    let config = config_through(&proxy, &fixture);
    filled(&fixture, config.clone(), 30, None).await.unwrap();
    let unproven = ChainConfig {
        checks: ChecksConfig {
            receipts_root: false,
            ..ChecksConfig::default()
        },
        ..config.clone()
    };
    let state = filled(&fixture, unproven, 20, None).await.unwrap();
    assert_eq!((state.start_block, state.verified_through), (20, None));
    let state = filled(&fixture, config, 10, None).await.unwrap();
    assert_eq!((state.start_block, state.verified_through), (10, Some(19)));
    fixture.assert_equals_node().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn honors_retry_after_of_node() {
    let fixture = history(80).await;
    let proxy = Proxy::new(fixture.anvil_options.port).await;
    let config = config_through(&proxy, &fixture);
    filled(&fixture, config.clone(), 0, Some(20)).await.unwrap();
    proxy.set("eth_getBlockReceipts", Answer::Throttled("1"));
    let requests_before = proxy.requests("eth_getBlockReceipts");
    let began = Instant::now();
    let running = started(&fixture, config, 0);
    eventually("it was throttled", async || {
        (proxy.requests("eth_getBlockReceipts") > requests_before).then_some(())
    })
    .await;
    proxy.pass("eth_getBlockReceipts");
    let state = running.await.unwrap().unwrap();
    let rested = began.elapsed();
    assert!(rested.as_millis() >= 900, "it went on after {rested:?}");
    assert_eq!(state.head.unwrap().number, 80);
    fixture.assert_equals_node().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn batches_shrink_to_nodes_limit() {
    let fixture = history(80).await;
    for (most, from) in [(2, 20), (1, 0)] {
        let proxy = Proxy::new(fixture.anvil_options.port).await;
        proxy.allow_calls(most);
        let config = ChainConfig {
            request_blocks: 10,
            ..config_through(&proxy, &fixture)
        };
        let state = filled(&fixture, config, from, None).await.unwrap();
        assert_eq!((state.start_block, state.head.unwrap().number), (from, 80));
        assert_eq!(proxy.most_calls_seen(), if most == 1 { 0 } else { most });
        fixture.assert_equals_node().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn oversized_answer_halves_request() {
    let fixture = history(80).await;
    let proxy = Proxy::new(fixture.anvil_options.port).await;
    let config = ChainConfig {
        request_blocks: 20,
        // About two empty blocks of anvil's.
        response_bytes: 4_000,
        ..config_through(&proxy, &fixture)
    };
    let empty_from = 80 - 15;
    let state = filled(&fixture, config, empty_from, None).await.unwrap();
    assert_eq!(state.head.unwrap().number, 80);
    // The first request has four blocks. If its answer had been accepted, the next would have eight.
    assert_eq!(proxy.most_calls_seen(), 4);
    fixture.assert_equals_node().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn history_receipts_fall_back_to_transactions() {
    let fixture = history(80).await;
    let proxy = Proxy::new(fixture.anvil_options.port).await;
    let missing = Answer::Error(-32601, "the method does not exist/is not available");
    proxy.set("eth_getBlockReceipts", missing);
    filled(&fixture, config_through(&proxy, &fixture), 0, None)
        .await
        .unwrap();
    fixture.assert_equals_node().await;
    assert!(proxy.requests("eth_getTransactionReceipt") > 10);
    assert!(fixture.count("SELECT count(*) FROM transfers").await > 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn backfill_fails_while_another_process_writes() {
    let fixture = AnvilFixture::new().await;
    let writer = Writer::acquire(&fixture.store, Stream::Chain(CHAIN))
        .await
        .unwrap();
    let error = filled(&fixture, fixture.config(), 0, None)
        .await
        .unwrap_err();
    assert!(
        matches!(error, IngestError::Store(StoreError::Locked(_))),
        "{error}"
    );
    writer.release().await.unwrap();
}

/// The chain's advisory lock.
const KEY: i64 = (0x6368_6169 << 32) | (CHAIN as i64) << 1;

#[tokio::test(flavor = "multi_thread")]
async fn backfill_waits_for_its_own_lost_connection() {
    let fixture = history(80).await;
    let proxy = Proxy::new(fixture.anvil_options.port).await;
    proxy.hold_after(BLOCKS, 25);
    let backfill = backfill(&fixture, config_through(&proxy, &fixture), 0, None);
    let progress = backfill.progress();
    let stop = CancellationToken::new();
    let running = tokio::spawn(async move { backfill.run(&stop, |_| {}).await });
    eventually("the middle", async || {
        (progress.now().blocks > 0 && proxy.holds(BLOCKS)).then_some(())
    })
    .await;
    // Next in the lock's queue, as if the server were slow to end the connection.
    let mut session = fixture.connection().await.detach();
    let waiting = tokio::spawn(async move {
        let lock = sqlx::query("SELECT pg_advisory_lock($1)").bind(KEY);
        lock.execute(&mut session).await.unwrap();
        session
    });
    let in_line = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted";
    eventually("it waits for the lock", async || {
        (fixture.count(in_line).await == 1).then_some(())
    })
    .await;
    fixture
        .count("SELECT count(*) FROM leases WHERE pg_terminate_backend(backend_pid)")
        .await;
    let mut session = waiting.await.unwrap();
    let fails = || {
        assert!(!running.is_finished(), "the backfill ended");
        fixture.store.writer_failure(Stream::Chain(CHAIN))
    };
    eventually("it waits for the lost connection", async || {
        fails().filter(|(reason, _)| reason.contains("former Postgres session"))
    })
    .await;
    // Another process takes over, and ends.
    sqlx::query(
        "UPDATE leases SET holder = 'another process', renewed_at = now() + interval '1 hour'",
    )
    .execute(&mut session)
    .await
    .unwrap();
    eventually("it waits for the other process", async || {
        fails().is_none().then_some(())
    })
    .await;
    session.close().await.unwrap();
    proxy.pass(BLOCKS);
    let state = running.await.unwrap().unwrap().state;
    assert_eq!(state.head.unwrap().number, 80);
    fixture.assert_equals_node().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stop_finishes_running_commit_without_error() {
    let fixture = history(80).await;
    let proxy = Proxy::new(fixture.anvil_options.port).await;
    proxy.hold_after(BLOCKS, 25);
    let backfill = backfill(&fixture, config_through(&proxy, &fixture), 0, None);
    let progress = backfill.progress();
    let stop = CancellationToken::new();
    let stopping = stop.clone();
    let running = tokio::spawn(async move { backfill.run(&stopping, |_| {}).await });
    eventually("the middle", async || {
        (progress.now().blocks > 0 && proxy.holds(BLOCKS)).then_some(())
    })
    .await;
    stop.cancel();
    let state = running.await.unwrap().unwrap().state;
    assert!(state.head.unwrap().number < 80);
    assert!(progress.now().rows > progress.now().blocks);
    fixture.assert_equals_node().await;
}
