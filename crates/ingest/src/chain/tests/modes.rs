//! Chains with only logs or transfers indexed.

use alloy::primitives::U256;

use super::anvil_fixture::{AnvilFixture, RunningWriter};
use crate::IngestError;
use chaincast_dev::{Deployment, Market, deploy_or_load};
use chaincast_evm::chain::ChainConfig;
use chaincast_model::IndexMode;
use chaincast_store::Store;

fn in_mode(fixture: &AnvilFixture, index: IndexMode) -> ChainConfig {
    ChainConfig {
        index,
        log_range_blocks: 5,
        request_blocks: 3,
        ..fixture.config()
    }
}

async fn started(fixture: &AnvilFixture, index: IndexMode) -> RunningWriter {
    fixture.ingest(in_mode(fixture, index)).await.unwrap()
}

/// The rows of a query, as text.
async fn rows(fixture: &AnvilFixture, query: &str) -> Vec<String> {
    sqlx::query_scalar(query)
        .fetch_all(&mut *fixture.connection().await)
        .await
        .unwrap()
}

/// The rows that every index mode must have.
struct Stored {
    blocks: Vec<String>,
    logs: Vec<String>,
    transfers: Vec<String>,
}

impl Stored {
    async fn of(fixture: &AnvilFixture) -> Self {
        let of = async |table: &str, without: &str, order: &str| {
            let query = format!(
                "SELECT (to_jsonb(t) - '{{indexed_at,{without}}}'::text[])::text FROM {table} t ORDER BY {order}"
            );
            rows(fixture, &query).await
        };
        Self {
            // Without transactions the size is the node's, and anvil's differs from the computed one.
            blocks: of("blocks", "log_count,size,size_proved", "number").await,
            logs: of("logs", "transaction_hash", "block_number, log_index").await,
            transfers: of(
                "transfers",
                "transaction_hash",
                "block_number, log_index, position",
            )
            .await,
        }
    }
}

/// `block log hash` of the transaction of each row of a table that has the column itself.
async fn own_hashes(fixture: &AnvilFixture, table: &str) -> Vec<String> {
    let query = format!(
        "SELECT format('%s %s %s', block_number, log_index, encode(transaction_hash, 'hex')) FROM {table}
         ORDER BY block_number, log_index"
    );
    rows(fixture, &query).await
}

/// The same hashes from the transactions.
async fn joined_hashes(fixture: &AnvilFixture, table: &str) -> Vec<String> {
    let query = format!(
        "SELECT format('%s %s %s', block_number, log_index, encode(t.hash, 'hex')) FROM {table}
         JOIN transactions t USING (chain_id, block_number, transaction_index) ORDER BY block_number, log_index"
    );
    rows(fixture, &query).await
}

/// Makes transfers one by one, then replaces the last blocks.
async fn busy(fixture: &AnvilFixture, deployment: &Deployment) {
    let url = format!("http://127.0.0.1:{}", fixture.anvil_options.port);
    let market = Market::new(&url, deployment, Some(1)).await.unwrap();
    let (from, to) = (market.holders()[0], market.holders()[1]);
    for amount in 1..=4 {
        let sent = market.transfer("LINK", from, to, U256::from(amount)).await;
        fixture.node.mined(&[sent.unwrap()]).await.unwrap();
        fixture.caught_up().await;
    }
    fixture.control.reorg(2).await.unwrap();
    fixture.caught_up().await;
    let sent = market.transfer("LINK", to, from, U256::from(9)).await;
    fixture.node.mined(&[sent.unwrap()]).await.unwrap();
    fixture.caught_up().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn partial_modes_store_same_logs_and_transfers() {
    let fixture = AnvilFixture::new().await;
    let url = format!("http://127.0.0.1:{}", fixture.anvil_options.port);
    let deployment = deploy_or_load(&url, fixture.dir.path()).await.unwrap();
    fixture.control.mine(12).await.unwrap();

    let running = started(&fixture, IndexMode::Logs).await;
    fixture.caught_up().await;
    busy(&fixture, &deployment).await;
    fixture.assert_equals_node().await;
    running.stop().await;
    let head = fixture.state().await.head.unwrap();
    assert_eq!(fixture.state().await.verified_through, Some(head.number));
    assert_eq!(fixture.count("SELECT count(*) FROM transactions").await, 0);
    assert_eq!(
        fixture.count("SELECT count(*) FROM dropped_blocks").await,
        2
    );
    let logs = Stored::of(&fixture).await;
    let log_hashes = own_hashes(&fixture, "logs").await;
    let log_transfer_hashes = own_hashes(&fixture, "transfers").await;

    Store::reset(&fixture.database).await.unwrap();
    let running = started(&fixture, IndexMode::Transfers).await;
    fixture.caught_up().await;
    running.stop().await;
    assert_eq!(fixture.state().await.verified_through, None);
    assert_eq!(fixture.count("SELECT sum(log_count) FROM blocks").await, 0);
    let transfers = Stored::of(&fixture).await;
    let transfer_hashes = own_hashes(&fixture, "transfers").await;

    // Another mode needs another database.
    for index in [IndexMode::Blocks, IndexMode::Logs] {
        let Err(error) = fixture.ingest(in_mode(&fixture, index)).await else {
            panic!("{index} was not rejected");
        };
        assert!(
            matches!(error, IngestError::IndexModeChanged { .. }),
            "{error}"
        );
        assert!(
            error.to_string().contains("set chains.index back"),
            "{error}"
        );
    }

    Store::reset(&fixture.database).await.unwrap();
    let running = started(&fixture, IndexMode::Blocks).await;
    assert_eq!(fixture.caught_up().await, head);
    running.stop().await;
    let whole = Stored::of(&fixture).await;
    assert!(whole.transfers.len() > 10 && whole.logs.len() > whole.transfers.len());
    for mode in [&logs, &transfers] {
        assert_eq!(mode.blocks, whole.blocks);
        assert_eq!(mode.transfers, whole.transfers);
    }
    assert_eq!(logs.logs, whole.logs);
    assert!(transfers.logs.is_empty());
    assert_eq!(log_hashes, joined_hashes(&fixture, "logs").await);
    let hashes = joined_hashes(&fixture, "transfers").await;
    assert_eq!(log_transfer_hashes, hashes);
    assert_eq!(transfer_hashes, hashes);
}
