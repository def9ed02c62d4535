//! Watches of transactions and addresses. Their updates are stored only while watched, so a watch begins before the
//! subscription is answered, and is renewed while there are subscribers.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use chaincast_protocol::{Channel, ErrorCode, Refusal};

use crate::{
    admission::{QuotaExceeded, WatchOwner, WatchPermit, WatchQuota},
    channel_log::ChannelLog,
    config::GatewayConfig,
    hub::Hub,
    observe::{GatewayMetrics, WatchLimit},
    session::Session,
};

/// Longest interval between renewals of the watches of channels with subscribers.
const RENEW_INTERVAL: Duration = Duration::from_secs(60);
/// Watches renewed in one query.
const RENEW_BATCH: usize = 1_000;
/// A released watch ends after this many renewal intervals; a new subscription in that time keeps it.
const RELEASE_AFTER_RENEWALS: u32 = 3;

/// The quota permit of a channel, if it needs one, or why the channel is not watched.
type PermitResult = Result<Option<Box<WatchPermit>>, Refusal>;

/// See the module's description. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Watches {
    hub: Hub,
    log: Arc<dyn ChannelLog>,
    /// Watched transactions and addresses, counted per client.
    quota: WatchQuota,
    metrics: Arc<GatewayMetrics>,
    retention_secs: u64,
    /// Most watches of all gateways together.
    most: u64,
}

impl Watches {
    pub(crate) fn new(
        hub: Hub,
        log: Arc<dyn ChannelLog>,
        metrics: Arc<GatewayMetrics>,
        config: &GatewayConfig,
    ) -> Self {
        Self {
            hub,
            log,
            quota: WatchQuota::new(config),
            metrics,
            retention_secs: config.watch_retention_secs,
            most: config.watches,
        }
    }

    #[cfg(test)]
    pub fn quota(&self) -> &WatchQuota {
        &self.quota
    }

    /// Begins a watch for each of `channels` that needs one, before it is subscribed to: updates committed from here on
    /// are stored. The watches count towards the client's quota.
    pub(crate) async fn begin(&self, session: &Session, channels: &[Channel]) -> Vec<PermitResult> {
        let watched = channels.iter().filter(|channel| channel.is_watched());
        let watched: Vec<Channel> = watched.cloned().collect();
        let mut all = self.acquire_permits(session, &watched);
        let permitted = watched.into_iter().zip(&all);
        let permitted: Vec<Channel> = permitted
            .filter(|(_, permit)| permit.is_ok())
            .map(|(channel, _)| channel)
            .collect();
        let started = self.renew(&permitted).await;
        for (at, one) in all.iter_mut().filter(|one| one.is_ok()).enumerate() {
            let refusal = match &started {
                Ok(started) if started.get(at).is_some_and(Option::is_some) => continue,
                Ok(_) => self.deployment_full(),
                // The watch may have begun, so it counts.
                Err(refusal) => refusal.clone(),
            };
            if let (Ok(Some(permit)), Ok(_)) = (std::mem::replace(one, Err(refusal)), &started) {
                permit.cancel();
            }
        }
        let mut all = all.into_iter();
        channels
            .iter()
            .map(|channel| match channel.is_watched() {
                true => all.next().unwrap_or(Ok(None)),
                false => Ok(None),
            })
            .collect()
    }

    fn acquire_permits(&self, session: &Session, watched: &[Channel]) -> Vec<PermitResult> {
        let Some(owner) = WatchOwner::new(session.identity().as_deref(), session.peer()) else {
            return watched.iter().map(|_| Ok(None)).collect();
        };
        let permits = self.quota.acquire(&owner, watched, Instant::now());
        permits
            .into_iter()
            .map(|permit| {
                let refused = |exceeded| self.quota_exceeded(&owner, exceeded);
                permit.map(Some).map_err(refused)
            })
            .collect()
    }

    fn quota_exceeded(&self, owner: &WatchOwner, exceeded: QuotaExceeded) -> Refusal {
        let (limit, whose) = match owner {
            WatchOwner::Address(_) => (WatchLimit::Address, "address"),
            WatchOwner::Subject(_) => (WatchLimit::Subject, "subject"),
        };
        self.metrics.watch_refused(limit);
        let message = format!(
            "{} transactions and addresses are watched for this {whose}, which is the limit; unsubscribe from some: each \
             counts for up to {} s after that",
            exceeded.limit, self.retention_secs
        );
        let in_ms = |free_in: Duration| u64::try_from(free_in.as_millis()).unwrap_or(u64::MAX);
        Refusal {
            retry_after_ms: exceeded.free_in.map(in_ms),
            ..Refusal::new(ErrorCode::TooManySubscriptions, message)
        }
    }

    async fn renew(&self, watched: &[Channel]) -> Result<Vec<Option<u64>>, Refusal> {
        if watched.is_empty() {
            return Ok(Vec::new());
        }
        let (seconds, most) = (self.retention_secs, self.most);
        let started = self.log.watch(watched, seconds, most).await;
        let started = started.map_err(|error| {
            tracing::error!(%error, channels = watched.len(), "cannot watch channels");
            Refusal::new(
                ErrorCode::Internal,
                "the channel cannot be watched now; try again",
            )
        })?;
        let mut channels = self.hub.channels();
        for (channel, started) in watched.iter().zip(&started) {
            if let (Some(slot), Some(since)) = (channels.find(channel), *started) {
                channels.slots[slot].watch_began(since);
            }
        }
        Ok(started)
    }

    fn deployment_full(&self) -> Refusal {
        self.metrics.watch_refused(WatchLimit::Deployment);
        Refusal::new(
            ErrorCode::TooManySubscriptions,
            format!(
                "{} transactions and addresses are watched already, which is the limit of this server; try again later",
                self.most
            ),
        )
    }

    /// Shortens the watches of channels that every client of this gateway unsubscribed from to `remaining`, unless another
    /// client may miss updates.
    pub(crate) async fn release(&self, remaining: Duration) {
        for channels in self.quota.take_abandoned().chunks(RENEW_BATCH) {
            match self.log.release_watches(channels, remaining).await {
                Ok(released) => {
                    let released = channels
                        .iter()
                        .zip(released)
                        .filter(|(_, released)| *released);
                    let released: Vec<Channel> =
                        released.map(|(channel, _)| channel.clone()).collect();
                    self.quota.shorten(&released, Instant::now() + remaining);
                }
                // They end at their regular time.
                Err(error) => tracing::debug!(%error, "cannot release watches early"),
            }
        }
    }

    /// Runs forever: renews the watches of channels with subscribers.
    pub(crate) async fn run(&self) {
        // Several times per retention: a single failure does not end a watch.
        let retention = Duration::from_secs(self.retention_secs);
        let interval = RENEW_INTERVAL.min(retention / 4);
        let mut ticks = tokio::time::interval(interval);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let watched = self.hub.channels().watched();
            for batch in watched.chunks(RENEW_BATCH) {
                // A failure was logged; the next renewal comes before the watch ends.
                self.renew(batch).await.ok();
            }
            self.release(interval * RELEASE_AFTER_RENEWALS).await;
            self.quota.expire(Instant::now());
        }
    }
}
