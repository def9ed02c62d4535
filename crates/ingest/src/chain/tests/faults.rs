//! Faults of nodes and databases.

use serde_json::{Value, json};

use tokio::time::Instant;

use super::{
    super::timeouts::STORE_TIMEOUT,
    anvil_fixture::{AnvilFixture, CHAIN, RunningWriter, eventually, restart_anvil},
    gate::Gate,
    proxy::{Answer, Proxy},
};
use crate::IngestError;
use chaincast_base::Secret;
use chaincast_dev::{AnvilOptions, PrivatePostgres};
use chaincast_evm::chain::{ChainConfig, ChecksConfig, NodeError};
use chaincast_store::{
    Store,
    writer::{Stream, Writer},
};

#[tokio::test(flavor = "multi_thread")]
async fn reconnects_to_restarted_node() {
    let mut fixture = AnvilFixture::new().await;
    fixture.control.mine(2).await.unwrap();
    let running = fixture.ingest(fixture.config()).await.unwrap();
    fixture.caught_up().await;
    fixture.anvil.take().unwrap().stop().await.unwrap();
    fixture.anvil = Some(restart_anvil(&fixture.anvil_options).await);
    fixture.control.mine(2).await.unwrap();
    let head = fixture.caught_up().await;
    assert_eq!(head.number, 4);
    fixture.assert_equals_node().await;
    assert_eq!(
        fixture.count("SELECT count(*) FROM dropped_blocks").await,
        0
    );
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn reconnects_to_restarted_database() {
    let mut fixture = AnvilFixture::new().await;
    let running = fixture.ingest(fixture.config()).await.unwrap();
    fixture.caught_up().await;
    fixture.postgres.take().unwrap().stop().await.unwrap();
    fixture.control.mine(3).await.unwrap();
    let data_dir = fixture.dir.path().join("db");
    fixture.postgres = Some(PrivatePostgres::start(&data_dir).await.unwrap());
    let head = fixture.caught_up().await;
    assert_eq!(head.number, 3);
    fixture.assert_equals_node().await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn silent_database_does_not_delay_stop() {
    let fixture = AnvilFixture::new().await;
    let (_gate, running) = given_up(&fixture).await;
    // The new connection is not answered either: it takes the whole timeout.
    let started = Instant::now();
    running.stop().await;
    assert!(
        started.elapsed() < STORE_TIMEOUT * 3 / 4,
        "{:?}",
        started.elapsed()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn resumes_without_loss_after_silent_database() {
    let fixture = AnvilFixture::new().await;
    let (gate, running) = given_up(&fixture).await;
    fixture.control.mine(3).await.unwrap();
    gate.open();
    let head = fixture.caught_up().await;
    assert_eq!(head.number, 5);
    fixture.assert_equals_node().await;
    running.stop().await;
}

/// A writer behind a shut gate, once it has given up its connection.
async fn given_up(fixture: &AnvilFixture) -> (Gate, RunningWriter) {
    let gate = Gate::new(&fixture.database, fixture.dir.path());
    let store = Store::connect(gate.database()).await.unwrap();
    let running = fixture.ingest_into(store, fixture.config()).await.unwrap();
    fixture.control.mine(3).await.unwrap();
    fixture.caught_up().await;
    gate.shut();
    let before = gate.connections();
    // A lower head is looked up in the database, within the limit of one step.
    fixture.control.rollback(1).await.unwrap();
    eventually("a new connection", async || {
        (gate.connections() > before).then_some(())
    })
    .await;
    (gate, running)
}

#[tokio::test(flavor = "multi_thread")]
async fn rejects_another_chain_with_same_id() {
    let mut fixture = AnvilFixture::new().await;
    fixture.control.mine(3).await.unwrap();
    let running = fixture.ingest(fixture.config()).await.unwrap();
    let head = fixture.caught_up().await;
    fixture.anvil.take().unwrap().stop().await.unwrap();
    let other = AnvilOptions {
        state_file: Some(fixture.dir.path().join("other.json")),
        ..fixture.anvil_options.clone()
    };
    fixture.anvil = Some(restart_anvil(&other).await);
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

    let Err(error) = fixture.ingest(fixture.config()).await else {
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
    assert_eq!(fixture.state().await.head, Some(head));
}

#[tokio::test(flavor = "multi_thread")]
async fn failing_start_reports_cause() {
    let fixture = AnvilFixture::new().await;
    let wrong = ChainConfig {
        chain_id: 1,
        ..fixture.config()
    };
    let Err(error) = fixture.ingest(wrong).await else {
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
        ..fixture.config()
    };
    let Err(error) = fixture.ingest(nowhere).await else {
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

    fixture.control.mine(1).await.unwrap();
    let later = ChainConfig {
        start_block: 1,
        ..fixture.config()
    };
    let running = fixture.ingest(later).await.unwrap();
    fixture.caught_up().await;
    running.stop().await;
    let Err(error) = fixture.ingest(fixture.config()).await else {
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
async fn accepts_start_block_above_stored_one() {
    let fixture = AnvilFixture::new().await;
    let running = fixture.ingest(fixture.config()).await.unwrap();
    fixture.caught_up().await;
    running.stop().await;
    fixture.control.mine(6).await.unwrap();
    let moved = ChainConfig {
        start_block: 3,
        ..fixture.config()
    };
    let running = fixture.ingest(moved).await.unwrap();
    fixture.caught_up().await;
    // A reorg below the configured start, but not below the stored chain.
    fixture.control.reorg(5).await.unwrap();
    fixture.control.mine(1).await.unwrap();
    fixture.caught_up().await;
    fixture.assert_equals_node().await;
    assert_eq!(fixture.state().await.start_block, 0);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn second_writer_waits_for_first() {
    let fixture = AnvilFixture::new().await;
    let first = Writer::acquire(&fixture.store, Stream::Chain(CHAIN))
        .await
        .unwrap();
    let running = fixture.ingest(fixture.config()).await.unwrap();
    fixture.control.mine(2).await.unwrap();
    assert_eq!(fixture.count("SELECT count(*) FROM blocks").await, 0);
    first.release().await.unwrap();
    fixture.caught_up().await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn receipts_fall_back_to_single_requests() {
    let fixture = AnvilFixture::new().await;
    pay(&fixture).await;
    let proxy = Proxy::new(fixture.anvil_options.port).await;
    proxy.set(
        "eth_getBlockReceipts",
        Answer::Error(-32601, "Method not found"),
    );
    let running = fixture
        .ingest(config_through(&proxy, &fixture))
        .await
        .unwrap();
    fixture.caught_up().await;
    assert_eq!(
        fixture
            .count("SELECT count(*) FROM transactions WHERE status = 1")
            .await,
        1
    );
    assert!(proxy.requests("eth_getTransactionReceipt") >= 1);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn retries_missing_receipts_and_null_blocks() {
    let fixture = AnvilFixture::new().await;
    let proxy = Proxy::new(fixture.anvil_options.port).await;
    let running = fixture
        .ingest(config_through(&proxy, &fixture))
        .await
        .unwrap();
    let before = fixture.caught_up().await;
    for (method, answer) in [
        ("eth_getBlockReceipts", Value::Null),
        ("eth_getBlockReceipts", json!([])),
        ("eth_getBlockByHash", Value::Null),
    ] {
        let requests_before = proxy.requests(method);
        proxy.set(method, Answer::Result(answer));
        // Receipts missing in a list are requested by transaction.
        proxy.set("eth_getTransactionReceipt", Answer::Result(Value::Null));
        pay(&fixture).await;
        eventually("some attempts", async || {
            (proxy.requests(method) > requests_before + 3).then_some(())
        })
        .await;
        proxy.pass(method);
        proxy.pass("eth_getTransactionReceipt");
        fixture.caught_up().await;
    }
    assert_eq!(
        fixture.state().await.head.unwrap().number,
        before.number + 3
    );
    assert_eq!(fixture.count("SELECT count(*) FROM transactions").await, 3);
    assert_eq!(
        fixture.count("SELECT count(*) FROM dropped_blocks").await,
        0
    );
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn block_that_fails_check_is_not_stored() {
    let fixture = AnvilFixture::new().await;
    let proxy = Proxy::new(fixture.anvil_options.port).await;
    let running = fixture
        .ingest(config_through(&proxy, &fixture))
        .await
        .unwrap();
    let before = fixture.caught_up().await;
    proxy.set(
        "eth_getBlockReceipts",
        Answer::Tampered(|receipts| {
            receipts[0]["cumulativeGasUsed"] = json!("0x1");
        }),
    );
    pay(&fixture).await;
    eventually("some attempts", async || {
        (proxy.requests("eth_getBlockReceipts") > 4).then_some(())
    })
    .await;
    eventually(
        "the node's head is recorded though nothing is indexed",
        async || (fixture.state().await.node_head == Some(before.number + 1)).then_some(()),
    )
    .await;
    assert_eq!(fixture.state().await.head, Some(before));
    proxy.pass("eth_getBlockReceipts");
    fixture.caught_up().await;
    running.stop().await;

    // With the check disabled it is stored, and counts as unproven.
    let checks = ChecksConfig {
        receipts_root: false,
        derived: false,
        ..Default::default()
    };
    let running = fixture
        .ingest(ChainConfig {
            checks,
            ..config_through(&proxy, &fixture)
        })
        .await
        .unwrap();
    proxy.set(
        "eth_getBlockReceipts",
        Answer::Tampered(|receipts| {
            receipts[0]["cumulativeGasUsed"] = json!("0x1");
        }),
    );
    pay(&fixture).await;
    let head = fixture.caught_up().await;
    assert_eq!(
        fixture.state().await.verified_through,
        Some(head.number - 1)
    );
    running.stop().await;
}

fn config_through(proxy: &Proxy, fixture: &AnvilFixture) -> ChainConfig {
    ChainConfig {
        rpc_url: Secret::new(proxy.url()),
        ws_url: None,
        ..fixture.config()
    }
}

/// One transaction in a block of its own.
async fn pay(fixture: &AnvilFixture) {
    let accounts = fixture.node.accounts(2).await.unwrap();
    let value = alloy::primitives::U256::from(5);
    let payment = chaincast_dev::Transaction::payment(accounts[0], accounts[1], value);
    let hash = fixture.node.send(payment).await.unwrap();
    fixture.node.mined(&[hash]).await.unwrap();
}
