//! Runs one piece of work on one provider after the other until one succeeds.

use std::{future::Future, sync::Arc};

use tokio::time::Instant;

use super::{
    Providers, Work,
    health::{Attempt, Change, Proof},
    provider::Provider,
    telemetry,
};
use crate::chain::{Link, Node, NodeError};
use chaincast_model::KnownBlock;
use chaincast_protocol::BlockRef;

/// A position, and what a request to that provider is.
type Candidate = (usize, Attempt);

impl Providers {
    /// Runs `work` on one node after the other until one succeeds. On failure the error names every provider that was
    /// tried, and its kind is the one that a retry is most likely to resolve.
    pub async fn attempt<T, F>(
        &self,
        kind: Work,
        work: impl Fn(Arc<Node>) -> F,
    ) -> Result<T, NodeError>
    where
        F: Future<Output = Result<T, NodeError>>,
    {
        self.attempt_with_position(kind, work)
            .await
            .map(|(_, done)| done)
    }

    /// As [`Providers::attempt`]; also returns the position of the provider that succeeded.
    pub(in crate::chain) async fn attempt_with_position<T, F>(
        &self,
        kind: Work,
        work: impl Fn(Arc<Node>) -> F,
    ) -> Result<(usize, T), NodeError>
    where
        F: Future<Output = Result<T, NodeError>>,
    {
        let mut errors = Vec::new();
        for (position, attempt) in self.order(kind)? {
            let provider = &self.list[position];
            match self.run_on(provider, attempt, &work).await {
                Ok(done) => {
                    self.record_disproved(&errors);
                    return Ok((position, done));
                }
                Err(error) => errors.push((position, error)),
            }
        }
        let named = errors
            .into_iter()
            .map(|(position, error)| (self.list[position].name.as_str(), error));
        Err(NodeError::from_several(named.collect()))
    }

    /// Runs `work` on one provider, which first proves which chain it serves if that is not known.
    pub(in crate::chain) async fn run_on<T, F>(
        &self,
        provider: &Provider,
        attempt: Attempt,
        work: impl Fn(Arc<Node>) -> F,
    ) -> Result<T, NodeError>
    where
        F: Future<Output = Result<T, NodeError>>,
    {
        if !provider.health.lock().proven {
            self.prove(provider, Proof::Reuse).await?;
        }
        let began = Instant::now();
        let done = work(provider.node.clone()).await;
        let now = Instant::now();
        let change = match &done {
            Ok(_) => provider.health.lock().succeeded(now, now - began, attempt),
            Err(error) => provider.health.lock().failed(now, error, attempt),
        };
        self.report_change(provider, change);
        if let Err(error @ NodeError::Throttled { .. }) = &done {
            self.log_throttling(provider, error);
        }
        done
    }

    /// Logs, at most once a minute, that a provider limits the rate of requests.
    fn log_throttling(&self, provider: &Provider, error: &NodeError) {
        let (refused, rest) = {
            let (mut health, now) = (provider.health.lock(), Instant::now());
            let Some(refused) = health.throttled_since_log(now) else {
                return;
            };
            (refused, health.rest_remaining(now).unwrap_or_default())
        };
        tracing::warn!(
            chain_id = self.chain_id,
            provider = provider.name,
            %error,
            refused,
            rest_ms = rest.as_millis() as u64,
            "the provider limits the rate of requests; pausing requests to it"
        );
    }

    /// Checks which chain a provider serves; returns the block that identifies it.
    pub(super) async fn prove(
        &self,
        provider: &Provider,
        earlier: Proof,
    ) -> Result<BlockRef, NodeError> {
        let started = Instant::now();
        let _once = provider.proving.lock().await;
        let known = self.known.read().clone();
        if earlier == Proof::Reuse {
            let health = provider.health.lock();
            match known.first() {
                Some(expected) if health.proven => return Ok(expected.block),
                // A waiter does not repeat a check that just failed.
                _ if health.unproven_at.is_some_and(|failed| failed > started) => {
                    return Err(NodeError::Unreachable {
                        url: provider.node.redacted_url(),
                        reason: "the chain that it serves could not be verified".to_owned(),
                    });
                }
                _ => {}
            }
        }
        let proof = match provider.node.identity(&known, self.first).await {
            Ok(actual) => self.match_chain(provider, actual).await,
            Err(error) => Err(error),
        };
        let change = {
            let mut health = provider.health.lock();
            let now = Instant::now();
            match &proof {
                Ok(_) => {
                    health.proven = true;
                    Change::None
                }
                // A provider without proof is on trial, if its circuit is open.
                Err(error) => {
                    health.unproven_at = Some(now);
                    health.failed(now, error, Attempt::Trial)
                }
            }
        };
        self.report_change(provider, change);
        proof
    }

