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
    remote::{Hint, Rejection},
    telemetry,
};
use chaincast_protocol::{Channel, Update};
use chaincast_store::Store;

/// Most updates read from the store before they are delivered; the rest is read afterwards.
const FILL_PAGE: u32 = 1_000;
/// Most channels compared with the store in one poll.
const POLL_CHANNELS: u32 = 10_000;
/// Above this number of positions, those of watched channels and rooms are dropped.
const MAX_POSITIONS: usize = 250_000;
/// A poll covers its interval and this much more, for commits that become visible late.
const POLL_OVERLAP_MS: i64 = 30_000;

/// Delivers commits; the seqs of each channel rise by one, from its position in the store when the stream was opened.
pub struct CommitStream {
    store: Store,
    incoming: broadcast::Receiver<Commit>,
    hints: Hints,
    /// Seq of the last delivered update, by channel.
    last: FxHashMap<Channel, u64>,
    /// Read, and not delivered yet.
    ready: Vec<Update>,
    /// Commit time of the oldest update in `ready`.
    ready_at: Option<std::time::Instant>,
    /// Whether the store is known to have more than was read so far.
    behind: bool,
    /// Whether the last read of the store failed: it is retried as soon as no commit is pending.
    failed: bool,
    poll: tokio::time::Interval,
    look_back_ms: i64,
    polled_at: Instant,
}

