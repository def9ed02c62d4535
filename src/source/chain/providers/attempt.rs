//! One piece of work, given to one provider after the other until one can do it.

use std::{future::Future, sync::Arc};

use tokio::time::Instant;

use super::{Providers, Work, health::Change, provider::Provider, telemetry};
use crate::{
    model::{BlockRef, KnownBlock},
    source::chain::{Link, Node, NodeError},
};

/// Whom to ask: a position, and whether it is a trial of a circuit that is open.
type Candidate = (usize, bool);

impl Providers {
    /// Does `work` with one node after the other until one succeeds. When none does, the error tells of all that
    /// were tried, and is of the most hopeful kind among theirs.
    pub async fn attempt<T, F>(
        &self,
        kind: Work,
        work: impl Fn(Arc<Node>) -> F,
    ) -> Result<T, NodeError>
    where
        F: Future<Output = Result<T, NodeError>>,
    {
        self.attempt_by(kind, work).await.map(|(_, done)| done)
    }

    /// As [`Providers::attempt`]; also the position of who did it.
    pub(in crate::source::chain) async fn attempt_by<T, F>(
        &self,
        kind: Work,
        work: impl Fn(Arc<Node>) -> F,
    ) -> Result<(usize, T), NodeError>
    where
        F: Future<Output = Result<T, NodeError>>,
    {
        let mut errors = Vec::new();
        for (position, trial) in self.order(kind)? {
            let provider = &self.list[position];
            match self.ask(provider, trial, &work).await {
                Ok(done) => {
                    self.disproved(&errors);
                    return Ok((position, done));
                }
                Err(error) => errors.push((position, error)),
            }
        }
        let named = errors
            .into_iter()
            .map(|(position, error)| (self.list[position].name.as_str(), error));
        Err(NodeError::of_several(named.collect()))
    }

    /// Does `work` with one provider, which proves first which chain it serves when that is not sure.
    pub(in crate::source::chain) async fn ask<T, F>(
        &self,
        provider: &Provider,
        trial: bool,
        work: impl Fn(Arc<Node>) -> F,
    ) -> Result<T, NodeError>
    where
        F: Future<Output = Result<T, NodeError>>,
    {
        if !provider.health.lock().proven {
            self.prove(provider, false).await?;
        }
        let began = Instant::now();
        let done = work(provider.node.clone()).await;
        let now = Instant::now();
        let change = match &done {
            Ok(_) => provider.health.lock().succeeded(now, now - began, trial),
            Err(error) => provider.health.lock().failed(now, error, trial),
        };
        self.tell(provider, change);
        if let Err(error @ NodeError::Throttled { .. }) = &done {
            self.tell_throttling(provider, error);
        }
        done
    }

    /// Logs, at most once a minute, that a provider limits the rate of requests.
    fn tell_throttling(&self, provider: &Provider, error: &NodeError) {
        let (refused, rest) = {
            let (mut health, now) = (provider.health.lock(), Instant::now());
            let Some(refused) = health.throttling_to_tell(now) else {
                return;
            };
            (refused, health.rests_for(now).unwrap_or_default())
        };
        tracing::warn!(
            chain_id = self.chain_id,
            provider = provider.name,
            %error,
            refused,
            rest_ms = rest.as_millis() as u64,
            "the provider limits the rate of requests; it gets none for that long"
        );
    }

