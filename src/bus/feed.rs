//! A hub's gap-free view of the committed updates.

use std::time::Duration;

use rustc_hash::FxHashMap;
use tokio::{
    sync::broadcast::{self, error::RecvError},
    time::{Instant, MissedTickBehavior},
};

use super::{
    BusConfig, BusError, Commit,
    hints::Hints,
    parcel::{Hint, Rejection},
    telemetry,
};
use crate::{
    model::{Channel, Update},
    store::Store,
};

/// Most updates read from the store before they are handed over; the rest is read after that.
const FILL_PAGE: u32 = 1_000;
/// Most channels compared with the store in one poll.
const POLL_CHANNELS: u32 = 10_000;
/// Beyond so many positions, those of watched channels are forgotten.
const MOST_POSITIONS: usize = 250_000;
/// A poll looks back this much further than its interval, for commits that were slow to become visible.
const POLL_OVERLAP_MS: i64 = 30_000;

/// Hands over commits so that each channel's seqs rise by one, from where the store stood when it was opened.
pub struct Feed {
    store: Store,
    incoming: broadcast::Receiver<Commit>,
    hints: Hints,
    /// Seq of the last update handed over, by channel.
    last: FxHashMap<Channel, u64>,
    /// Read, and not handed over yet.
    ready: Vec<Update>,
    /// When the first of `ready` was committed.
    ready_at: Option<std::time::Instant>,
    /// Whether the store is known to have more than was read.
    behind: bool,
    /// Whether the last read of the store failed: it is read again at once when nothing else is there.
    failed: bool,
    poll: tokio::time::Interval,
    look_back_ms: i64,
    polled_at: Instant,
}

impl Feed {
    pub(super) async fn open(
        config: &BusConfig,
        store: Store,
        incoming: broadcast::Receiver<Commit>,
        hints: broadcast::Receiver<Hint>,
    ) -> Result<Self, BusError> {
        // The receiver exists already: what commits between it and this read is seen twice, and dropped once.
        let last = store
            .channel_heads(None, u32::MAX)
            .await?
            .into_iter()
            .collect();
        let mut poll = tokio::time::interval(Duration::from_millis(config.poll_interval_ms));
        poll.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let look_back_ms = config.poll_interval_ms as i64 + POLL_OVERLAP_MS;
        Ok(Self {
            store,
            incoming,
            hints: Hints::new(hints),
            last,
            ready: Vec::new(),
            ready_at: None,
            behind: false,
            failed: false,
            poll,
            look_back_ms,
            polled_at: Instant::now(),
        })
    }

    /// Seq of the newest update of a channel that was handed over or stored before; 0 for a new channel.
    pub fn position(&self, channel: &Channel) -> u64 {
        self.last.get(channel).copied().unwrap_or(0)
    }

    /// The next updates, never empty. Fails only when the store does; the call can then be repeated and nothing is
    /// lost: what was read before the failure is handed over first, and what was not is found in the store again.
    pub async fn next(&mut self) -> Result<Commit, BusError> {
        let next = self.receive().await;
        self.failed |= next.is_err();
        next
    }

    /// Whether the store could not be read when it was read last; updates that need no reading arrive nevertheless.
    pub fn has_failed(&self) -> bool {
        self.failed
    }

    async fn receive(&mut self) -> Result<Commit, BusError> {
        loop {
            if !self.ready.is_empty() {
                let at = self.ready_at.take();
                return Ok(Commit::new(std::mem::take(&mut self.ready), at));
            }
            if self.behind && !self.failed {
                self.poll_store().await?;
                continue;
            }
            tokio::select! {
                biased;
                received = self.incoming.recv() => match received {
                    Ok(commit) if self.follows(&commit) => {
                        for update in commit.iter() {
                            self.last.insert(update.channel.clone(), update.seq);
                        }
                        return Ok(commit);
                    }
                    Ok(commit) => self.accept(commit).await?,
                    Err(RecvError::Lagged(commits)) => {
                        metrics::counter!("chaincast_bus_lagged_total").increment(commits);
                        self.reconcile(None).await?;
                    }
                    // Every writer is gone: the store alone can tell of more.
                    Err(RecvError::Closed) => {
                        self.poll.tick().await;
                        self.poll_store().await?;
                    }
                },
                // What was not read then is found in any case, whatever is hinted at.
                () = std::future::ready(()), if self.failed => self.poll_store().await?,
                hint = self.hints.next() => self.follow(hint).await?,
                _ = self.poll.tick() => self.poll_store().await?,
            }
        }
    }

    /// Whether every update of a commit is the next of its channel, as it almost always is.
    fn follows(&self, commit: &Commit) -> bool {
        let mut next = FxHashMap::<&Channel, u64>::default();
        commit.iter().all(|update| {
            let next = next
                .entry(&update.channel)
                .or_insert_with(|| self.position(&update.channel) + 1);
            let follows = update.seq == *next;
            *next += 1;
            follows
        })
    }

