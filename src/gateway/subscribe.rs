//! `subscribe`: what may be listened to, from where, and how a session joins a channel without gap or duplicate.
//!
//! All waiting (for the store) comes first. Then, with the channels locked, the answer is queued, after it the
//! snapshot or what was missed, and the session attached: no update can come in between.

use std::{sync::Arc, time::Instant};

use serde::Serialize;
use serde_json::json;

use super::{
    CloseReason, ErrorCode, Refusal,
    channel::{ChannelState, Entry, Pace, Snapshot},
    channels::Channels,
    metrics::Resumed,
    outbox::Outbox,
    past::{PastError, Span},
    protocol::{Answer, Names, Subscribe},
    replay::Replay,
    resolve::{Positions, may, pace, twice},
    session::{Attachment, Reply, Session, Subscription},
    watchers::Charge,
};
use crate::{
    bus::Unacknowledged,
    model::{Channel, shown_name},
};

/// What is asked for of one channel, once it is known to be allowed.
struct Wanted {
    channel: Channel,
    pace: Pace,
    since: Option<u64>,
    /// Where it is watched for this client.
    charge: Option<Box<Charge>>,
    /// What the store holds, if it had to be asked.
    span: Option<Span>,
    /// What is shown of a user's own channel, instead of one snapshot.
    missed: Option<Unacknowledged>,
}

/// One channel's part of the answer.
#[derive(Serialize)]
struct Joined {
    channel: String,
    success: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    seq: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    recovered: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<Refusal>,
}

/// A channel that a session is about to join.
struct Joining {
    wanted: Wanted,
    slot: usize,
    position: u64,
    /// From where everything is still there, when it is.
    resume: Option<u64>,
}

impl Session {
    pub(super) async fn subscribe(self: &Arc<Self>, request: Subscribe, reply: Reply) {
        if let Err(refusal) = self.check_count(&request.names) {
            return self.answer(&Answer::Refused(refusal), reply);
        }
        let positions = match self.hub.positions(request.since.as_ref()) {
            Ok(positions) => positions,
            Err(refusal) => return self.answer(&Answer::Refused(refusal), reply),
        };
        let mut all = Vec::new();
        for name in request.names.as_slice() {
            let wanted = self.wanted(name, &request, &positions, &all);
            all.push((name.clone(), wanted));
        }
        let all = self.prepared(all, request.snapshot).await;
        let same_epoch = request
            .epoch
            .as_deref()
            .is_none_or(|epoch| epoch == self.hub.epoch());
        self.attach(&request, all, same_epoch, reply);
    }

    /// Checks one name against the deployment, the client's rights and the options.
    fn wanted(
        &self,
        name: &str,
        request: &Subscribe,
        positions: &Positions,
        before: &[(String, Result<Wanted, Refusal>)],
    ) -> Result<Wanted, Refusal> {
        let channel = self.hub.resolve(name)?;
        may(self.identity().as_deref(), &channel)?;
        let named = |other: &Result<Wanted, Refusal>| {
            other.as_ref().is_ok_and(|other| other.channel == channel)
        };
        if before.iter().any(|(_, other)| named(other)) {
            return Err(twice(&channel));
        }
        let pace = pace(&channel, request.mode, request.interval)?;
        let since = positions.of(&channel);
        Ok(Wanted {
            channel,
            pace,
            since,
            charge: None,
            span: None,
            missed: None,
        })
    }

    /// Has the channels watched that need it, and reads what may have to be read before each can be joined.
    async fn prepared(
        &self,
        all: Vec<(String, Result<Wanted, Refusal>)>,
        snapshot: bool,
    ) -> Vec<(String, Result<Wanted, Refusal>)> {
        let all = self.with_room(all);
        let allowed = all.iter().filter_map(|(_, wanted)| wanted.as_ref().ok());
        let channels: Vec<Channel> = allowed.map(|wanted| wanted.channel.clone()).collect();
        let mut counted = self.begin_watching(&channels).await.into_iter();
        let mut prepared = Vec::with_capacity(all.len());
        for (name, wanted) in all {
            let wanted = match wanted {
                Ok(mut wanted) => match counted.next().unwrap_or(Ok(None)) {
                    Ok(charge) => {
                        wanted.charge = charge;
                        self.ask_store(wanted, snapshot).await
                    }
                    Err(refusal) => Err(refusal),
                },
                Err(refusal) => Err(refusal),
            };
            prepared.push((name, wanted));
        }
        prepared
    }

