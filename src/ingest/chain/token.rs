//! What token contracts say of themselves, read once each, beside the writer and never in its way.
//!
//! The writer only notes which tokens moved, with their blocks. Here they are asked, one at a time and so many a
//! second; one that says nothing usable is asked a few times over some minutes and then left alone.

use std::{convert::Infallible, time::Duration};

use rustc_hash::FxHashSet;

use super::Parts;
use crate::{
    model::{Address, IndexedBlock, TokenStandard},
    source::chain::Work,
    store::StoreError,
};

/// Tokens remembered as noted; then all are forgotten, and noting one again does no harm.
const REMEMBERED: usize = 65_536;
/// Tokens taken from the store at once.
const AT_ONCE: u32 = 32;
/// How often the store is asked for new ones.
const IDLE: Duration = Duration::from_secs(1);
/// Between two attempts with a node or a database that fails.
const OUTAGE: Duration = Duration::from_secs(5);
/// How often a token that says nothing usable is asked, and how long after the first time.
const ATTEMPTS: u8 = 3;
const AGAIN: Duration = Duration::from_secs(60);

/// The tokens that this session has noted.
#[derive(Default)]
pub(super) struct SeenTokens(FxHashSet<Address>);

impl SeenTokens {
    /// The tokens that moved in some blocks and were not noted before. The chain's own coin is none.
    pub(super) fn new_in(&mut self, blocks: &[IndexedBlock]) -> Vec<(Address, TokenStandard)> {
        if self.0.len() > REMEMBERED {
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
    /// Asks token contracts what they are, for as long as it is polled.
    pub(super) async fn read_tokens(&self) -> Infallible {
        describe();
        if !self.config.token_metadata {
            return std::future::pending().await;
        }
        let pause = Duration::from_secs(1) / self.config.token_metadata_per_second.max(1);
        loop {
            let wait = match self.read_some(pause).await {
                Ok(0) => IDLE,
                Ok(_) => pause,
                Err(reason) => {
                    let chain_id = self.config.chain_id;
                    tracing::debug!(chain_id, reason, "token contracts cannot be read now");
                    OUTAGE
                }
            };
            tokio::time::sleep(wait).await;
        }
    }

    /// Reads some tokens; returns how many there were.
    async fn read_some(&self, pause: Duration) -> Result<usize, String> {
        let chain_id = self.config.chain_id;
        let failed = |error: StoreError| error.to_string();
        let unread = self.store.unread_tokens(chain_id, AGAIN, AT_ONCE);
        let unread = unread.await.map_err(failed)?;
        for (token, standard) in &unread {
            let (token, standard) = (*token, *standard);
            let asked = self
                .node
                .attempt(Work::History, |node| async move {
                    node.token_metadata(token, standard).await
                })
                .await;
            match asked {
                Ok(said) if said.is_empty() => {
                    count("silent");
                    let silent = self.store.record_silent_token(chain_id, token, ATTEMPTS);
                    silent.await.map_err(failed)?;
                }
                Ok(said) => {
                    count("read");
                    let said = (said.name.as_deref(), said.symbol.as_deref(), said.decimals);
                    let recorded = self.store.record_token(chain_id, token, said);
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
