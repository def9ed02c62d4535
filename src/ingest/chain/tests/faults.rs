//! What nodes and databases do wrong.

use serde_json::{Value, json};

use tokio::time::Instant;

use super::{
    super::session::PATIENCE,
    gate::Gate,
    proxy::{Answer, Proxy},
    stage::{CHAIN, Running, Stage, anvil_again, eventually},
};
use crate::{
    dev::{AnvilOptions, PrivatePostgres},
    ingest::IngestError,
    model::Secret,
    source::chain::{ChainConfig, ChecksConfig, NodeError},
    store::{
        Store,
        writer::{Stream, Writer},
    },
};

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_goes_away_is_waited_for() {
    let mut stage = Stage::new().await;
    stage.control.mine(2).await.unwrap();
    let running = stage.ingest(stage.config()).await.unwrap();
    stage.caught_up().await;
    stage.anvil.take().unwrap().stop().await.unwrap();
    stage.anvil = Some(anvil_again(&stage.anvil_options).await);
    stage.control.mine(2).await.unwrap();
    let head = stage.caught_up().await;
    assert_eq!(head.number, 4);
    stage.assert_equals_node().await;
    assert_eq!(stage.count("SELECT count(*) FROM dropped_blocks").await, 0);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_goes_away_is_waited_for() {
    let mut stage = Stage::new().await;
    let running = stage.ingest(stage.config()).await.unwrap();
    stage.caught_up().await;
    stage.postgres.take().unwrap().stop().await.unwrap();
    stage.control.mine(3).await.unwrap();
    let data_dir = stage.dir.path().join("db");
    stage.postgres = Some(PrivatePostgres::start(&data_dir).await.unwrap());
    let head = stage.caught_up().await;
    assert_eq!(head.number, 3);
    stage.assert_equals_node().await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_falls_silent_is_given_up_and_does_not_hold_up_the_stop() {
    let stage = Stage::new().await;
    let (_gate, running) = given_up(&stage).await;
    // The new connection is not answered either: one that is waited for takes all of the patience.
    let asked = Instant::now();
    running.stop().await;
    assert!(asked.elapsed() < PATIENCE * 3 / 4, "{:?}", asked.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_was_silent_is_written_on_with_nothing_lost() {
    let stage = Stage::new().await;
    let (gate, running) = given_up(&stage).await;
    stage.control.mine(3).await.unwrap();
    gate.open();
    let head = stage.caught_up().await;
    assert_eq!(head.number, 5);
    stage.assert_equals_node().await;
    running.stop().await;
}

/// A writer behind a gate that was shut, once it no longer waits for the connection that it had.
async fn given_up(stage: &Stage) -> (Gate, Running) {
    let gate = Gate::before(&stage.database, stage.dir.path());
    let store = Store::connect(gate.database()).await.unwrap();
    let running = stage.ingest_into(store, stage.config()).await.unwrap();
    stage.control.mine(3).await.unwrap();
    stage.caught_up().await;
    gate.shut();
    let before = gate.connections();
    // A lower head is looked up in the database, which takes no more than one step may.
    stage.control.rollback(1).await.unwrap();
    eventually("a new connection", async || {
        (gate.connections() > before).then_some(())
    })
    .await;
    (gate, running)
}

#[tokio::test(flavor = "multi_thread")]
async fn another_chain_of_the_same_id_is_refused_at_start_and_when_it_takes_the_place() {
    let mut stage = Stage::new().await;
    stage.control.mine(3).await.unwrap();
    let running = stage.ingest(stage.config()).await.unwrap();
    let head = stage.caught_up().await;
    stage.anvil.take().unwrap().stop().await.unwrap();
    let other = AnvilOptions {
        state_file: Some(stage.dir.path().join("other.json")),
        ..stage.anvil_options.clone()
    };
    stage.anvil = Some(anvil_again(&other).await);
    let error = running.failed().await;
    assert!(
        matches!(
            error,
            IngestError::DifferentChain {
                chain_id: CHAIN,
                ..
            }
        ),
        "{error}"
    );

    let Err(error) = stage.ingest(stage.config()).await else {
        panic!("it was accepted")
    };
    let text = error.to_string();
    assert!(
        matches!(error, IngestError::DifferentChain { .. }),
        "{text}"
    );
    assert!(
        text.contains("another chain") && text.contains("--reset"),
        "{text}"
    );
    assert_eq!(stage.state().await.head, Some(head));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_that_cannot_work_fails_and_says_why() {
    let stage = Stage::new().await;
    let wrong = ChainConfig {
        chain_id: 1,
        ..stage.config()
    };
    let Err(error) = stage.ingest(wrong).await else {
        panic!("it was accepted")
    };
    let text = error.to_string();
    assert!(
        text.contains("serves chain 31337") && text.contains("chain 1 "),
        "{text}"
    );

    let nowhere = Secret::new("http://127.0.0.1:1/a-secret-key");
    let nowhere = ChainConfig {
        rpc_url: nowhere,
        ..stage.config()
    };
    let Err(error) = stage.ingest(nowhere).await else {
        panic!("it was accepted")
    };
    let text = error.to_string();
    assert!(
        matches!(
            error,
            IngestError::Node {
                error: NodeError::Unreachable { .. },
                ..
            }
        ),
        "{text}"
    );
    assert!(
        text.contains("127.0.0.1:1") && !text.contains("a-secret-key"),
        "{text}"
    );

    stage.control.mine(1).await.unwrap();
    let later = ChainConfig {
        start_block: 1,
        ..stage.config()
    };
    let running = stage.ingest(later).await.unwrap();
    stage.caught_up().await;
    running.stop().await;
    let Err(error) = stage.ingest(stage.config()).await else {
        panic!("it was accepted")
    };
    let text = error.to_string();
    assert!(
        matches!(
            error,
            IngestError::StartBlockMoved {
                stored: 1,
                configured: 0,
                ..
            }
        ) && text.contains("chaincast backfill --from 0"),
        "{text}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_block_above_the_stored_one_is_accepted_as_more_is_there() {
    let stage = Stage::new().await;
    let running = stage.ingest(stage.config()).await.unwrap();
    stage.caught_up().await;
    running.stop().await;
    stage.control.mine(6).await.unwrap();
    let moved = ChainConfig {
        start_block: 3,
        ..stage.config()
    };
    let running = stage.ingest(moved).await.unwrap();
    stage.caught_up().await;
    // A reorg that goes below the configured start, but not below what is stored.
    stage.control.reorg(5).await.unwrap();
    stage.control.mine(1).await.unwrap();
    stage.caught_up().await;
    stage.assert_equals_node().await;
    assert_eq!(stage.state().await.start_block, 0);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_writer_waits_for_the_first_to_end() {
    let stage = Stage::new().await;
    let first = Writer::acquire(&stage.store, Stream::Chain(CHAIN))
        .await
        .unwrap();
    let running = stage.ingest(stage.config()).await.unwrap();
    stage.control.mine(2).await.unwrap();
    assert_eq!(stage.count("SELECT count(*) FROM blocks").await, 0);
    first.release().await.unwrap();
    stage.caught_up().await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn receipts_are_fetched_one_by_one_from_a_node_that_cannot_give_them_by_block() {
    let stage = Stage::new().await;
    pay(&stage).await;
    let proxy = Proxy::before(stage.anvil_options.port).await;
    proxy.set(
        "eth_getBlockReceipts",
        Answer::Error(-32601, "Method not found"),
    );
    let running = stage.ingest(behind(&proxy, &stage)).await.unwrap();
    stage.caught_up().await;
    assert_eq!(
        stage
            .count("SELECT count(*) FROM transactions WHERE status = 1")
            .await,
        1
    );
    assert!(proxy.asked("eth_getTransactionReceipt") >= 1);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn missing_receipts_and_null_blocks_are_waited_for() {
    let stage = Stage::new().await;
    let proxy = Proxy::before(stage.anvil_options.port).await;
    let running = stage.ingest(behind(&proxy, &stage)).await.unwrap();
    let before = stage.caught_up().await;
    for (method, answer) in [
        ("eth_getBlockReceipts", Value::Null),
        ("eth_getBlockReceipts", json!([])),
        ("eth_getBlockByHash", Value::Null),
    ] {
        let asked = proxy.asked(method);
        proxy.set(method, Answer::Result(answer));
        // What a list lacks is asked for by transaction.
        proxy.set("eth_getTransactionReceipt", Answer::Result(Value::Null));
        pay(&stage).await;
        eventually("some attempts", async || {
            (proxy.asked(method) > asked + 3).then_some(())
        })
        .await;
        proxy.pass(method);
        proxy.pass("eth_getTransactionReceipt");
        stage.caught_up().await;
    }
    assert_eq!(stage.state().await.head.unwrap().number, before.number + 3);
    assert_eq!(stage.count("SELECT count(*) FROM transactions").await, 3);
    assert_eq!(stage.count("SELECT count(*) FROM dropped_blocks").await, 0);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_block_that_fails_a_check_is_never_stored() {
    let stage = Stage::new().await;
    let proxy = Proxy::before(stage.anvil_options.port).await;
    let running = stage.ingest(behind(&proxy, &stage)).await.unwrap();
    let before = stage.caught_up().await;
    proxy.set(
        "eth_getBlockReceipts",
        Answer::Tampered(|receipts| {
            receipts[0]["cumulativeGasUsed"] = json!("0x1");
        }),
    );
    pay(&stage).await;
    eventually("some attempts", async || {
        (proxy.asked("eth_getBlockReceipts") > 4).then_some(())
    })
    .await;
    eventually(
        "the node's head is recorded though nothing is indexed",
        async || (stage.state().await.node_head == Some(before.number + 1)).then_some(()),
    )
    .await;
    assert_eq!(stage.state().await.head, Some(before));
    proxy.pass("eth_getBlockReceipts");
    stage.caught_up().await;
    running.stop().await;

    // Switched off, it is stored, and counts as unproven.
    let checks = ChecksConfig {
        receipts_root: false,
        derived: false,
        ..Default::default()
    };
    let running = stage
        .ingest(ChainConfig {
            checks,
            ..behind(&proxy, &stage)
        })
        .await
        .unwrap();
    proxy.set(
        "eth_getBlockReceipts",
        Answer::Tampered(|receipts| {
            receipts[0]["cumulativeGasUsed"] = json!("0x1");
        }),
    );
    pay(&stage).await;
    let head = stage.caught_up().await;
    assert_eq!(stage.state().await.verified_through, Some(head.number - 1));
    running.stop().await;
}

fn behind(proxy: &Proxy, stage: &Stage) -> ChainConfig {
    ChainConfig {
        rpc_url: Secret::new(proxy.url()),
        ws_url: None,
        ..stage.config()
    }
}

/// One transaction, and a block for it.
async fn pay(stage: &Stage) {
    let accounts = stage.node.accounts(2).await.unwrap();
    let value = alloy::primitives::U256::from(5);
    let payment = crate::dev::Transaction::payment(accounts[0], accounts[1], value);
    let hash = stage.node.send(payment).await.unwrap();
    stage.node.mined(&[hash]).await.unwrap();
}