    /// Compares the identifying block of a provider with the expected one.
    async fn match_chain(&self, provider: &Provider, actual: Link) -> Result<BlockRef, NodeError> {
        let node = &provider.node;
        let number = actual.block.number;
        let (known, alone) = {
            let known = self.known.read();
            let same = known.iter().find(|known| known.block.number == number);
            (same.copied(), known.is_empty())
        };
        let known = match known {
            Some(known) => known,
            // With nothing to compare, the first provider that answers defines the chain.
            None if alone => self.record_known_block(&node.redacted_url(), actual),
            None => KnownBlock::fixed(self.proven_block_at(number).await.ok_or_else(|| {
                node.unidentified(format!(
                    "block 0 (and no other provider has block {number} to compare)"
                ))
            })?),
        };
        if !known.is_same_chain(actual.block, actual.parent_hash) {
            return Err(node.counted(NodeError::WrongGenesis {
                url: node.redacted_url(),
                number,
                expected: known.block.hash,
                actual: actual.block.hash,
            }));
        }
        Ok(self.record_known_block(&node.redacted_url(), actual).block)
    }

    /// The order of providers for work: for live work the active one, then healthy ones, lagging ones, and those whose
    /// trial is due. If none of these is left, every one that is not resting.
    pub(super) fn order(&self, kind: Work) -> Result<Vec<Candidate>, NodeError> {
        let now = Instant::now();
        let active = (kind == Work::Live).then(|| self.active_position());
        let suitable = self.suitable(kind);
        let rank = |position: usize| {
            let health = self.list[position].health.lock();
            let candidate = if health.is_usable(now) {
                // A lagging node has old blocks as well.
                let lags = kind == Work::Live && health.is_lagging();
                Some((Attempt::Regular, u8::from(lags)))
            } else if health.is_trial_due(now) {
                Some((Attempt::Trial, 2))
            } else {
                None
            };
            candidate.map(|(attempt, rank)| ((rank, active != Some(position), position), attempt))
        };
        let mut ranked: Vec<_> = suitable
            .iter()
            .filter_map(|position| rank(*position))
            .collect();
        ranked.sort_unstable();
        let mut order: Vec<Candidate> = ranked
            .into_iter()
            .map(|((_, _, position), attempt)| (position, attempt))
            .collect();
        if order.is_empty() {
            let not_resting = |position: &usize| {
                self.list[*position]
                    .health
                    .lock()
                    .rest_remaining(now)
                    .is_none()
            };
            order = suitable
                .iter()
                .copied()
                .filter(not_resting)
                .map(|position| (position, Attempt::Trial))
                .collect();
        }
        if order.is_empty() {
            return Err(self.all_resting_error(&suitable, now));
        }
        Ok(order)
    }

    fn all_resting_error(&self, suitable: &[usize], now: Instant) -> NodeError {
        let soonest = suitable.iter().filter_map(|position| {
            let provider = &self.list[*position];
            Some((
                provider.health.lock().rest_remaining(now)?,
                provider.node.redacted_url(),
            ))
        });
        let (wait, url) = soonest.min().unwrap_or_default();
        NodeError::Resting { url, wait }
    }

    /// Records errors that the answer of another provider disproved.
    fn record_disproved(&self, errors: &[(usize, NodeError)]) {
        for (position, error) in errors {
            let provider = &self.list[*position];
            match error {
                NodeError::Missing { .. } => {
                    let change = provider.health.lock().record_missing(Instant::now(), error);
                    self.report_change(provider, change);
                }
                NodeError::BadAnswer { .. } | NodeError::Check { .. } => {
                    telemetry::count_disagreement(self.chain_id, provider);
                }
                _ => {}
            }
        }
    }

    /// Logs and counts that a circuit opened or closed. With a single provider the caller logs the outage.
    fn report_change(&self, provider: &Provider, change: Change) {
        if change == Change::None {
            return;
        }
        telemetry::set_up(self.chain_id, provider, change == Change::Closed);
        if self.list.len() == 1 {
            return;
        }
        let (chain_id, name) = (self.chain_id, provider.name.as_str());
        if change == Change::Closed {
            tracing::info!(chain_id, provider = name, "the provider recovered");
        } else {
            let reason = provider
                .health
                .lock()
                .last_error
                .clone()
                .unwrap_or_default();
            tracing::warn!(
                chain_id,
                provider = name,
                reason,
                "the provider failed; using other providers"
            );
        }
    }
}