    /// Refuses what goes beyond the session's subscriptions: nothing is to be watched for that.
    fn with_room(
        &self,
        all: Vec<(String, Result<Wanted, Refusal>)>,
    ) -> Vec<(String, Result<Wanted, Refusal>)> {
        let subscriptions = self.subscriptions.lock();
        let most = self.hub.config().limits.subscriptions;
        let mut room = most.saturating_sub(subscriptions.len());
        let mut check = |wanted: Wanted| {
            let mut known = subscriptions.iter();
            if !known.any(|known| known.channel == wanted.channel) {
                room = room.checked_sub(1).ok_or_else(|| too_many(most))?;
            }
            Ok(wanted)
        };
        all.into_iter()
            .map(|(name, wanted)| (name, wanted.and_then(&mut check)))
            .collect()
    }

    /// Everything that may have to be read before the channel can be joined.
    async fn ask_store(&self, mut wanted: Wanted, snapshot: bool) -> Result<Wanted, Refusal> {
        let channel = wanted.channel.clone();
        let failed = |error: PastError| {
            tracing::error!(%error, session = self.id(), %channel, "a subscription failed");
            Refusal::new(
                ErrorCode::Internal,
                "the history cannot be read now; try again",
            )
        };
        self.hub.warm(&wanted.channel).await.map_err(&failed)?;
        if let Some(since) = wanted.since
            && !self.hub.joins_on(&wanted.channel, since)
        {
            let span = self.hub.past().span(&wanted.channel).await;
            wanted.span = Some(span.map_err(&failed)?);
        }
        if let (Channel::User(subject), true) = (&channel, snapshot) {
            let most = self.hub.config().alert_snapshot;
            let missed = self.hub.past().unacknowledged(subject, most).await;
            wanted.missed = Some(missed.map_err(&failed)?);
        }
        Ok(wanted)
    }

