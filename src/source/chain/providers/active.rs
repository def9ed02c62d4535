//! Whose head is believed: one provider at a time, the most preferred that is well and not behind.

use futures_util::future::join_all;
use tokio::{sync::watch, time::Instant};

use super::{Provider, Providers, Work, telemetry};
use crate::{
    model::BlockRef,
    source::chain::{NodeError, Tag},
};

impl Providers {
    /// The position of the active provider; changes are seen.
    pub(in crate::source::chain) fn active(&self) -> watch::Receiver<usize> {
        self.active.subscribe()
    }

    /// The head of the active provider, and its position. When it does not answer, the next one that does becomes
    /// the active one.
    pub(in crate::source::chain) async fn head(
        &self,
    ) -> Result<(usize, Option<BlockRef>), NodeError> {
        let (position, head) = self
            .attempt_by(
                Work::Live,
                |node| async move { node.tagged(Tag::Latest).await },
            )
            .await?;
        if let Some(head) = head {
            self.heard(position, head);
        }
        if position != self.active_position() {
            self.activate(position, "the active one did not tell its head");
        }
        Ok((position, head))
    }

    /// A provider told its head.
    pub(in crate::source::chain) fn heard(&self, position: usize, head: BlockRef) {
        if let Some(provider) = self.list.get(position) {
            provider.health.lock().head = Some(head);
        }
    }

    /// Asks every provider for its head at the same time, or tries it again when that is due, and finds out who is
    /// behind the others. Who rests or waits for its trial is left alone.
    pub(in crate::source::chain) async fn poll_all(&self) {
        let now = Instant::now();
        let asked = self.list.iter().filter_map(|provider| {
            let health = provider.health.lock();
            let asked = health.is_usable(now) || health.is_due(now);
            asked.then_some((provider, health.is_open()))
        });
        let asked: Vec<_> = asked.collect();
        let told = join_all(asked.into_iter().map(|(provider, trial)| async move {
            let told = self.ask(provider, trial, |node| async move {
                node.tagged(Tag::Latest).await
            });
            // What went wrong is noted with the provider.
            Some((provider, told.await.ok()??))
        }))
        .await;
        let told: Vec<_> = told.into_iter().flatten().collect();
        let told = self.shown(told).await;
        let best = told
            .iter()
            .filter(|(_, _, shown)| *shown)
            .map(|(_, head, _)| head.number)
            .max()
            .unwrap_or(0);
        for (provider, head, shown) in told {
            let behind = best.saturating_sub(head.number);
            let lagging = behind > self.lag_blocks || !shown;
            let mut health = provider.health.lock();
            health.head = Some(head);
            if !shown && !health.is_lagging() {
                tracing::warn!(
                    chain_id = self.chain_id,
                    provider = provider.name,
                    head = head.number,
                    "the provider tells a head far above the others' and does not have that block; it is not followed"
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
            telemetry::lag(self.chain_id, provider, behind);
        }
        self.review();
    }

    /// Whether each has the block that it calls its head, asked of those that would make others lag: a number alone
    /// must not turn a chain from the providers that do well.
    async fn shown<'a>(
        &self,
        told: Vec<(&'a Provider, BlockRef)>,
    ) -> Vec<(&'a Provider, BlockRef, bool)> {
        let least = told.iter().map(|(_, head)| head.number).min().unwrap_or(0);
        join_all(told.into_iter().map(|(provider, head)| async move {
            let mut shown = true;
            if head.number - least > self.lag_blocks {
                let there = self.ask(
                    provider,
                    false,
                    |node| async move { node.at(head.number).await },
                );
                // A failure is noted with the provider, and says nothing of its head; another block does.
                match there.await {
                    Ok(there) => shown = there.is_some(),
                    Err(NodeError::BadAnswer { .. }) => shown = false,
                    Err(_) => {}
                }
            }
            (provider, head, shown)
        }))
        .await
    }

    /// Lets another provider be the active one when that is due.
    pub(in crate::source::chain) fn review(&self) {
        let now = Instant::now();
        let well = |position: usize| {
            let health = self.list[position].health.lock();
            health.is_usable(now) && !health.is_lagging()
        };
        for (position, provider) in self.list.iter().enumerate() {
            telemetry::up(self.chain_id, provider, well(position));
        }
        let active = self.active_position();
        let able = self.able(Work::Live);
        let Some(best) = able.into_iter().find(|position| well(*position)) else {
            return;
        };
        let is_back = || {
            let health = self.list[best].health.lock();
            health.is_well_for(self.prefer_back, now)
        };
        if best != active && !well(active) {
            self.activate(best, "the active one failed, rests or lags");
        } else if best < active && is_back() {
            self.activate(best, "it is preferred and does well again");
        }
    }

    fn activate(&self, position: usize, reason: &'static str) {
        let before = self.active.send_replace(position);
        if before == position {
            return;
        }
        telemetry::failed_over(self.chain_id);
        tracing::info!(
            chain_id = self.chain_id,
            from = self.list[before].name,
            to = self.list[position].name,
            reason,
            "another provider's head is followed"
        );
    }
}
