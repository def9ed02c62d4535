//! Reads the metadata of token contracts once each, concurrently with the writer and without delaying it.
//!
//! The writer only records which token contracts had transfers, with their blocks. Here they are read, one at a time and
//! rate-limited; one without a usable answer is read a few times over some minutes, then never again.

use std::{convert::Infallible, time::Duration};

use rustc_hash::FxHashSet;

use super::Parts;
use chaincast_evm::chain::Work;
use chaincast_model::{IndexedBlock, TokenStandard};
use chaincast_protocol::Address;
use chaincast_store::StoreError;

/// Token contracts remembered as recorded. When there are more, all are forgotten: recording one again is harmless.
const MAX_SEEN: usize = 65_536;
/// Token contracts read from the store in one query.
const BATCH: u32 = 32;
/// Time between two queries for new ones.
const IDLE: Duration = Duration::from_secs(1);
/// Delay after a failure of the node or the database.
const FAILURE_DELAY: Duration = Duration::from_secs(5);
/// How often a token contract without a usable answer is read, and the delay before each retry.
const ATTEMPTS: u8 = 3;
const RETRY_AFTER: Duration = Duration::from_secs(60);

/// The token contracts that this writer has recorded.
#[derive(Default)]
pub(super) struct SeenTokens(FxHashSet<Address>);

impl SeenTokens {
    /// The token contracts with transfers in these blocks that were not recorded before. The native coin has none.
    pub(super) fn new_in(&mut self, blocks: &[IndexedBlock]) -> Vec<(Address, TokenStandard)> {
        if self.0.len() > MAX_SEEN {
            self.0.clear();
        }
        let moved = blocks.iter().flat_map(|block| &block.transfers);
        moved
            .filter_map(|transfer| Some((transfer.token?, transfer.standard)))
            .filter(|(token, _)| self.0.insert(*token))
            .collect()
    }
}

impl Parts {
    /// Reads token contracts for as long as it is polled.
    pub(super) async fn read_tokens(&self) -> Infallible {
        describe();
        if !self.config.token_metadata {
            return std::future::pending().await;
        }
        let pause = Duration::from_secs(1) / self.config.token_metadata_per_second.max(1);
        loop {
            let wait = match self.read_batch(pause).await {
                Ok(0) => IDLE,
                Ok(_) => pause,
                Err(reason) => {
                    let chain_id = self.config.chain_id;
                    tracing::debug!(chain_id, reason, "cannot read token contracts; retrying");
                    FAILURE_DELAY
                }
            };
            tokio::time::sleep(wait).await;
        }
    }

    /// Reads one batch of token contracts; returns their number.
    async fn read_batch(&self, pause: Duration) -> Result<usize, String> {
        let chain_id = self.config.chain_id;
        let failed = |error: StoreError| error.to_string();
        let unread = self.store.unread_tokens(chain_id, RETRY_AFTER, BATCH);
        let unread = unread.await.map_err(failed)?;
        for (token, standard) in &unread {
            let (token, standard) = (*token, *standard);
            let result = self
                .node
                .attempt(Work::History, |node| async move {
                    node.token_metadata(token, standard).await
                })
                .await;
            match result {
                Ok(metadata) if metadata.is_empty() => {
                    count("silent");
                    let recorded = self.store.record_failed_read(chain_id, token, ATTEMPTS);
                    recorded.await.map_err(failed)?;
                }
                Ok(metadata) => {
                    count("read");
                    let metadata = (
                        metadata.name.as_deref(),
                        metadata.symbol.as_deref(),
                        metadata.decimals,
                    );
                    let recorded = self.store.record_token(chain_id, token, metadata);
                    recorded.await.map_err(failed)?;
                }
                Err(error) => {
                    count("failed");
                    return Err(error.to_string());
                }
            }
            tokio::time::sleep(pause).await;
        }
        Ok(unread.len())
    }
}

fn describe() {
    metrics::describe_counter!(
        "chaincast_token_reads_total",
        "Token contracts read for name, symbol and decimals, by result"
    );
    for result in ["read", "silent", "failed"] {
        metrics::counter!("chaincast_token_reads_total", "result" => result).increment(0);
    }
}

fn count(result: &'static str) {
    metrics::counter!("chaincast_token_reads_total", "result" => result).increment(1);
}