    /// Answers and joins, with the channels locked throughout.
    fn attach(
        self: &Arc<Self>,
        request: &Subscribe,
        all: Vec<(String, Result<Wanted, Refusal>)>,
        same_epoch: bool,
        reply: Reply,
    ) {
        let limits = &self.hub.config().limits;
        let (mut replays, mut refused) = (Vec::new(), Vec::new());
        let mut guard = self.hub.channels().lock();
        let channels = &mut *guard;
        if self.ended().is_some() {
            return;
        }
        let mut subscriptions = self.subscriptions.lock();
        let before = subscriptions.len();
        let (mut joined, mut joining) = (Vec::new(), Vec::new());
        let mut room = limits.subscriptions.saturating_sub(before);
        for (name, wanted) in all {
            let new = wanted.as_ref().is_ok_and(|wanted| {
                !subscriptions
                    .iter()
                    .any(|known| known.channel == wanted.channel)
            });
            let one = match wanted {
                Ok(_) if new && room == 0 => Err(too_many(limits.subscriptions)),
                Ok(wanted) => {
                    room -= usize::from(new);
                    self.joining(channels, wanted, same_epoch)
                }
                Err(refusal) => Err(refusal),
            };
            match one {
                Ok(one) => {
                    joined.push(Joined {
                        channel: one.wanted.channel.to_string(),
                        success: true,
                        seq: Some(one.position),
                        recovered: Some(one.resume.is_some()),
                        error: None,
                    });
                    joining.push(one);
                }
                Err(refusal) => {
                    refused.push(refusal.code);
                    joined.push(Joined {
                        channel: shown_name(&name),
                        success: false,
                        seq: None,
                        recovered: None,
                        error: Some(refusal),
                    });
                }
            }
        }
        let packets = reply(&answer(&request.names, joined));
        let mut outbox = self.outbox.lock();
        let mut fits = packets.into_iter().all(|packet| outbox.push(packet));
        drop(outbox);
        for one in &joining {
            // A stream that breaks before this channel's first message resumes from here, too.
            if let Some(since) = one.resume {
                let name = &channels.slots[one.slot].name;
                self.outbox.lock().place(name, since);
            }
        }
        if subscriptions.is_empty() {
            // Many sessions have one for good.
            subscriptions.reserve_exact(joining.len());
        }
        for one in joining {
            if let Some(at) = subscriptions
                .iter()
                .position(|known| known.channel == one.wanted.channel)
            {
                let mut old = subscriptions.swap_remove(at);
                channels.leave(self, old.slot, old.state);
                if let Some(charge) = &mut old.charge {
                    charge.leave();
                }
            } else {
                self.hub.metrics().subscribed(&one.wanted.channel);
            }
            let (subscription, replay) = self.join_one(channels, one, request.snapshot);
            subscriptions.push(subscription);
            replays.extend(replay);
        }
        fits &= self.outbox.lock().bytes() <= limits.backlog_bytes;
        drop(subscriptions);
        drop(guard);
        for code in refused {
            self.note_refused(code);
        }
        if !fits {
            return self.end(CloseReason::Slow);
        }
        self.flush();
        for replay in replays {
            self.hub.tasks().spawn(replay.run());
        }
    }

    /// Where the channel stands, and whether everything since the client's position is still there.
    fn joining(
        &self,
        channels: &mut Channels,
        wanted: Wanted,
        same_epoch: bool,
    ) -> Result<Joining, Refusal> {
        let slot = channels.slot(&wanted.channel, Instant::now());
        let state = &channels.slots[slot];
        let Some(position) = state.warm() else {
            return Err(Refusal::new(
                ErrorCode::Internal,
                "the channel was forgotten meanwhile; try again",
            ));
        };
        let resume = wanted
            .since
            .filter(|&since| same_epoch && self.is_resumable(state, since, position, wanted.span));
        let shown = wanted.missed.as_ref().map(|missed| missed.through);
        Ok(Joining {
            wanted,
            slot,
            position: match (resume, shown) {
                // A client can be ahead of this hub: it read the store, or came from a faster one.
                (Some(since), _) => since.max(position),
                // So can the store itself, or be behind it by what came since it was read.
                (None, Some(through)) => through,
                (None, None) => position,
            },
            resume,
        })
    }

    fn is_resumable(
        &self,
        state: &ChannelState,
        since: u64,
        position: u64,
        span: Option<Span>,
    ) -> bool {
        if since > position {
            return span.is_some_and(|span| since <= span.newest);
        }
        let there = state.covers(since) || span.is_none_or(|span| span.oldest <= since + 1);
        there && position - since <= self.hub.config().replay_updates
    }

