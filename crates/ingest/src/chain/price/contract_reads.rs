//! Reads the facts of price contracts through the chain's providers: when the writer opens, then at the configured
//! interval, and sooner while a required fact is missing.

use std::{convert::Infallible, time::Duration};

use futures_util::{StreamExt, stream};

use super::super::{Parts, timeouts::STORE_TIMEOUT};
use chaincast_evm::chain::{NodeError, Tag, Work};
use chaincast_prices::{ContractError, ContractFacts, ContractQuery, OnChainSources};
use chaincast_protocol::BlockRef;

/// Concurrent contract reads.
const CONCURRENCY: usize = 4;
/// The longest delay between two attempts while a fact is missing.
const RETRY_INTERVAL: Duration = Duration::from_secs(5);

impl Parts {
    /// Reads all contracts, and the newest answers of Chainlink contracts, before anything is written. Failed reads are
    /// repeated later.
    pub(in super::super) async fn read_contracts_first(&self) {
        let Some(sources) = self.decoder.on_chain() else {
            return;
        };
        sources.request_answers(self.config.chain_id);
        let reads = self.read_contracts(sources);
        if tokio::time::timeout(STORE_TIMEOUT, reads).await.is_err() {
            let chain_id = self.config.chain_id;
            tracing::warn!(
                chain_id,
                "price contracts did not answer within {STORE_TIMEOUT:?}; retrying later"
            );
        }
    }

    /// Reads contracts periodically, for as long as it is polled.
    pub(in super::super) async fn poll_contracts(&self) -> Infallible {
        let Some(sources) = self.decoder.on_chain() else {
            return std::future::pending().await;
        };
        let interval = Duration::from_millis(sources.follow_interval_ms());
        loop {
            let wait = if sources.needs_retry(self.config.chain_id) {
                interval.min(RETRY_INTERVAL)
            } else {
                interval
            };
            tokio::time::sleep(wait).await;
            self.read_contracts(sources).await;
        }
    }

    /// Reads every contract that is due once.
    async fn read_contracts(&self, sources: &OnChainSources) {
        let chain_id = self.config.chain_id;
        let queries = sources.pending_queries(chain_id);
        if queries.is_empty() {
            return;
        }
        let log_failure = |error: &NodeError| {
            tracing::warn!(chain_id, %error, "cannot read price contracts; retrying later");
        };
        let set_error = |query: &ContractQuery, error: &NodeError| {
            sources.set_error(query, Some(ContractError::node(error)));
        };
        let head = match self.node.tagged(Tag::Latest).await {
            Ok(Some(head)) => head,
            Ok(None) => return,
            Err(error) => {
                queries.iter().for_each(|one| set_error(one, &error));
                return log_failure(&error);
            }
        };
        let mut answers = stream::iter(queries)
            .map(async |query| (query, self.read_contract(query, head).await))
            .buffer_unordered(CONCURRENCY);
        let mut logged = false;
        let mut read = Vec::new();
        while let Some((query, answer)) = answers.next().await {
            match answer {
                Ok((facts, error)) => {
                    read.extend(sources.apply_facts(&query, &facts, head));
                    sources.set_error(&query, error);
                }
                // One log line for each round: the other reads usually fail for the same reason.
                Err(error) => {
                    set_error(&query, &error);
                    if !std::mem::replace(&mut logged, true) {
                        log_failure(&error);
                    }
                }
            }
        }
        // Calls are by height: the answers belong to the head only if it is still canonical for the node.
        if read.is_empty() {
            return;
        }
        if self.node.confirm(head).await.is_err() {
            sources.request_answers(chain_id);
            return;
        }
        for answer in read {
            self.pending_answers.add(answer);
        }
    }

    async fn read_contract(
        &self,
        query: ContractQuery,
        head: BlockRef,
    ) -> Result<(ContractFacts, Option<ContractError>), NodeError> {
        self.node
            .attempt(
                Work::Live,
                |node| async move { query.fetch(&node, head).await },
            )
            .await
    }
}