    /// Asks a provider which chain it serves, again when `anew`; the block by which it is known, which is the expected
    /// one.
    pub(super) async fn prove(
        &self,
        provider: &Provider,
        anew: bool,
    ) -> Result<BlockRef, NodeError> {
        let came = Instant::now();
        let _once = provider.proving.lock().await;
        let known = self.known.read().clone();
        if !anew {
            let health = provider.health.lock();
            match known.first() {
                Some(expected) if health.proven => return Ok(expected.block),
                // Who waited while another asked in vain does not ask again.
                _ if health.unproven_at.is_some_and(|failed| failed > came) => {
                    return Err(NodeError::Unreachable {
                        url: provider.node.shown_url(),
                        reason: "it did not prove which chain it serves".to_owned(),
                    });
                }
                _ => {}
            }
        }
        let proof = match provider.node.identity(&known, self.first).await {
            Ok(actual) => self.compared(provider, actual).await,
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
                // Who cannot prove itself is on trial, if its circuit is open.
                Err(error) => {
                    health.unproven_at = Some(now);
                    health.failed(now, error, true)
                }
            }
        };
        self.tell(provider, change);
        proof
    }

    /// Compares the block by which a provider is known with the expected one.
    async fn compared(&self, provider: &Provider, actual: Link) -> Result<BlockRef, NodeError> {
        let node = &provider.node;
        let number = actual.block.number;
        let (known, alone) = {
            let known = self.known.read();
            let same = known.iter().find(|known| known.block.number == number);
            (same.copied(), known.is_empty())
        };
        let known = match known {
            Some(known) => known,
            // Without anything to compare it with, the first one that answers says which chain it is.
            None if alone => self.learn(&node.shown_url(), actual),
            None => KnownBlock::fixed(self.vouched(number).await.ok_or_else(|| {
                node.unidentified(format!(
                    "block 0 (and no other provider has block {number} to compare)"
                ))
            })?),
        };
        if !known.shows_chain_of(actual.block, actual.parent_hash) {
            return Err(node.counted(NodeError::WrongGenesis {
                url: node.shown_url(),
                number,
                expected: known.block.hash,
                actual: actual.block.hash,
            }));
        }
        Ok(self.learn(&node.shown_url(), actual).block)
    }

    /// Who is asked for work, in order: the active one for what is live, then those that are well, then those that
    /// lag, then those whose trial is due. When none of these is left, every one that does not want to rest.
    pub(super) fn order(&self, kind: Work) -> Result<Vec<Candidate>, NodeError> {
        let now = Instant::now();
        let active = (kind == Work::Live).then(|| self.active_position());
        let able = self.able(kind);
        let rank = |position: usize| {
            let health = self.list[position].health.lock();
            let candidate = if health.is_usable(now) {
                // What is long there is there on a node that lags as well.
                let lags = kind == Work::Live && health.is_lagging();
                Some((false, u8::from(lags)))
            } else if health.is_due(now) {
                Some((true, 2))
            } else {
                None
            };
            candidate.map(|(trial, rank)| ((rank, active != Some(position), position), trial))
        };
        let mut ranked: Vec<_> = able.iter().filter_map(|position| rank(*position)).collect();
        ranked.sort_unstable();
        let mut order: Vec<Candidate> = ranked
            .into_iter()
            .map(|((_, _, position), trial)| (position, trial))
            .collect();
        if order.is_empty() {
            let awake =
                |position: &usize| self.list[*position].health.lock().rests_for(now).is_none();
            order = able
                .iter()
                .copied()
                .filter(awake)
                .map(|position| (position, true))
                .collect();
        }
        if order.is_empty() {
            return Err(self.all_rest(&able, now));
        }
        Ok(order)
    }

    fn all_rest(&self, able: &[usize], now: Instant) -> NodeError {
        let soonest = able.iter().filter_map(|position| {
            let provider = &self.list[*position];
            Some((
                provider.health.lock().rests_for(now)?,
                provider.node.shown_url(),
            ))
        });
        let (wait, url) = soonest.min().unwrap_or_default();
        NodeError::Resting { url, wait }
    }

    /// What these said was shown wrong by another's answer.
    fn disproved(&self, errors: &[(usize, NodeError)]) {
        for (position, error) in errors {
            let provider = &self.list[*position];
            match error {
                NodeError::Missing { .. } => {
                    let change = provider.health.lock().lacked(Instant::now(), error);
                    self.tell(provider, change);
                }
                NodeError::BadAnswer { .. } | NodeError::Check { .. } => {
                    telemetry::disagreed(self.chain_id, provider);
                }
                _ => {}
            }
        }
    }

    /// Logs and shows that a circuit opened or closed. With one provider alone the outage is told where it is waited
    /// for.
    fn tell(&self, provider: &Provider, change: Change) {
        if change == Change::None {
            return;
        }
        telemetry::up(self.chain_id, provider, change == Change::Closed);
        if self.list.len() == 1 {
            return;
        }
        let (chain_id, name) = (self.chain_id, provider.name.as_str());
        if change == Change::Closed {
            tracing::info!(chain_id, provider = name, "the provider answers well again");
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
                "the provider failed; others are asked instead"
            );
        }
    }
}