    /// Queues what comes before the live updates, and attaches; or leaves both to a replay.
    fn join_one(
        self: &Arc<Self>,
        channels: &mut Channels,
        one: Joining,
        snapshot: bool,
    ) -> (Subscription, Option<Replay>) {
        let Joining {
            wanted,
            slot,
            position,
            resume,
        } = one;
        let state = &mut channels.slots[slot];
        state.watchers += 1;
        if wanted.since.is_some() {
            self.hub.metrics().resumed(match resume {
                None => Resumed::Refused,
                Some(since) if state.covers(since) => Resumed::Memory,
                Some(_) => Resumed::Store,
            });
        }
        let mut outbox = self.outbox.lock();
        let mut replay = None;
        let missed = wanted.missed.as_ref().filter(|_| resume.is_none());
        if let Some(missed) = missed {
            self.show_missed(&mut outbox, state, wanted.pace, missed);
        }
        match resume.or(missed.map(|missed| missed.through)) {
            None => {
                let shown = snapshot.then_some(&state.snapshot);
                if let Some(Snapshot::Newest(entry)) = shown {
                    // The state as of the channel's position: what follows is the next seq, also when the newest update
                    // was none that makes a snapshot.
                    let mut entry = entry.clone();
                    entry.seq = entry.seq.map(|_| position);
                    // The stream begins here: nothing was before it.
                    let prev = (wanted.pace != Pace::All).then_some(0);
                    let packet = entry.encode(self.wire(), &state.name, prev, true);
                    outbox.append_update(&packet, &state.name, Some(position));
                } else if wanted.channel != Channel::Heartbeat {
                    outbox.place(&state.name, position);
                }
            }
            Some(since) if state.fits(since, outbox.replay_room()) => {
                for entry in state.after(since) {
                    self.push_missed(&mut outbox, state, wanted.pace, entry);
                }
            }
            Some(since) => {
                replay = Some(Replay {
                    session: self.clone(),
                    channel: wanted.channel.clone(),
                    slot,
                    ticket: self.hub.ticket(),
                    pace: wanted.pace,
                    since,
                });
            }
        }
        drop(outbox);
        let attachment = match &replay {
            Some(replay) => Attachment::Replaying(replay.ticket),
            None => {
                // All that the hub has was queued, also when what was shown is from before it.
                let after = position.max(state.position.unwrap_or(0));
                let seat = state.attach(self.clone(), wanted.pace, after, Instant::now());
                Attachment::Live(seat)
            }
        };
        let subscription = Subscription {
            channel: wanted.channel,
            slot,
            pace: wanted.pace,
            state: attachment,
            charge: wanted.charge,
        };
        (subscription, replay)
    }

    /// Queues what a user has not acknowledged, as far as there is room: the API has the rest.
    fn show_missed(
        &self,
        outbox: &mut Outbox,
        state: &ChannelState,
        pace: Pace,
        missed: &Unacknowledged,
    ) {
        outbox.place(&state.name, missed.through);
        let mut room = outbox.replay_room();
        let fitting = missed.updates.iter().rev().take_while(|update| {
            let size = state.size_of(&update.event, &update.data);
            let fits = size <= room;
            room = room.saturating_sub(size);
            fits
        });
        let first = missed.updates.len() - fitting.count();
        // As of one position: the next update is the one behind it. The stream begins here.
        let prev = (pace != Pace::All).then_some(0);
        for update in &missed.updates[first..] {
            let entry = Entry {
                seq: Some(missed.through),
                event: update.event.clone(),
                data: update.data.clone(),
            };
            let packet = entry.encode(self.wire(), &state.name, prev, true);
            outbox.append_update(&packet, &state.name, entry.seq);
        }
    }

    /// Queues one update that the client missed.
    pub(super) fn push_missed(
        &self,
        outbox: &mut Outbox,
        state: &ChannelState,
        pace: Pace,
        entry: &Entry,
    ) {
        let prev = match pace {
            Pace::All => None,
            Pace::Latest | Pace::Every(_) => entry.seq.map(|seq| seq.saturating_sub(1)),
        };
        let packet = entry.encode(self.wire(), &state.name, prev, false);
        outbox.append_update(&packet, &state.name, entry.seq);
    }
}

fn too_many(most: usize) -> Refusal {
    Refusal::new(
        ErrorCode::TooManySubscriptions,
        format!("a session may have {most} subscriptions"),
    )
}

fn answer(names: &Names, mut joined: Vec<Joined>) -> Answer {
    if let (Names::One(_), [one]) = (names, joined.as_mut_slice()) {
        return match one.error.take() {
            Some(refusal) => Answer::Refused(refusal),
            None => Answer::ack(one),
        };
    }
    let success = joined.iter().all(|one| one.success);
    Answer::ack(&json!({"success": success, "channels": joined}))
}
