//! Large loads: when indexes are deferred, and when they are rebuilt.

use std::time::Duration;

use serde_json::json;
use sqlx::Connection;
use tokio::sync::Notify;

use super::{
    super::{bulk::until_idle, timeouts::STORE_TIMEOUT},
    anvil_fixture::{AnvilFixture, CHAIN, count, eventually},
    gate::Gate,
    proxy::Proxy,
    scripted_fixture::{ScriptedFixture, config_of},
};
use chaincast_base::Secret;
use chaincast_evm::chain::{ChainConfig, Role};
use chaincast_store::{Store, StoreConfig, backend_probe};
use chaincast_testkit::faulty_node::{BlockTree, Contents, Fault, FaultyNode, Kind};

const BLOCKS: &str = "eth_getBlockByNumber";
const RECEIPTS: &str = "eth_getBlockReceipts";
const DEFERRED: &str = "SELECT count(*) FROM deferred_indexes";
const WAITING_BUILDS: &str = "SELECT count(*) FROM pg_stat_activity
    WHERE query LIKE 'CREATE INDEX%' AND state = 'active' AND wait_event_type = 'Lock'";

fn tree(blocks: u64) -> BlockTree {
    let tree = BlockTree::new(CHAIN);
    for salt in 0..blocks {
        tree.mine(&Contents::transfers(1, salt));
    }
    tree
}

/// The configuration of a node that is only polled.
fn polled(node: &FaultyNode) -> ChainConfig {
    let mut config = config_of(&[(node, Role::All)]);
    for provider in &mut config.providers {
        provider.ws_url = None;
    }
    config
}