    /// Takes a commit with what is missing before its updates filled in, and repeats left out.
    async fn accept(&mut self, commit: Commit) -> Result<(), BusError> {
        for update in commit.iter() {
            let last = self.position(&update.channel);
            if update.seq <= last {
                continue;
            }
            if update.seq > last + 1 {
                // A channel that was never heard of may begin anywhere.
                let heard_of = u64::from(last > 0);
                metrics::counter!("chaincast_bus_gaps_total").increment(heard_of);
                self.fill(&update.channel, update.seq - 1).await?;
            }
            if update.seq == self.position(&update.channel) + 1 {
                self.last.insert(update.channel.clone(), update.seq);
                self.ready.push(update.clone());
                self.is_ready_since(commit.at);
            }
        }
        Ok(())
    }

    /// Reads what another process says is there. Only what the store has is handed over or moves a position, so a hint
    /// that is wrong changes nothing.
    async fn follow(&mut self, hint: Hint) -> Result<(), BusError> {
        let last = &self.last;
        let position = |channel: &Channel| last.get(channel).copied().unwrap_or(0);
        let Some(hint) = self.hints.gather(hint, position) else {
            return Ok(());
        };
        if !self.hints.may_be_followed(Instant::now()) {
            telemetry::rejected(Rejection::TooMany);
            return Ok(());
        }
        match hint {
            Hint::Anywhere => {
                self.poll_store().await?;
                // Nothing new is no fault then, but it is bounded all the same.
                if self.ready.is_empty() {
                    self.hints.was_unfounded();
                }
            }
            Hint::Channels(channels) => {
                self.read(&channels).await?;
                if self.ready.is_empty() {
                    self.hints.was_unfounded();
                    telemetry::rejected(Rejection::Unfounded);
                }
            }
        }
        Ok(())
    }

    /// Takes what the store has of these channels beyond what was handed over, in one statement.
    async fn read(&mut self, channels: &[(Channel, u64)]) -> Result<(), BusError> {
        let since = channels
            .iter()
            .map(|(channel, _)| (channel.clone(), self.position(channel)));
        let since: Vec<(Channel, u64)> = since.collect();
        let page = self.store.updates_after(&since, FILL_PAGE).await?;
        self.behind |= page.len() as u64 >= u64::from(FILL_PAGE);
        for (update, age) in page {
            self.last.insert(update.channel.clone(), update.seq);
            self.ready.push(update);
            self.is_ready_since(std::time::Instant::now().checked_sub(age));
        }
        Ok(())
    }

    async fn poll_store(&mut self) -> Result<(), BusError> {
        let asked_at = Instant::now();
        let since = self.polled_at.elapsed().as_millis() as i64 + self.look_back_ms;
        self.reconcile(Some(since)).await?;
        self.failed = false;
        if !self.behind {
            self.polled_at = asked_at;
        }
        Ok(())
    }

    /// Compares with the store and takes what it has beyond what was handed over.
    async fn reconcile(&mut self, within_ms: Option<i64>) -> Result<(), BusError> {
        let limit = if within_ms.is_some() {
            POLL_CHANNELS
        } else {
            u32::MAX
        };
        self.forget_watched();
        let heads = self.store.channel_heads(within_ms, limit).await?;
        self.behind = false;
        for (channel, seq) in heads {
            if seq > self.position(&channel) {
                self.fill(&channel, seq).await?;
            }
        }
        Ok(())
    }

    /// Takes stored updates after the last one handed over, up to `through`, as far as there is room: then the store
    /// is known to have more.
    async fn fill(&mut self, channel: &Channel, through: u64) -> Result<(), BusError> {
        let room = FILL_PAGE.saturating_sub(self.ready.len() as u32);
        let last = self.position(channel);
        if room == 0 {
            self.behind = true;
            return Ok(());
        }
        let page = self
            .store
            .updates_with_age(channel, last, through, room)
            .await?;
        let Some((newest, _)) = page.last() else {
            // Retention was faster than this hub: the history is gone, and subscribers see the hole in seq. A watch
            // that ended and began again took its history with it, which nobody had subscribed to.
            if !channel.is_watched() {
                tracing::warn!(%channel, last, through, "updates were pruned before they were seen");
            }
            self.last.insert(channel.clone(), through);
            return Ok(());
        };
        self.behind |= newest.seq < through;
        self.last.insert(channel.clone(), newest.seq);
        // The longest ago of a channel's updates is the first.
        let age = page.first().map(|(_, age)| *age);
        self.is_ready_since(age.and_then(|age| std::time::Instant::now().checked_sub(age)));
        self.ready
            .extend(page.into_iter().map(|(update, _)| update));
        Ok(())
    }

    /// Watched channels come and go. One that is forgotten and moves again is read from its oldest stored update on,
    /// and a hub passes over what it had.
    fn forget_watched(&mut self) {
        if self.last.len() > MOST_POSITIONS {
            self.last.retain(|channel, _| !channel.is_watched());
        }
    }

    fn is_ready_since(&mut self, at: Option<std::time::Instant>) {
        self.ready_at = [self.ready_at, at].into_iter().flatten().min();
    }
}

impl std::fmt::Debug for Feed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Feed")
            .field("channels", &self.last.len())
            .finish_non_exhaustive()
    }
}
