//! Replays history to one subscription when it exceeds the outbox: page by page as the client reads it, from the store
//! until memory covers the rest. The session is attached in the same step that queues the last update.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use chaincast_base::shutdown::Tasks;
use chaincast_protocol::{Channel, CloseReason};
use tokio::sync::Semaphore;

use super::history::Stream;
use crate::{
    channel_log::{ChannelLog, ChannelLogError},
    config::GatewayConfig,
    entry::Entry,
    hub::{ChannelState, Hub, WithheldUpdate},
    lock_order::Held,
    session::{Attachment, Pace, ReplayRoom, Session},
};

/// Updates per read of the store.
const PAGE: u32 = 500;
/// Attempts to read the store, and the delay between them, before the session is closed with a retry delay.
const ATTEMPTS: u32 = 5;
const RETRY_DELAY: Duration = Duration::from_secs(1);
/// Concurrent reads of the store by replays: fewer than its connections, which other readers need.
const READS: usize = 4;

/// One subscription that is catching up.
pub(crate) struct Replay {
    pub session: Arc<Session>,
    pub channel: Channel,
    pub slot: usize,
    /// The subscription belongs to this replay while its state holds this id.
    pub id: u64,
    pub pace: Pace,
    /// Seq of the last update that was queued.
    pub since: u64,
}

/// Runs replays. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Replays(Arc<Inner>);

struct Inner {
    hub: Hub,
    log: Arc<dyn ChannelLog>,
    tasks: Tasks,
    /// A replay holds one permit while it reads the store.
    reads: Semaphore,
    ids: AtomicU64,
    /// How long a client may read nothing.
    patience: Duration,
    /// Most updates that a replay begins with. Twice as far behind, it ends.
    most: u64,
}

enum Step {
    /// The session is attached, or the subscription no longer belongs to this replay.
    Done,
    /// There is more to queue once the outbox has room.
    More,
    /// The store must be read up to `through`.
    Read { through: u64 },
    /// The client is further behind than can be replayed.
    Behind,
}

impl Replays {
    pub(crate) fn new(
        hub: Hub,
        log: Arc<dyn ChannelLog>,
        tasks: Tasks,
        config: &GatewayConfig,
    ) -> Self {
        Self(Arc::new(Inner {
            hub,
            log,
            tasks,
            reads: Semaphore::new(READS),
            ids: AtomicU64::new(0),
            patience: Duration::from_millis(config.ping_interval_ms + config.ping_timeout_ms),
            most: config.replay_updates,
        }))
    }

    /// An id that no earlier replay has.
    pub(crate) fn next_id(&self) -> u64 {
        self.0.ids.fetch_add(1, Ordering::Relaxed)
    }

    /// Most updates that a replay may begin with.
    pub(crate) fn most(&self) -> u64 {
        self.0.most
    }

    /// Runs a replay until its session is attached, the subscription or the session has ended, or shutdown begins.
    pub(crate) fn spawn(&self, replay: Replay) {
        let (replays, stop) = (self.clone(), self.0.tasks.token());
        self.0.tasks.spawn(async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = replays.catch_up(replay) => {}
            }
        });
    }

    async fn catch_up(&self, mut replay: Replay) {
        let session = replay.session.clone();
        let mut page = VecDeque::new();
        loop {
            // A quarter of the outbox's bound is free.
            match session.replay_room(self.0.patience).await {
                ReplayRoom::Free => {}
                ReplayRoom::Ended => return,
                ReplayRoom::Unread => return session.end(CloseReason::Slow),
            }
            let step = self.step(&mut replay, &mut page);
            session.flush();
            match step {
                Step::Done => return,
                Step::More => {}
                Step::Behind => return session.end(CloseReason::Slow),
                Step::Read { through } => match self.read(&replay, through).await {
                    Ok(read) => page = read,
                    Err(error) => {
                        tracing::error!(%error, session = session.id(), channel = %replay.channel, "replay failed");
                        return session.end(self.0.hub.going_away());
                    }
                },
            }
        }
    }

    /// Queues what fits, first from `page`, then from memory; attaches the session after the last update.
    fn step(&self, replay: &mut Replay, page: &mut VecDeque<Entry>) -> Step {
        let session = replay.session.clone();
        let mut guard = self.0.hub.channels();
        let (channels, held) = guard.split();
        let Some(state) = channels.slots.get_mut(replay.slot) else {
            return Step::Done;
        };
        let mut withheld = match state.has_withheld() {
            true => state.take_withheld(&session),
            false => Vec::new(),
        };
        let step = self.queue(replay, page, state, &mut withheld, held);
        withheld
            .into_iter()
            .for_each(|update| state.withhold(update));
        step
    }

    /// As [`Self::step`], with the channels locked. `withheld` are the updates that the session gets answers for instead.
    fn queue(
        &self,
        replay: &mut Replay,
        page: &mut VecDeque<Entry>,
        state: &mut ChannelState,
        withheld: &mut Vec<WithheldUpdate>,
        held: Held<'_>,
    ) -> Step {
        let Replay { session, pace, .. } = &*replay;
        let (session, pace) = (session.clone(), *pace);
        let mut subscriptions = session.subscriptions(held);
        let own_state = Attachment::Replaying(replay.id);
        let subscription = subscriptions.iter_mut().find(|s| s.state == own_state);
        let Some(subscription) = subscription else {
            return Step::Done;
        };
        let mut outbox = session.batch(held);
        let mut stream = Stream {
            outbox: &mut outbox,
            state,
            wire: session.wire(),
            pace,
        };
        stream.answer_withheld(withheld, replay.since);
        while let Some(entry) = page.pop_front() {
            stream.queue_missed_or_answer(&entry, withheld);
            replay.since = entry.seq.unwrap_or(replay.since);
            if stream.outbox.replay_room() == 0 {
                return Step::More;
            }
        }
        let position = state.position.unwrap_or(replay.since);
        if position.saturating_sub(replay.since) > self.0.most.saturating_mul(2) {
            return Step::Behind;
        }
        if !state.covers(replay.since) {
            return Step::Read { through: position };
        }
        let mut queued = replay.since;
        for entry in state.after(replay.since) {
            if stream.outbox.replay_room() == 0 {
                break;
            }
            stream.queue_missed_or_answer(entry, withheld);
            queued = entry.seq.unwrap_or(queued);
        }
        replay.since = queued;
        if queued < position {
            return Step::More;
        }
        let subscriber = state.attach(session.clone(), pace, queued, Instant::now());
        subscription.state = Attachment::Live(subscriber);
        Step::Done
    }

    /// The next page. It must begin right after the last update queued: a replay has no gaps.
    async fn read(
        &self,
        replay: &Replay,
        through: u64,
    ) -> Result<VecDeque<Entry>, ChannelLogError> {
        let mut attempts = 0;
        loop {
            attempts += 1;
            let page = {
                // Never closed. Released before the delay of a retry.
                let _permit = self.0.reads.acquire().await;
                let log = &self.0.log;
                log.between(&replay.channel, replay.since, through, PAGE)
                    .await
            };
            match page {
                Ok(updates) if updates.first().is_some_and(|u| u.seq == replay.since + 1) => {
                    return Ok(updates.into_iter().map(Entry::from).collect());
                }
                Ok(_) => {
                    return Err(ChannelLogError(
                        "updates were pruned during the replay".to_owned(),
                    ));
                }
                Err(error) if attempts == ATTEMPTS || replay.session.ended().is_some() => {
                    return Err(error);
                }
                Err(_) => tokio::time::sleep(RETRY_DELAY).await,
            }
        }
    }
}