impl CommitStream {
    pub(super) async fn open(
        config: &BusConfig,
        store: Store,
        incoming: broadcast::Receiver<Commit>,
        hints: broadcast::Receiver<Hint>,
    ) -> Result<Self, BusError> {
        // The receiver exists already: a commit between its creation and this read arrives twice, and one copy is dropped.
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

    /// Seq of the newest update of a channel that was delivered, or stored before the stream was opened; 0 for a new
    /// channel.
    pub fn position(&self, channel: &Channel) -> u64 {
        self.last.get(channel).copied().unwrap_or(0)
    }

    /// The next updates, never empty. Fails only if the store fails. The call can then be repeated without loss: updates
    /// that were read before the failure are delivered first, the others are read again.
    pub async fn next(&mut self) -> Result<Commit, BusError> {
        let next = self.receive().await;
        self.failed |= next.is_err();
        next
    }

    /// Whether the last read of the store failed. Updates that need no read are still delivered.
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
                    Ok(commit) if self.is_next(&commit) => {
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
                    // All writers of this process have ended: only the store has more.
                    Err(RecvError::Closed) => {
                        self.poll.tick().await;
                        self.poll_store().await?;
                    }
                },
                // A failed read is repeated before any hint.
                () = std::future::ready(()), if self.failed => self.poll_store().await?,
                hint = self.hints.next() => self.follow_hint(hint).await?,
                _ = self.poll.tick() => self.poll_store().await?,
            }
        }
    }

    /// Whether every update of a commit is the next one of its channel: almost always true.
    fn is_next(&self, commit: &Commit) -> bool {
        let mut next = FxHashMap::<&Channel, u64>::default();
        commit.iter().all(|update| {
            let next = next
                .entry(&update.channel)
                .or_insert_with(|| self.position(&update.channel) + 1);
            let is_next = update.seq == *next;
            *next += 1;
            is_next
        })
    }

    /// Accepts a commit: fills gaps before its updates from the store, and drops duplicates.
    async fn accept(&mut self, commit: Commit) -> Result<(), BusError> {
        for update in commit.iter() {
            let last = self.position(&update.channel);
            if update.seq <= last {
                continue;
            }
            if update.seq > last + 1 {
                // An unknown channel may begin at any seq: that is no gap.
                let is_gap = u64::from(last > 0);
                metrics::counter!("chaincast_bus_gaps_total").increment(is_gap);
                self.fill(&update.channel, update.seq - 1).await?;
            }
            if update.seq == self.position(&update.channel) + 1 {
                self.last.insert(update.channel.clone(), update.seq);
                self.ready.push(update.clone());
                self.note_commit_time(commit.at);
            }
        }
        Ok(())
    }

    /// Reads the updates that a hint announces. Only stored updates are delivered or move a position, so a wrong hint has
    /// no effect.
    async fn follow_hint(&mut self, hint: Hint) -> Result<(), BusError> {
        let last = &self.last;
        let position = |channel: &Channel| last.get(channel).copied().unwrap_or(0);
        let Some(hint) = self.hints.merge_pending(hint, position) else {
            return Ok(());
        };
        if !self.hints.is_allowed(Instant::now()) {
            telemetry::rejected(Rejection::TooMany);
            return Ok(());
        }
        match hint {
            Hint::Anywhere => {
                self.poll_store().await?;
                // Finding nothing is no fault here, but these reads are bounded too.
                if self.ready.is_empty() {
                    self.hints.count_unfounded();
                }
            }
            Hint::Channels(channels) => {
                self.read(&channels).await?;
                if self.ready.is_empty() {
                    self.hints.count_unfounded();
                    telemetry::rejected(Rejection::Unfounded);
                }
            }
        }
        Ok(())
    }

    /// Reads the undelivered updates of these channels, in one statement.
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
            self.note_commit_time(std::time::Instant::now().checked_sub(age));
        }
        Ok(())
    }

    async fn poll_store(&mut self) -> Result<(), BusError> {
        let started = Instant::now();
        let since = self.polled_at.elapsed().as_millis() as i64 + self.look_back_ms;
        self.reconcile(Some(since)).await?;
        self.failed = false;
        if !self.behind {
            self.polled_at = started;
        }
        Ok(())
    }

    /// Compares all positions with the store and reads what is undelivered.
    async fn reconcile(&mut self, within_ms: Option<i64>) -> Result<(), BusError> {
        let limit = if within_ms.is_some() {
            POLL_CHANNELS
        } else {
            u32::MAX
        };
        self.drop_numerous_positions();
        let heads = self.store.channel_heads(within_ms, limit).await?;
        self.behind = false;
        for (channel, seq) in heads {
            if seq > self.position(&channel) {
                self.fill(&channel, seq).await?;
            }
        }
        Ok(())
    }

    /// Reads stored updates after the last delivered one, up to `through`. Stops when the page is full and sets `behind`.
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
            // Retention pruned the updates before this hub read them; subscribers see the gap in seq. A watch that ended
            // and began again lost its history too, but had no subscriber. The position of a room may have been dropped.
            let is_position_unknown = channel.is_numerous() && last == 0;
            if !channel.is_watched() && !is_position_unknown {
                tracing::warn!(%channel, last, through, "updates were pruned before they were delivered");
            }
            self.last.insert(channel.clone(), through);
            return Ok(());
        };
        self.behind |= newest.seq < through;
        self.last.insert(channel.clone(), newest.seq);
        // The first update of a channel is the oldest.
        let age = page.first().map(|(_, age)| *age);
        self.note_commit_time(age.and_then(|age| std::time::Instant::now().checked_sub(age)));
        self.ready
            .extend(page.into_iter().map(|(update, _)| update));
        Ok(())
    }

    /// Bounds the positions: watched channels and rooms are many, and most are quiet. A dropped channel that advances again
    /// is read from its oldest stored update, and the hub skips what it already has.
    fn drop_numerous_positions(&mut self) {
        if self.last.len() > MAX_POSITIONS {
            self.last.retain(|channel, _| !channel.is_numerous());
        }
    }

    fn note_commit_time(&mut self, at: Option<std::time::Instant>) {
        self.ready_at = [self.ready_at, at].into_iter().flatten().min();
    }
}

impl std::fmt::Debug for CommitStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Feed")
            .field("channels", &self.last.len())
            .finish_non_exhaustive()
    }
}
