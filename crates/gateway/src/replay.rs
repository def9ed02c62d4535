//! Replays history to one subscription when it exceeds the outbox: page by page as the client reads it, from the store
//! until memory covers the rest. The session is attached in the same step that queues the last update.

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    channel::{Entry, Pace},
    channel_log::ChannelLogError,
    session::{Attachment, Session},
};
use chaincast_protocol::Channel;
use chaincast_protocol::CloseReason;

/// Updates per read of the store.
const PAGE: u32 = 500;
/// Attempts to read the store, and the delay between them, before the session is closed with a retry delay.
const ATTEMPTS: u32 = 5;
const RETRY_DELAY: Duration = Duration::from_secs(1);

/// One subscription that is catching up.
pub struct Replay {
    pub session: Arc<Session>,
    pub channel: Channel,
    pub slot: usize,
    /// The subscription belongs to this replay while its state holds this id.
    pub id: u64,
    pub pace: Pace,
    /// Seq of the last update that was queued.
    pub since: u64,
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

impl Replay {
    /// Runs until the session is attached, the subscription or the session has ended, or shutdown begins.
    pub async fn run(self) {
        let stop = self.session.hub().tasks().token();
        tokio::select! {
            () = stop.cancelled() => {}
            () = self.catch_up() => {}
        }
    }

    async fn catch_up(mut self) {
        let config = self.session.hub().config();
        let silence_limit = Duration::from_millis(config.ping_interval_ms + config.ping_timeout_ms);
        let mut page = VecDeque::new();
        loop {
            if !self.wait_for_room(silence_limit).await {
                return;
            }
            let step = self.step(&mut page);
            self.session.flush();
            match step {
                Step::Done => return,
                Step::More => {}
                Step::Behind => return self.session.end(CloseReason::Slow),
                Step::Read { through } => match self.read(through).await {
                    Ok(read) => page = read,
                    Err(error) => {
                        tracing::error!(%error, session = self.session.id(), channel = %self.channel, "replay failed");
                        let retry_after_ms = self.session.hub().retry_after_ms();
                        return self.session.end(CloseReason::GoingAway { retry_after_ms });
                    }
                },
            }
        }
    }

    /// Waits until a quarter of the outbox's bound is free for replay; `false` when the session ended. Ends it as slow
    /// when the client reads nothing for `silence_limit`.
    async fn wait_for_room(&self, silence_limit: Duration) -> bool {
        loop {
            let drained = self.session.drained.notified();
            tokio::pin!(drained);
            drained.as_mut().enable();
            if self.session.ended().is_some() {
                return false;
            }
            {
                let mut outbox = self.session.outbox.lock();
                if outbox.replay_room() >= outbox.bound() / 4 && outbox.bound() > 0 {
                    return true;
                }
                outbox.replay_waiting = true;
            }
            if tokio::time::timeout(silence_limit, drained).await.is_err() {
                self.session.end(CloseReason::Slow);
                return false;
            }
        }
    }

    /// Queues what fits, first from `page`, then from memory; attaches the session after the last update.
    fn step(&mut self, page: &mut VecDeque<Entry>) -> Step {
        let session = &self.session;
        let mut channels = session.hub().channels().lock();
        let mut subscriptions = session.subscriptions.lock();
        let own_state = Attachment::Replaying(self.id);
        let subscription = subscriptions.iter_mut().find(|s| s.state == own_state);
        let (Some(subscription), Some(state)) = (subscription, channels.slots.get_mut(self.slot))
        else {
            return Step::Done;
        };
        let mut outbox = session.outbox.lock();
        while let Some(entry) = page.pop_front() {
            session.push_replayed(&mut outbox, state, self.pace, &entry);
            self.since = entry.seq.unwrap_or(self.since);
            if outbox.replay_room() == 0 {
                return Step::More;
            }
        }
        let position = state.position.unwrap_or(self.since);
        let most = session.hub().config().replay_updates;
        if position.saturating_sub(self.since) > most.saturating_mul(2) {
            return Step::Behind;
        }
        if !state.covers(self.since) {
            return Step::Read { through: position };
        }
        let mut queued = self.since;
        for entry in state.after(self.since) {
            if outbox.replay_room() == 0 {
                break;
            }
            session.push_replayed(&mut outbox, state, self.pace, entry);
            queued = entry.seq.unwrap_or(queued);
        }
        self.since = queued;
        if queued < position {
            return Step::More;
        }
        let subscriber = state.attach(session.clone(), self.pace, queued, Instant::now());
        subscription.state = Attachment::Live(subscriber);
        Step::Done
    }

    /// The next page. It must begin right after the last update queued: a replay has no gaps.
    async fn read(&self, through: u64) -> Result<VecDeque<Entry>, ChannelLogError> {
        let hub = self.session.hub();
        let mut attempts = 0;
        loop {
            attempts += 1;
            let page = {
                // Never closed. Released before the delay of a retry.
                let _permit = hub.replay_reads().acquire().await;
                let log = hub.channel_log();
                log.between(&self.channel, self.since, through, PAGE).await
            };
            match page {
                Ok(updates) if updates.first().is_some_and(|u| u.seq == self.since + 1) => {
                    return Ok(updates.into_iter().map(Entry::from).collect());
                }
                Ok(_) => {
                    return Err(ChannelLogError(
                        "updates were pruned during the replay".to_owned(),
                    ));
                }
                Err(error) if attempts == ATTEMPTS || self.session.ended().is_some() => {
                    return Err(error);
                }
                Err(_) => tokio::time::sleep(RETRY_DELAY).await,
            }
        }
    }
}
