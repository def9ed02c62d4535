//! History for one subscription that is more than fits at once: page by page as the client takes it, until memory
//! joins on, then the session is attached in the same step as the last of it is queued.

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    CloseReason,
    channel::{Entry, Pace},
    past::PastError,
    session::{Attachment, Session},
};
use crate::model::Channel;

/// Updates read from the store at once.
const PAGE: u32 = 500;
/// How often and how long apart the store is asked again before the client is sent away to come back.
const TRIES: u32 = 5;
const TRY_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// One subscription that is catching up.
pub struct Replay {
    pub session: Arc<Session>,
    pub channel: Channel,
    pub slot: usize,
    /// The subscription is still this replay's while it carries this ticket.
    pub ticket: u64,
    pub pace: Pace,
    /// Seq of the last update that was queued.
    pub since: u64,
}

enum Step {
    /// The session is attached, or the subscription is no longer this replay's.
    Done,
    /// There is more to queue when there is room.
    More,
    /// The store has to be read up to here.
    Read { through: u64 },
    /// It falls further behind than may be replayed.
    Behind,
}

impl Replay {
    /// Runs until the session is attached, the subscription is gone, the session has ended, or shutdown begins.
    pub async fn run(self) {
        let stop = self.session.hub().tasks().token();
        tokio::select! {
            () = stop.cancelled() => {}
            () = self.catch_up() => {}
        }
    }

    async fn catch_up(mut self) {
        let config = self.session.hub().config();
        let patience = Duration::from_millis(config.ping_interval_ms + config.ping_timeout_ms);
        let mut page = VecDeque::new();
        loop {
            if !self.room(patience).await {
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
                        tracing::error!(%error, session = self.session.id(), channel = %self.channel, "a replay was given up");
                        let retry_after_ms = self.session.hub().retry_after_ms();
                        return self.session.end(CloseReason::GoingAway { retry_after_ms });
                    }
                },
            }
        }
    }

    /// Waits until a quarter of the outbox's bound is free for replay; `false` when the session ended, also by
    /// taking nothing for `patience`.
    async fn room(&self, patience: Duration) -> bool {
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
                outbox.awaited = true;
            }
            if tokio::time::timeout(patience, drained).await.is_err() {
                self.session.end(CloseReason::Slow);
                return false;
            }
        }
    }

    /// Queues what fits, first from `page`, then from memory; attaches when that was all.
    fn step(&mut self, page: &mut VecDeque<Entry>) -> Step {
        let session = &self.session;
        let mut channels = session.hub().channels().lock();
        let mut subscriptions = session.subscriptions.lock();
        let mine = Attachment::Replaying(self.ticket);
        let subscription = subscriptions.iter_mut().find(|s| s.state == mine);
        let (Some(subscription), Some(state)) = (subscription, channels.slots.get_mut(self.slot))
        else {
            return Step::Done;
        };
        let mut outbox = session.outbox.lock();
        while let Some(entry) = page.pop_front() {
            session.push_missed(&mut outbox, state, self.pace, &entry);
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
            session.push_missed(&mut outbox, state, self.pace, entry);
            queued = entry.seq.unwrap_or(queued);
        }
        self.since = queued;
        if queued < position {
            return Step::More;
        }
        let seat = state.attach(session.clone(), self.pace, queued, Instant::now());
        subscription.state = Attachment::Live(seat);
        Step::Done
    }

    /// The next page, which must join on: rule number one of a replay is that it has no hole.
    async fn read(&self, through: u64) -> Result<VecDeque<Entry>, PastError> {
        let hub = self.session.hub();
        let mut tries = 0;
        loop {
            tries += 1;
            let page = {
                // Never closed. Given back before the wait for another try.
                let _turn = hub.replay_reads().acquire().await;
                let past = hub.past();
                past.between(&self.channel, self.since, through, PAGE).await
            };
            match page {
                Ok(updates) if updates.first().is_some_and(|u| u.seq == self.since + 1) => {
                    return Ok(updates.into_iter().map(Entry::from).collect());
                }
                Ok(_) => return Err(PastError("it was pruned while it was replayed".to_owned())),
                Err(error) if tries == TRIES || self.session.ended().is_some() => {
                    return Err(error);
                }
                Err(_) => tokio::time::sleep(TRY_AGAIN_AFTER).await,
            }
        }
    }
}
