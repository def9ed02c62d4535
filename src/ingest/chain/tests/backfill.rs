//! History on purpose: downwards, upwards, killed, throttled, and on a node that changes its branch meanwhile.

use std::sync::Arc;

use sqlx::Connection;
use tokio::{task::JoinHandle, time::Instant};
use tokio_util::sync::CancellationToken;

use super::{
    proxy::{Answer, Proxy},
    stage::{CHAIN, EveryTransfer, Stage, eventually},
};
use crate::{
    dev::{PrivatePostgres, deploy_or_load},
    ingest::{Backfill, ChainContext, IngestError, PriceSignals},
    model::Secret,
    source::chain::{ChainConfig, ChecksConfig},
    store::{
        StoreError,
        chain::ChainState,
        writer::{Stream, Writer},
    },
};

const BLOCKS: &str = "eth_getBlockByNumber";

/// Small requests and transactions, so that there are many of them.
fn behind(proxy: &Proxy, stage: &Stage) -> ChainConfig {
    ChainConfig {
        rpc_url: Secret::new(proxy.url()),
        request_blocks: 3,
        batch_blocks: 5,
        rest_max_ms: 2_000,
        ..stage.config()
    }
}

fn backfill(stage: &Stage, config: ChainConfig, from: u64, to: Option<u64>) -> Backfill {
    let (signals, _) = PriceSignals::new();
    let context = ChainContext {
        first_chain: CHAIN,
        store: stage.store.clone(),
        publisher: stage.bus.publisher(),
        decoder: Arc::new(EveryTransfer),
        signals,
        contracts: stage.contracts.clone(),
    };
    Backfill::new(config, context, from, to).unwrap()
}

async fn filled(
    stage: &Stage,
    config: ChainConfig,
    from: u64,
    to: Option<u64>,
) -> Result<ChainState, IngestError> {
    let backfill = backfill(stage, config, from, to);
    let filled = backfill.run(&CancellationToken::new(), |_| {}).await?;
    Ok(filled.state)
}

/// One that can be killed.
fn started(
    stage: &Stage,
    config: ChainConfig,
    from: u64,
) -> JoinHandle<Result<ChainState, IngestError>> {
    let backfill = backfill(stage, config, from, None);
    tokio::spawn(async move {
        let filled = backfill.run(&CancellationToken::new(), |_| {}).await?;
        Ok(filled.state)
    })
}

/// As by SIGKILL: what is not committed is gone, and the lock with the connection.
async fn killed(stage: &Stage, running: JoinHandle<Result<ChainState, IngestError>>) {
    running.abort();
    running.await.ok();
    eventually("the lock of a killed writer is free", async || {
        let writer = Writer::acquire(&stage.store, Stream::Chain(CHAIN)).await;
        writer.ok()?.release().await.ok()
    })
    .await;
}

/// A stage with contracts and blocks up to this height.
async fn history(blocks: u64) -> Stage {
    let stage = Stage::new().await;
    let url = format!("http://127.0.0.1:{}", stage.anvil_options.port);
    deploy_or_load(&url, stage.dir.path()).await.unwrap();
    let (head, _) = stage.control.head().await.unwrap();
    assert!(head < blocks);
    stage.control.mine(blocks - head).await.unwrap();
    stage
}

