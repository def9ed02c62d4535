//! The active provider, whose head is followed: the most preferred that is healthy and not lagging.

use futures_util::future::join_all;
use tokio::{sync::watch, time::Instant};

use super::{Provider, Providers, Work, health::Attempt, telemetry};
use crate::chain::{NodeError, Tag};
use chaincast_protocol::BlockRef;

impl Providers {
    /// The position of the active provider, with changes.
    pub(in crate::chain) fn active(&self) -> watch::Receiver<usize> {
        self.active.subscribe()
    }

    /// The head of the active provider, and its position. If it does not answer, the next one that does becomes active.
    pub(in crate::chain) async fn head(&self) -> Result<(usize, Option<BlockRef>), NodeError> {
        let (position, head) = self
            .attempt_with_position(
                Work::Live,
                |node| async move { node.tagged(Tag::Latest).await },
            )
            .await?;
        if let Some(head) = head {
            self.record_head(position, head);
        }
        if position != self.active_position() {
            self.activate(position, "the active provider did not return its head");
        }
        Ok((position, head))
    }

    /// Records the head of a provider.
    pub(in crate::chain) fn record_head(&self, position: usize, head: BlockRef) {
        if let Some(provider) = self.list.get(position) {
            provider.health.lock().head = Some(head);
        }
    }

    /// Polls the head of every usable provider in parallel, including due trials, and marks the lagging ones. Resting
    /// and suspended providers are skipped.
    pub(in crate::chain) async fn poll_all(&self) {
        let now = Instant::now();
        let due = self.list.iter().filter_map(|provider| {
            let health = provider.health.lock();
            let usable = health.is_usable(now) || health.is_trial_due(now);
            usable.then_some((provider, health.next_attempt()))
        });
        let due: Vec<_> = due.collect();
        let heads = join_all(due.into_iter().map(|(provider, attempt)| async move {
            let head = self.run_on(provider, attempt, |node| async move {
                node.tagged(Tag::Latest).await
            });
            // Errors are recorded with the provider.
            Some((provider, head.await.ok()??))
        }))
        .await;
        let heads: Vec<_> = heads.into_iter().flatten().collect();
        let heads = self.verified_heads(heads).await;
        let best = heads
            .iter()
            .filter(|(_, _, verified)| *verified)
            .map(|(_, head, _)| head.number)
            .max()
            .unwrap_or(0);
        for (provider, head, verified) in heads {
            let behind = best.saturating_sub(head.number);
            let lagging = behind > self.lag_blocks || !verified;
            let mut health = provider.health.lock();
            health.head = Some(head);
            if !verified && !health.is_lagging() {
                tracing::warn!(
                    chain_id = self.chain_id,
                    provider = provider.name,
                    head = head.number,
                    "the provider reports a head far above the others but does not have that block; not following it"
                );
            } else if lagging && !health.is_lagging() {
                tracing::warn!(
                    chain_id = self.chain_id,
                    provider = provider.name,
                    behind_blocks = behind,
                    "the provider lags behind another"
                );
            }
            health.set_lagging(lagging);
            telemetry::set_lag(self.chain_id, provider, behind);
        }
        self.review();
    }

    /// Checks that a provider has its own head block, if that head would make others lag: a number alone must not
    /// divert a chain from healthy providers.
    async fn verified_heads<'a>(
        &self,
        heads: Vec<(&'a Provider, BlockRef)>,
    ) -> Vec<(&'a Provider, BlockRef, bool)> {
        let least = heads.iter().map(|(_, head)| head.number).min().unwrap_or(0);
        join_all(heads.into_iter().map(|(provider, head)| async move {
            let mut verified = true;
            if head.number - least > self.lag_blocks {
                let there = self.run_on(provider, Attempt::Regular, |node| async move {
                    node.at(head.number).await
                });
                // An error is recorded with the provider and says nothing about its head; another block does.
                match there.await {
                    Ok(there) => verified = there.is_some(),
                    Err(NodeError::BadAnswer { .. }) => verified = false,
                    Err(_) => {}
                }
            }
            (provider, head, verified)
        }))
        .await
    }

    /// Activates another provider if that is due.
    pub(in crate::chain) fn review(&self) {
        let now = Instant::now();
        let healthy = |position: usize| {
            let health = self.list[position].health.lock();
            health.is_usable(now) && !health.is_lagging()
        };
        for (position, provider) in self.list.iter().enumerate() {
            telemetry::set_up(self.chain_id, provider, healthy(position));
        }
        let active = self.active_position();
        let candidates = self.suitable(Work::Live);
        let Some(best) = candidates.into_iter().find(|position| healthy(*position)) else {
            return;
        };
        let has_recovered = || {
            let health = self.list[best].health.lock();
            health.is_healthy_for(self.prefer_back, now)
        };
        if best != active && !healthy(active) {
            self.activate(best, "the active provider failed, rests or lags");
        } else if best < active && has_recovered() {
            self.activate(best, "a preferred provider recovered");
        }
    }

    fn activate(&self, position: usize, reason: &'static str) {
        let before = self.active.send_replace(position);
        if before == position {
            return;
        }
        telemetry::count_failover(self.chain_id);
        tracing::info!(
            chain_id = self.chain_id,
            from = self.list[before].name,
            to = self.list[position].name,
            reason,
            "switched to the head of another provider"
        );
    }
}
