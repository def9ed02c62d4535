//! Chains of which only logs or transfers are indexed.

use alloy::primitives::U256;

use super::stage::{Running, Stage};
use crate::{
    dev::{Deployment, Market, deploy_or_load},
    ingest::IngestError,
    model::IndexMode,
    source::chain::ChainConfig,
    store::Store,
};

fn in_mode(stage: &Stage, index: IndexMode) -> ChainConfig {
    ChainConfig {
        index,
        log_range_blocks: 5,
        request_blocks: 3,
        ..stage.config()
    }
}

async fn started(stage: &Stage, index: IndexMode) -> Running {
    stage.ingest(in_mode(stage, index)).await.unwrap()
}

/// What a query gives, a text a row.
async fn rows(stage: &Stage, query: &str) -> Vec<String> {
    sqlx::query_scalar(query)
        .fetch_all(&mut *stage.connection().await)
        .await
        .unwrap()
}

/// The rows that every mode of a kind must have.
struct Stored {
    blocks: Vec<String>,
    logs: Vec<String>,
    transfers: Vec<String>,
}

impl Stored {
    async fn of(stage: &Stage) -> Self {
        let of = async |table: &str, without: &str, order: &str| {
            let query = format!(
                "SELECT (to_jsonb(t) - '{{indexed_at,{without}}}'::text[])::text FROM {table} t ORDER BY {order}"
            );
            rows(stage, &query).await
        };
        Self {
            // Without transactions the size is the node's word, and anvil's is not the computed one.
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
async fn own_hashes(stage: &Stage, table: &str) -> Vec<String> {
    let query = format!(
        "SELECT format('%s %s %s', block_number, log_index, encode(transaction_hash, 'hex')) FROM {table}
         ORDER BY block_number, log_index"
    );
    rows(stage, &query).await
}

/// The same from the transactions.
async fn joined_hashes(stage: &Stage, table: &str) -> Vec<String> {
    let query = format!(
        "SELECT format('%s %s %s', block_number, log_index, encode(t.hash, 'hex')) FROM {table}
         JOIN transactions t USING (chain_id, block_number, transaction_index) ORDER BY block_number, log_index"
    );
    rows(stage, &query).await
}

/// Transfers some, one by one, then replaces the last blocks by others.
async fn busy(stage: &Stage, deployment: &Deployment) {
    let url = format!("http://127.0.0.1:{}", stage.anvil_options.port);
    let market = Market::new(&url, deployment, Some(1)).await.unwrap();
    let (from, to) = (market.holders()[0], market.holders()[1]);
    for amount in 1..=4 {
        let sent = market.transfer("LINK", from, to, U256::from(amount)).await;
        stage.node.mined(&[sent.unwrap()]).await.unwrap();
        stage.caught_up().await;
    }
    stage.control.reorg(2).await.unwrap();
    stage.caught_up().await;
    let sent = market.transfer("LINK", to, from, U256::from(9)).await;
    stage.node.mined(&[sent.unwrap()]).await.unwrap();
    stage.caught_up().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn logs_and_transfers_alone_are_those_of_whole_blocks_through_history_head_and_reorg() {
    let stage = Stage::new().await;
    let url = format!("http://127.0.0.1:{}", stage.anvil_options.port);
    let deployment = deploy_or_load(&url, stage.dir.path()).await.unwrap();
    stage.control.mine(12).await.unwrap();

    let running = started(&stage, IndexMode::Logs).await;
    stage.caught_up().await;
    busy(&stage, &deployment).await;
    stage.assert_equals_node().await;
    running.stop().await;
    let head = stage.state().await.head.unwrap();
    assert_eq!(stage.state().await.verified_through, Some(head.number));
    assert_eq!(stage.count("SELECT count(*) FROM transactions").await, 0);
    assert_eq!(stage.count("SELECT count(*) FROM dropped_blocks").await, 2);
    let logs = Stored::of(&stage).await;
    let log_hashes = own_hashes(&stage, "logs").await;
    let log_transfer_hashes = own_hashes(&stage, "transfers").await;

    Store::reset(&stage.database).await.unwrap();
    let running = started(&stage, IndexMode::Transfers).await;
    stage.caught_up().await;
    running.stop().await;
    assert_eq!(stage.state().await.verified_through, None);
    assert_eq!(stage.count("SELECT sum(log_count) FROM blocks").await, 0);
    let transfers = Stored::of(&stage).await;
    let transfer_hashes = own_hashes(&stage, "transfers").await;

    // Another mode needs another database.
    for index in [IndexMode::Blocks, IndexMode::Logs] {
        let Err(refused) = stage.ingest(in_mode(&stage, index)).await else {
            panic!("{index} was not refused");
        };
        assert!(
            matches!(refused, IngestError::IndexModeChanged { .. }),
            "{refused}"
        );
        assert!(
            refused.to_string().contains("set chains.index back"),
            "{refused}"
        );
    }

    Store::reset(&stage.database).await.unwrap();
    let running = started(&stage, IndexMode::Blocks).await;
    assert_eq!(stage.caught_up().await, head);
    running.stop().await;
    let whole = Stored::of(&stage).await;
    assert!(whole.transfers.len() > 10 && whole.logs.len() > whole.transfers.len());
    for mode in [&logs, &transfers] {
        assert_eq!(mode.blocks, whole.blocks);
        assert_eq!(mode.transfers, whole.transfers);
    }
    assert_eq!(logs.logs, whole.logs);
    assert!(transfers.logs.is_empty());
    assert_eq!(log_hashes, joined_hashes(&stage, "logs").await);
    let hashes = joined_hashes(&stage, "transfers").await;
    assert_eq!(log_transfer_hashes, hashes);
    assert_eq!(transfer_hashes, hashes);
}
