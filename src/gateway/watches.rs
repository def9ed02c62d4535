//! Channels of single transactions and addresses: their updates are stored only while somebody listens, so the store
//! is told before a subscription is answered, and again and again while there are subscribers.

use std::time::Duration;

use super::{ErrorCode, Refusal, hub::Hub};
use crate::model::Channel;

/// How often the watches of channels with subscribers are renewed, at most.
const RENEWED_EVERY: Duration = Duration::from_secs(60);
/// Watches renewed at once.
const RENEWED_AT_ONCE: usize = 1_000;

impl Hub {
    /// Has updates stored of those among `channels` that need it, before they are subscribed to: what is committed from
    /// here on is theirs. Each one's refusal, where that cannot be.
    pub(super) async fn begin_watching(&self, channels: &[Channel]) -> Vec<Option<Refusal>> {
        let watched: Vec<Channel> = channels
            .iter()
            .filter(|channel| channel.is_watched())
            .cloned()
            .collect();
        let mut refusals = match self.renew(&watched).await {
            Ok(began) => began
                .into_iter()
                .map(|began| began.is_none().then(|| self.full()))
                .collect(),
            Err(refusal) => vec![Some(refusal); watched.len()],
        }
        .into_iter();
        channels
            .iter()
            .map(|channel| {
                channel
                    .is_watched()
                    .then(|| refusals.next().flatten())
                    .flatten()
            })
            .collect()
    }

    async fn renew(&self, watched: &[Channel]) -> Result<Vec<Option<u64>>, Refusal> {
        if watched.is_empty() {
            return Ok(Vec::new());
        }
        let config = self.config();
        let (seconds, most) = (config.watch_retention_secs, config.watches);
        let began = self.past().watch(watched, seconds, most).await;
        let began = began.map_err(|error| {
            tracing::error!(%error, channels = watched.len(), "channels cannot be watched");
            Refusal::new(
                ErrorCode::Internal,
                "the channel cannot be watched now; try again",
            )
        })?;
        let mut channels = self.channels().lock();
        for (channel, began) in watched.iter().zip(&began) {
            if let (Some(slot), Some(since)) = (channels.find(channel), *began) {
                channels.slots[slot].began(since);
            }
        }
        Ok(began)
    }

    fn full(&self) -> Refusal {
        Refusal::new(
            ErrorCode::TooManySubscriptions,
            format!(
                "{} transactions and addresses are watched already, which is all that this server takes; try again later",
                self.config().watches
            ),
        )
    }

    /// Renews the watches of channels with subscribers, for as long as it is polled.
    pub async fn run_watches(&self) {
        // Several times in the retention: one that fails does not end a watch.
        let retention = Duration::from_secs(self.config().watch_retention_secs);
        let mut ticks = tokio::time::interval(RENEWED_EVERY.min(retention / 4));
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let watched = self.channels().lock().watched();
            for some in watched.chunks(RENEWED_AT_ONCE) {
                // What failed was logged, and the next turn comes in time.
                self.renew(some).await.ok();
            }
        }
    }
}
