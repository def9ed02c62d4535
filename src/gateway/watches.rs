//! Channels of single transactions and addresses: their updates are stored only while somebody listens, so the store
//! is told before a subscription is answered, and again and again while there are subscribers.

use std::time::{Duration, Instant};

use super::{
    ErrorCode, Refusal,
    hub::Hub,
    metrics::WatchLimit,
    session::Session,
    watchers::{Charge, Full, Watcher},
};
use crate::model::Channel;

/// How often the watches of channels with subscribers are renewed, at most.
const RENEWED_EVERY: Duration = Duration::from_secs(60);
/// Watches renewed at once.
const RENEWED_AT_ONCE: usize = 1_000;
/// A watch that is let go early ends after so many renewals: whoever subscribes meanwhile keeps it.
const LET_GO_AFTER: u32 = 3;

/// How a channel counts for a client, if it does, or why it is not watched for it.
type Counted = Result<Option<Box<Charge>>, Refusal>;

impl Session {
    /// Has updates stored of those among `channels` that need it, before they are subscribed to: what is committed from
    /// here on is theirs. They count for this client, as far as it may have so many.
    pub(super) async fn begin_watching(&self, channels: &[Channel]) -> Vec<Counted> {
        let watched = channels.iter().filter(|channel| channel.is_watched());
        let watched: Vec<Channel> = watched.cloned().collect();
        let mut all = self.charge(&watched);
        let counted = watched.into_iter().zip(&all);
        let counted: Vec<Channel> = counted
            .filter(|(_, counted)| counted.is_ok())
            .map(|(channel, _)| channel)
            .collect();
        let began = self.hub.renew(&counted).await;
        for (at, one) in all.iter_mut().filter(|one| one.is_ok()).enumerate() {
            let refusal = match &began {
                Ok(began) if began.get(at).is_some_and(Option::is_some) => continue,
                Ok(_) => self.hub.full(),
                // Whether it began is not known: it goes on to count.
                Err(refusal) => refusal.clone(),
            };
            if let (Ok(Some(charge)), Ok(_)) = (std::mem::replace(one, Err(refusal)), &began) {
                charge.cancel();
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

    fn charge(&self, watched: &[Channel]) -> Vec<Counted> {
        let Some(watcher) = Watcher::of(self.identity().as_deref(), self.peer()) else {
            return watched.iter().map(|_| Ok(None)).collect();
        };
        let charged = self
            .hub
            .watchers()
            .charge(&watcher, watched, Instant::now());
        charged
            .into_iter()
            .map(|charge| {
                let refused = |full| self.hub.has_its_share(&watcher, full);
                charge.map(Some).map_err(refused)
            })
            .collect()
    }
}

impl Hub {
    fn has_its_share(&self, watcher: &Watcher, full: Full) -> Refusal {
        let (limit, whose) = match watcher {
            Watcher::Address(_) => (WatchLimit::Address, "address"),
            Watcher::Subject(_) => (WatchLimit::Subject, "subject"),
        };
        self.metrics().watch_refused(limit);
        let message = format!(
            "{} transactions and addresses are watched for this {whose}, which is as many as one may have; unsubscribe \
             from what is not needed any more: each counts for up to {} s after that",
            full.most,
            self.config().watch_retention_secs
        );
        let in_ms = |free_in: Duration| u64::try_from(free_in.as_millis()).unwrap_or(u64::MAX);
        Refusal {
            retry_after_ms: full.free_in.map(in_ms),
            ..Refusal::new(ErrorCode::TooManySubscriptions, message)
        }
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
        self.metrics().watch_refused(WatchLimit::Deployment);
        Refusal::new(
            ErrorCode::TooManySubscriptions,
            format!(
                "{} transactions and addresses are watched already, which is all that this server takes; try again later",
                self.config().watches
            ),
        )
    }

    /// Lets what every client here left on purpose be watched no longer than for `rest`, where nobody else can miss
    /// anything for it.
    pub(super) async fn let_go(&self, rest: Duration) {
        for some in self.watchers().abandoned().chunks(RENEWED_AT_ONCE) {
            match self.past().let_go(some, rest).await {
                Ok(gone) => {
                    let gone = some.iter().zip(gone).filter(|(_, gone)| *gone);
                    let gone: Vec<Channel> = gone.map(|(channel, _)| channel.clone()).collect();
                    self.watchers().shorten(&gone, Instant::now() + rest);
                }
                // They end in their time.
                Err(error) => tracing::debug!(%error, "watches were not let go early"),
            }
        }
    }

    /// Renews the watches of channels with subscribers, for as long as it is polled.
    pub async fn run_watches(&self) {
        // Several times in the retention: one that fails does not end a watch.
        let retention = Duration::from_secs(self.config().watch_retention_secs);
        let every = RENEWED_EVERY.min(retention / 4);
        let mut ticks = tokio::time::interval(every);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let watched = self.channels().lock().watched();
            for some in watched.chunks(RENEWED_AT_ONCE) {
                // What failed was logged, and the next turn comes in time.
                self.renew(some).await.ok();
            }
            self.let_go(every * LET_GO_AFTER).await;
            self.watchers().expire(Instant::now());
        }
    }
}
