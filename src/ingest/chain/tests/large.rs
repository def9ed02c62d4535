//! Large loads: of which indexes are left out, and when these come back.

use std::time::Duration;

use serde_json::json;
use sqlx::Connection;
use tokio::sync::Notify;

use super::{
    super::{bulk::until_silent, session::PATIENCE},
    gate::Gate,
    lab::{Lab, config_of},
    proxy::Proxy,
    stage::{CHAIN, Stage, count, eventually},
};
use crate::{
    dev::faulty_node::{Contents, Fault, FaultyNode, Kind, Tree},
    model::Secret,
    source::chain::{ChainConfig, Role},
    store::{Store, StoreConfig, backend},
};

const BLOCKS: &str = "eth_getBlockByNumber";
const RECEIPTS: &str = "eth_getBlockReceipts";
const DEFERRED: &str = "SELECT count(*) FROM deferred_indexes";
const WAITING_BUILDS: &str = "SELECT count(*) FROM pg_stat_activity
    WHERE query LIKE 'CREATE INDEX%' AND state = 'active' AND wait_event_type = 'Lock'";

fn tree(blocks: u64) -> Tree {
    let tree = Tree::new(CHAIN);
    for salt in 0..blocks {
        tree.mine(&Contents::transfers(1, salt));
    }
    tree
}

/// Of a node that is only polled.
fn polled(node: &FaultyNode) -> ChainConfig {
    let mut config = config_of(&[(node, Role::All)]);
    for provider in &mut config.providers {
        provider.ws_url = None;
    }
    config
}

#[tokio::test(flavor = "multi_thread")]
async fn no_index_is_left_out_for_a_head_that_the_node_does_not_have() {
    let lab = Lab::new().await;
    let tree = tree(40);
    let node = FaultyNode::of_tree(&tree).await.unwrap();
    // Blocks are what they are; the newest is said to be far above them.
    for height in 0..=40 {
        node.add(Fault::of(BLOCKS, Kind::Lag(0)).at(height));
    }
    let at = "/number".to_owned();
    let to = json!("0x100000");
    node.add(Fault::of(BLOCKS, Kind::Alter { at, to }));
    let running = lab.ingest(polled(&node)).await.unwrap();
    // What there is, is stored up to the last block.
    lab.caught_up(&tree, "what there is").await;
    assert_eq!(lab.count(DEFERRED).await, 0);
    let asked = node.asked(RECEIPTS);
    eventually("another attempt", async || {
        (node.asked(RECEIPTS) > asked).then_some(())
    })
    .await;
    assert_eq!(lab.count(DEFERRED).await, 0);
    node.heal();
    tree.mine(&Contents::empty(99));
    lab.caught_up(&tree, "the node tells the truth").await;
    lab.assert_equals(&tree, 0, "all").await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_load_that_stores_nothing_any_more_gets_its_indexes_back_and_keeps_them() {
    let settings = StoreConfig {
        defer_indexes_blocks: 20,
        defer_stalled_ms: 1_000,
        ..StoreConfig::default()
    };
    let lab = Lab::with(settings).await;
    // An index that was left out and built is another one.
    let index = async || {
        let oid = "SELECT coalesce(to_regclass('transactions_hash')::oid::bigint, 0)";
        lab.count(oid).await
    };
    let tree = tree(60);
    let node = FaultyNode::of_tree(&tree).await.unwrap();
    let fault = node.add(Fault::of(RECEIPTS, Kind::Null).at(5));
    // Nor are they to be had one by one.
    node.add(Fault::of("eth_getTransactionReceipt", Kind::Null));
    let before = index().await;
    let running = lab.ingest(polled(&node)).await.unwrap();
    let back = eventually("the index was left out and is back", async || {
        let now = index().await;
        (now != before && now != 0 && lab.count(DEFERRED).await == 0).then_some(now)
    })
    .await;
    let head = lab.state().await.unwrap().head.unwrap();
    assert_eq!(head.number, 4);
    let hits = node.hits(fault);
    eventually("another attempt", async || {
        (node.hits(fault) > hits).then_some(())
    })
    .await;
    assert_eq!(index().await, back);
    node.heal();
    lab.caught_up(&tree, "the node has all").await;
    assert_eq!(index().await, back);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_falls_silent_while_indexes_are_built_is_given_up() {
    let stage = Stage::new().await;
    stage.control.mine(60).await.unwrap();
    let settings = StoreConfig {
        defer_indexes_blocks: 20,
        index_watch_ms: 1_000,
        ..stage.database.clone()
    };
    let gate = Gate::before(&settings, stage.dir.path());
    let store = Store::connect(gate.database()).await.unwrap();
    let proxy = Proxy::before(stage.anvil_options.port).await;
    proxy.hold_after(RECEIPTS, 10);
    let config = ChainConfig {
        rpc_url: Secret::new(proxy.url()),
        ws_url: None,
        request_timeout_ms: 60_000,
        ..stage.config()
    };
    let running = stage.ingest_into(store, config).await.unwrap();
    eventually("indexes are left out", async || {
        (stage.count(DEFERRED).await > 0).then_some(())
    })
    .await;
    // Rows can be written beside this, and no index built.
    let mut other = stage.store.pool().begin().await.unwrap();
    sqlx::query("LOCK TABLE transactions IN ROW EXCLUSIVE MODE")
        .execute(&mut *other)
        .await
        .unwrap();
    proxy.pass(RECEIPTS);
    eventually("a build waits", async || {
        (stage.count(WAITING_BUILDS).await == 1).then_some(())
    })
    .await;
    gate.shut();
    eventually(
        "the writer hung up, and Postgres gave up its build",
        async || (stage.count(WAITING_BUILDS).await == 0).then_some(()),
    )
    .await;
    other.rollback().await.unwrap();
    gate.open();
    eventually("the indexes are built", async || {
        (stage.count(DEFERRED).await == 0).then_some(())
    })
    .await;
    assert_eq!(stage.caught_up().await.number, 60);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_is_waited_for_while_postgres_works_on_it_and_no_longer() {
    let stage = Stage::new().await;
    let every = Duration::from_millis(20);
    // Readers' statements have a limit of their own.
    let url = stage.database.url.expose();
    let mut connection = sqlx::PgConnection::connect(url).await.unwrap();
    let process = backend::process_of(&mut connection).await.unwrap();
    // It does nothing: an answer that is waited for is lost.
    until_silent(every, PATIENCE, || stage.store.doing(process)).await;

    let sleeping = tokio::spawn(async move { count(&mut connection, SLEEP).await });
    let working =
        "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep%' AND state = 'active'
        AND pid <> pg_backend_pid()";
    eventually("it works", async || {
        (stage.count(working).await == 1).then_some(())
    })
    .await;
    let (looked, mut looks) = (Notify::new(), 0);
    let look = || {
        looks += 1;
        if looks > 10 {
            looked.notify_one();
        }
        stage.store.doing(process)
    };
    tokio::select! {
        silent = until_silent(every, PATIENCE, look) => panic!("given up after {silent:?}"),
        () = looked.notified() => {}
    }
    // Its process goes, and with it any hope.
    let ended = format!("SELECT pg_terminate_backend({process})::int::bigint");
    assert_eq!(stage.count(&ended).await, 1);
    until_silent(every, PATIENCE, || stage.store.doing(process)).await;
    assert!(sleeping.await.unwrap_err().is_panic());
}

/// Longer than any test.
const SLEEP: &str = "SELECT 1::bigint FROM pg_sleep(600)";