#[tokio::test(flavor = "multi_thread")]
async fn head_without_block_defers_no_index() {
    let fixture = ScriptedFixture::new().await;
    let tree = tree(40);
    let node = FaultyNode::from_tree(&tree).await.unwrap();
    // The node claims a head far above its blocks.
    for height in 0..=40 {
        node.add(Fault::new(BLOCKS, Kind::Lag(0)).at(height));
    }
    let at = "/number".to_owned();
    let to = json!("0x100000");
    node.add(Fault::new(BLOCKS, Kind::Alter { at, to }));
    let running = fixture.ingest(polled(&node)).await.unwrap();
    // The existing blocks are stored.
    fixture.caught_up(&tree, "what there is").await;
    assert_eq!(fixture.count(DEFERRED).await, 0);
    let requests_before = node.requests(RECEIPTS);
    eventually("another attempt", async || {
        (node.requests(RECEIPTS) > requests_before).then_some(())
    })
    .await;
    assert_eq!(fixture.count(DEFERRED).await, 0);
    node.clear_faults();
    tree.mine(&Contents::empty(99));
    fixture.caught_up(&tree, "the true head").await;
    fixture.assert_equals(&tree, 0, "all").await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stalled_load_rebuilds_and_keeps_indexes() {
    let settings = StoreConfig {
        defer_indexes_blocks: 20,
        defer_stalled_ms: 1_000,
        ..StoreConfig::default()
    };
    let fixture = ScriptedFixture::with(settings).await;
    // An index that was deferred and rebuilt has another oid.
    let index = async || {
        let oid = "SELECT coalesce(to_regclass('transactions_hash')::oid::bigint, 0)";
        fixture.count(oid).await
    };
    let tree = tree(60);
    let node = FaultyNode::from_tree(&tree).await.unwrap();
    let fault = node.add(Fault::new(RECEIPTS, Kind::Null).at(5));
    // Nor can they be fetched one by one.
    node.add(Fault::new("eth_getTransactionReceipt", Kind::Null));
    let before = index().await;
    let running = fixture.ingest(polled(&node)).await.unwrap();
    let back = eventually("the deferred index is rebuilt", async || {
        let now = index().await;
        (now != before && now != 0 && fixture.count(DEFERRED).await == 0).then_some(now)
    })
    .await;
    let head = fixture.state().await.unwrap().head.unwrap();
    assert_eq!(head.number, 4);
    let hits = node.hits(fault);
    eventually("another attempt", async || {
        (node.hits(fault) > hits).then_some(())
    })
    .await;
    assert_eq!(index().await, back);
    node.clear_faults();
    fixture.caught_up(&tree, "the node has all").await;
    assert_eq!(index().await, back);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn gives_up_silent_database_during_index_build() {
    let fixture = AnvilFixture::new().await;
    fixture.control.mine(60).await.unwrap();
    let settings = StoreConfig {
        defer_indexes_blocks: 20,
        index_watch_ms: 1_000,
        ..fixture.database.clone()
    };
    let gate = Gate::new(&settings, fixture.dir.path());
    let store = Store::connect(gate.database()).await.unwrap();
    let proxy = Proxy::new(fixture.anvil_options.port).await;
    proxy.hold_after(RECEIPTS, 10);
    let config = ChainConfig {
        rpc_url: Secret::new(proxy.url()),
        ws_url: None,
        request_timeout_ms: 60_000,
        ..fixture.config()
    };
    let running = fixture.ingest_into(store, config).await.unwrap();
    eventually("indexes are deferred", async || {
        (fixture.count(DEFERRED).await > 0).then_some(())
    })
    .await;
    // This allows writing rows, but blocks index builds.
    let mut other = fixture.store.pool().begin().await.unwrap();
    sqlx::query("LOCK TABLE transactions IN ROW EXCLUSIVE MODE")
        .execute(&mut *other)
        .await
        .unwrap();
    proxy.pass(RECEIPTS);
    eventually("a build waits", async || {
        (fixture.count(WAITING_BUILDS).await == 1).then_some(())
    })
    .await;
    gate.shut();
    eventually(
        "the writer hung up, and Postgres gave up its build",
        async || (fixture.count(WAITING_BUILDS).await == 0).then_some(()),
    )
    .await;
    other.rollback().await.unwrap();
    gate.open();
    eventually("the indexes are built", async || {
        (fixture.count(DEFERRED).await == 0).then_some(())
    })
    .await;
    assert_eq!(fixture.caught_up().await.number, 60);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn until_idle_waits_only_while_postgres_works() {
    let fixture = AnvilFixture::new().await;
    let every = Duration::from_millis(20);
    // Readers' statements have a limit of their own.
    let url = fixture.database.url.expose();
    let mut connection = sqlx::PgConnection::connect(url).await.unwrap();
    let process = backend_probe::backend_pid(&mut connection).await.unwrap();
    // It is idle: the awaited answer is lost.
    until_idle(every, STORE_TIMEOUT, || {
        fixture.store.backend_activity(process)
    })
    .await;

    let sleeping = tokio::spawn(async move { count(&mut connection, SLEEP).await });
    let working =
        "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep%' AND state = 'active'
        AND pid <> pg_backend_pid()";
    eventually("it works", async || {
        (fixture.count(working).await == 1).then_some(())
    })
    .await;
    let (looked, mut looks) = (Notify::new(), 0);
    let look = || {
        looks += 1;
        if looks > 10 {
            looked.notify_one();
        }
        fixture.store.backend_activity(process)
    };
    tokio::select! {
        silent = until_idle(every, STORE_TIMEOUT, look) => panic!("given up after {silent:?}"),
        () = looked.notified() => {}
    }
    // The backend ends.
    let ended = format!("SELECT pg_terminate_backend({process})::int::bigint");
    assert_eq!(fixture.count(&ended).await, 1);
    until_idle(every, STORE_TIMEOUT, || {
        fixture.store.backend_activity(process)
    })
    .await;
    assert!(sleeping.await.unwrap_err().is_panic());
}

/// Longer than any test.
const SLEEP: &str = "SELECT 1::bigint FROM pg_sleep(600)";
