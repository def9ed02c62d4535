//! Metrics of the chain writers.

use std::time::Duration;

use metrics::{
    Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram,
};

use chaincast_evm::chain::{CHECKS, NodeError};
use chaincast_model::IndexedBlock;
use chaincast_protocol::ChainId;

/// The metrics of one chain.
#[derive(Debug, Clone)]
pub(super) struct ChainMetrics {
    chain_id: String,
}

impl ChainMetrics {
    pub(super) fn new(chain_id: ChainId) -> Self {
        describe_gauge!(
            "chaincast_chain_head_number",
            "Height of the newest indexed block"
        );
        describe_gauge!(
            "chaincast_chain_lag_blocks",
            "Blocks between the node's head and the index"
        );
        describe_gauge!(
            "chaincast_chain_node_silent_seconds",
            Unit::Seconds,
            "Time since the node last reported its head"
        );
        describe_counter!("chaincast_chain_blocks_total", "Blocks indexed");
        describe_counter!("chaincast_chain_transactions_total", "Transactions indexed");
        describe_counter!("chaincast_chain_logs_total", "Logs indexed");
        describe_counter!("chaincast_chain_reorgs_total", "Reorgs followed");
        describe_counter!(
            "chaincast_chain_dropped_blocks_total",
            "Blocks dropped by reorgs"
        );
        describe_counter!(
            "chaincast_chain_node_errors_total",
            "Requests to a node that failed, by kind"
        );
        describe_counter!(
            "chaincast_chain_transfer_batches_ignored_total",
            "ERC-1155 batches without decodable transfers: arrays of different lengths, truncated data, or too many entries"
        );
        counter!("chaincast_chain_transfer_batches_ignored_total").increment(0);
        describe_counter!(
            "chaincast_chain_watch_updates_total",
            "Updates of watched transactions and addresses"
        );
        describe_counter!(
            "chaincast_chain_watch_polls_total",
            "Requests to the node for watched transactions that are in no block"
        );
        describe_histogram!(
            "chaincast_chain_watch_seconds",
            Unit::Seconds,
            "Time to look up the watched transactions and addresses of a commit"
        );
        describe_histogram!(
            "chaincast_chain_commit_seconds",
            Unit::Seconds,
            "Time from the start of a transaction of blocks to its commit"
        );
        describe_counter!(
            "chaincast_chain_work_microseconds_total",
            "CPU time of reading and checking history, by stage"
        );
        let chain_id = chain_id.to_string();
        // Zero from the start: a rate over a counter that appears with its first event misses that event.
        for name in [
            "chaincast_chain_blocks_total",
            "chaincast_chain_transactions_total",
            "chaincast_chain_logs_total",
            "chaincast_chain_reorgs_total",
            "chaincast_chain_dropped_blocks_total",
            "chaincast_chain_watch_updates_total",
            "chaincast_chain_watch_polls_total",
        ] {
            counter!(name, "chain_id" => chain_id.clone()).increment(0);
        }
        for stage in std::iter::once("decode").chain(CHECKS) {
            counter!("chaincast_chain_work_microseconds_total", "chain_id" => chain_id.clone(), "stage" => stage).increment(0);
        }
        for kind in NodeError::KINDS {
            counter!("chaincast_chain_node_errors_total", "chain_id" => chain_id.clone(), "kind" => kind).increment(0);
        }
        Self { chain_id }
    }

    /// Counts committed blocks.
    pub(super) fn committed(&self, blocks: &[IndexedBlock], dropped: usize, took: Duration) {
        let id = || self.chain_id.clone();
        let count = |of: fn(&IndexedBlock) -> usize| blocks.iter().map(of).sum::<usize>() as u64;
        counter!("chaincast_chain_blocks_total", "chain_id" => id()).increment(blocks.len() as u64);
        counter!("chaincast_chain_transactions_total", "chain_id" => id())
            .increment(count(|block| block.transactions.len()));
        counter!("chaincast_chain_logs_total", "chain_id" => id())
            .increment(count(|block| block.logs.len()));
        if dropped > 0 {
            counter!("chaincast_chain_reorgs_total", "chain_id" => id()).increment(1);
            counter!("chaincast_chain_dropped_blocks_total", "chain_id" => id())
                .increment(dropped as u64);
        }
        histogram!("chaincast_chain_commit_seconds", "chain_id" => id()).record(took.as_secs_f64());
    }

    /// Counts updates of watched transactions and addresses.
    pub(super) fn watched(&self, updates: usize) {
        counter!("chaincast_chain_watch_updates_total", "chain_id" => self.chain_id.clone())
            .increment(updates as u64);
    }

    /// Counts requests for watched transactions.
    pub(super) fn polled(&self, transactions: usize) {
        counter!("chaincast_chain_watch_polls_total", "chain_id" => self.chain_id.clone())
            .increment(transactions as u64);
    }

    /// Records the time to look up the watches of a commit.
    pub(super) fn looked_up(&self, took: Duration) {
        histogram!("chaincast_chain_watch_seconds", "chain_id" => self.chain_id.clone())
            .record(took.as_secs_f64());
    }

    /// Records the time since the node's last answer.
    pub(super) fn node_silent(&self, silent: Duration) {
        gauge!("chaincast_chain_node_silent_seconds", "chain_id" => self.chain_id.clone())
            .set(silent.as_secs_f64());
    }

    /// Records the indexed head, and the lag behind the node's head.
    pub(super) fn record_position(&self, indexed: Option<u64>, node: Option<u64>) {
        if let Some(indexed) = indexed {
            gauge!("chaincast_chain_head_number", "chain_id" => self.chain_id.clone())
                .set(indexed as f64);
        }
        if let Some(node) = node {
            let lag = indexed.map_or(node.saturating_add(1), |indexed| {
                node.saturating_sub(indexed)
            });
            gauge!("chaincast_chain_lag_blocks", "chain_id" => self.chain_id.clone())
                .set(lag as f64);
        }
    }
}