#[tokio::test(flavor = "multi_thread")]
async fn history_below_is_filled_downwards_and_a_kill_in_the_middle_resumes() {
    let stage = history(60).await;
    let proxy = Proxy::before(stage.anvil_options.port).await;
    let config = behind(&proxy, &stage);
    let state = filled(&stage, config.clone(), 50, None).await.unwrap();
    assert_eq!((state.start_block, state.head.unwrap().number), (50, 60));
    assert_eq!(stage.count("SELECT count(*) FROM transfers").await, 0);

    proxy.hold_after(BLOCKS, 25);
    let running = started(&stage, config.clone(), 0);
    let middle = eventually("the middle", async || {
        let start = stage.state().await.start_block;
        (start < 50 && proxy.holds(BLOCKS)).then_some(start)
    })
    .await;
    killed(&stage, running).await;
    proxy.pass(BLOCKS);
    assert!(middle > 0);
    let state = stage.state().await;
    assert!((1..50).contains(&state.start_block));
    assert_eq!(state.verified_through, Some(60));
    stage.assert_equals_node().await;

    stage.control.mine(5).await.unwrap();
    let state = filled(&stage, config, 0, None).await.unwrap();
    assert_eq!((state.start_block, state.head.unwrap().number), (0, 65));
    assert_eq!(state.verified_through, Some(65));
    stage.assert_equals_node().await;
    assert_eq!(stage.count("SELECT count(*) FROM blocks").await, 66);
    assert!(stage.count("SELECT count(*) FROM transfers").await > 10);
    assert!(stage.count("SELECT count(*) FROM ticks").await > 0);
    // Only what is above the stored head is news, never what is below.
    let announced = "SELECT count(*) FROM updates WHERE event = 'new-block'";
    assert_eq!(stage.count(announced).await, 11 + 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_crashes_in_the_middle_of_history_breaks_no_link_and_the_load_goes_on() {
    let mut stage = history(80).await;
    let proxy = Proxy::before(stage.anvil_options.port).await;
    proxy.hold_after(BLOCKS, 25);
    // What is not announced is not waited for until it is on the disk.
    let config = ChainConfig {
        announce_blocks: 0,
        ..behind(&proxy, &stage)
    };
    let running = started(&stage, config, 0);
    eventually("the middle", async || {
        (stage.count("SELECT count(*) FROM blocks").await > 10 && proxy.holds(BLOCKS)).then_some(())
    })
    .await;
    stage.postgres.take().unwrap().abort();
    let again = PrivatePostgres::start(&stage.dir.path().join("db")).await;
    stage.postgres = Some(again.unwrap());
    let head = stage.state().await.head;
    assert!(head.is_none_or(|head| head.number < 80), "{head:?}");
    stage.assert_equals_node().await;

    proxy.pass(BLOCKS);
    let state = running.await.unwrap().unwrap();
    assert_eq!((state.start_block, state.head.unwrap().number), (0, 80));
    assert_eq!(stage.count("SELECT count(*) FROM blocks").await, 81);
    stage.assert_equals_node().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_on_the_way_up_resumes_and_serve_goes_on_from_there() {
    let stage = history(80).await;
    let proxy = Proxy::before(stage.anvil_options.port).await;
    let config = behind(&proxy, &stage);
    proxy.hold_after(BLOCKS, 25);
    let running = started(&stage, config.clone(), 4);
    eventually("the middle", async || {
        let state = crate::store::chain::state(&mut *stage.connection().await, CHAIN)
            .await
            .unwrap()?;
        (state.head.is_some() && proxy.holds(BLOCKS)).then_some(())
    })
    .await;
    killed(&stage, running).await;
    proxy.pass(BLOCKS);
    assert!(stage.state().await.head.unwrap().number < 80);
    stage.assert_equals_node().await;

    let state = filled(&stage, config.clone(), 4, Some(30)).await.unwrap();
    assert_eq!((state.start_block, state.head.unwrap().number), (4, 30));
    let serving = stage
        .ingest(ChainConfig {
            start_block: 4,
            ..config
        })
        .await
        .unwrap();
    let head = stage.caught_up().await;
    stage.assert_equals_node().await;
    assert_eq!(stage.state().await.verified_through, Some(head.number));
    serving.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reorg_during_backfill_is_followed() {
    let stage = history(80).await;
    let proxy = Proxy::before(stage.anvil_options.port).await;
    proxy.hold_after(BLOCKS, 25);
    let running = started(&stage, behind(&proxy, &stage), 55);
    eventually("the middle", async || {
        let state = crate::store::chain::state(&mut *stage.connection().await, CHAIN)
            .await
            .unwrap()?;
        (state.head.is_some_and(|head| head.number >= 58) && proxy.holds(BLOCKS)).then_some(())
    })
    .await;
    let (head, _) = stage.control.head().await.unwrap();
    stage.control.reorg(head - 57).await.unwrap();
    proxy.pass(BLOCKS);
    let state = running.await.unwrap().unwrap();
    assert_eq!((state.start_block, state.head.unwrap().number), (55, head));
    stage.assert_equals_node().await;
    assert!(stage.count("SELECT count(*) FROM dropped_blocks").await > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reorg_while_history_below_is_filled_is_followed_too() {
    let stage = history(80).await;
    let proxy = Proxy::before(stage.anvil_options.port).await;
    let config = behind(&proxy, &stage);
    filled(&stage, config.clone(), 60, None).await.unwrap();
    proxy.hold_after(BLOCKS, 25);
    let running = started(&stage, config, 0);
    eventually("the middle", async || {
        let start = stage.state().await.start_block;
        (start < 60 && proxy.holds(BLOCKS)).then_some(())
    })
    .await;
    stage.control.reorg(7).await.unwrap();
    proxy.pass(BLOCKS);
    let state = running.await.unwrap().unwrap();
    assert_eq!((state.start_block, state.head.unwrap().number), (0, 80));
    stage.assert_equals_node().await;
    let dropped = stage.count("SELECT count(*) FROM dropped_blocks").await;
    assert_eq!(dropped, 7);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reorg_below_what_is_stored_is_told_at_once_when_history_below_is_filled() {
    let stage = history(80).await;
    let config = stage.config();
    filled(&stage, config.clone(), 60, None).await.unwrap();
    stage.control.reorg(30).await.unwrap();
    let error = filled(&stage, config, 0, None).await.unwrap_err();
    let is_told = matches!(&error, IngestError::ReorgTooDeep { .. });
    assert!(
        is_told && error.to_string().contains("start_block = 60"),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_proven_ends_verified_through_and_what_is_begins_it_again() {
    let stage = history(80).await;
    let proxy = Proxy::before(stage.anvil_options.port).await;
    let config = behind(&proxy, &stage);
    filled(&stage, config.clone(), 30, None).await.unwrap();
    let unproven = ChainConfig {
        checks: ChecksConfig {
            receipts_root: false,
            ..ChecksConfig::default()
        },
        ..config.clone()
    };
    let state = filled(&stage, unproven, 20, None).await.unwrap();
    assert_eq!((state.start_block, state.verified_through), (20, None));
    let state = filled(&stage, config, 10, None).await.unwrap();
    assert_eq!((state.start_block, state.verified_through), (10, Some(19)));
    stage.assert_equals_node().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_asks_for_a_rest_gets_it() {
    let stage = history(80).await;
    let proxy = Proxy::before(stage.anvil_options.port).await;
    let config = behind(&proxy, &stage);
    filled(&stage, config.clone(), 0, Some(20)).await.unwrap();
    proxy.set("eth_getBlockReceipts", Answer::Throttled("1"));
    let asked = proxy.asked("eth_getBlockReceipts");
    let began = Instant::now();
    let running = started(&stage, config, 0);
    eventually("it was throttled", async || {
        (proxy.asked("eth_getBlockReceipts") > asked).then_some(())
    })
    .await;
    proxy.pass("eth_getBlockReceipts");
    let state = running.await.unwrap().unwrap();
    let rested = began.elapsed();
    assert!(rested.as_millis() >= 900, "it went on after {rested:?}");
    assert_eq!(state.head.unwrap().number, 80);
    stage.assert_equals_node().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn batches_shrink_to_what_a_node_takes_and_are_left_out_where_there_are_none() {
    let stage = history(80).await;
    for (most, from) in [(2, 20), (1, 0)] {
        let proxy = Proxy::before(stage.anvil_options.port).await;
        proxy.allow_calls(most);
        let config = ChainConfig {
            request_blocks: 10,
            ..behind(&proxy, &stage)
        };
        let state = filled(&stage, config, from, None).await.unwrap();
        assert_eq!((state.start_block, state.head.unwrap().number), (from, 80));
        assert_eq!(proxy.most_calls_seen(), if most == 1 { 0 } else { most });
        stage.assert_equals_node().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_above_the_limit_is_refused_and_fewer_blocks_are_asked_for() {
    let stage = history(80).await;
    let proxy = Proxy::before(stage.anvil_options.port).await;
    let config = ChainConfig {
        request_blocks: 20,
        // About two empty blocks of anvil's.
        response_bytes: 4_000,
        ..behind(&proxy, &stage)
    };
    let empty_from = 80 - 15;
    let state = filled(&stage, config, empty_from, None).await.unwrap();
    assert_eq!(state.head.unwrap().number, 80);
    // Four are the first request. Had its answer been taken, eight would be the next.
    assert_eq!(proxy.most_calls_seen(), 4);
    stage.assert_equals_node().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn receipts_of_history_are_fetched_by_transaction_where_they_cannot_be_by_block() {
    let stage = history(80).await;
    let proxy = Proxy::before(stage.anvil_options.port).await;
    let missing = Answer::Error(-32601, "the method does not exist/is not available");
    proxy.set("eth_getBlockReceipts", missing);
    filled(&stage, behind(&proxy, &stage), 0, None)
        .await
        .unwrap();
    stage.assert_equals_node().await;
    assert!(proxy.asked("eth_getTransactionReceipt") > 10);
    assert!(stage.count("SELECT count(*) FROM transfers").await > 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chain_that_another_process_writes_is_left_alone() {
    let stage = Stage::new().await;
    let writer = Writer::acquire(&stage.store, Stream::Chain(CHAIN))
        .await
        .unwrap();
    let error = filled(&stage, stage.config(), 0, None).await.unwrap_err();
    assert!(
        matches!(error, IngestError::Store(StoreError::Locked(_))),
        "{error}"
    );
    writer.release().await.unwrap();
}

/// Of the advisory lock of the chain.
const KEY: i64 = (0x6368_6169 << 32) | (CHAIN as i64) << 1;

#[tokio::test(flavor = "multi_thread")]
async fn backfill_waits_for_its_own_former_session() {
    let stage = history(80).await;
    let proxy = Proxy::before(stage.anvil_options.port).await;
    proxy.hold_after(BLOCKS, 25);
    let backfill = backfill(&stage, behind(&proxy, &stage), 0, None);
    let progress = backfill.progress();
    let stop = CancellationToken::new();
    let running = tokio::spawn(async move { backfill.run(&stop, |_| {}).await });
    eventually("the middle", async || {
        (progress.now().blocks > 0 && proxy.holds(BLOCKS)).then_some(())
    })
    .await;
    // Next in line for the lock, as if the server were slow to end the session.
    let mut session = stage.connection().await.detach();
    let waiting = tokio::spawn(async move {
        let lock = sqlx::query("SELECT pg_advisory_lock($1)").bind(KEY);
        lock.execute(&mut session).await.unwrap();
        session
    });
    let in_line = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted";
    eventually("it waits for the lock", async || {
        (stage.count(in_line).await == 1).then_some(())
    })
    .await;
    stage
        .count("SELECT count(*) FROM leases WHERE pg_terminate_backend(backend_pid)")
        .await;
    let mut session = waiting.await.unwrap();
    let fails = || {
        assert!(!running.is_finished(), "the backfill ended");
        stage.store.writer_failure(Stream::Chain(CHAIN))
    };
    eventually("it waits for the session", async || {
        fails().filter(|(reason, _)| reason.contains("former session"))
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
    stage.assert_equals_node().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_ends_after_the_running_commit_without_an_error() {
    let stage = history(80).await;
    let proxy = Proxy::before(stage.anvil_options.port).await;
    proxy.hold_after(BLOCKS, 25);
    let backfill = backfill(&stage, behind(&proxy, &stage), 0, None);
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
    stage.assert_equals_node().await;
}
