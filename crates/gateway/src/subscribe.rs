//! `subscribe`: checks the request and joins the session to each channel without a gap or a duplicate.
//!
//! All reads of the store come first. Then, with the channels locked, the answer is queued, followed by the snapshot or
//! the missed updates, and the session is attached: no update can come in between.

use std::{sync::Arc, time::Instant};

use super::{
    channel::{ChannelState, Entry, Pace, Snapshot},
    channel_log::{ChannelLogError, Span},
    channels::Channels,
    metrics::ResumeSource,
    outbox::Outbox,
    replay::Replay,
    resolve::{Positions, check_access, duplicate_channel, pace},
    session::{Attachment, Reply, Session, Subscription},
    watch_quota::WatchPermit,
};
use chaincast_bus::Unacknowledged;
use chaincast_protocol::{
    Channel, CloseReason, ErrorCode, Refusal,
    channel::SnapshotRule,
    control::{Ack, ChannelResult, ChannelResults, Subscribed},
    request::{Answer, Names, Subscribe},
    truncated_name,
};

/// A channel of the request that the client may subscribe to.
struct RequestedChannel {
    channel: Channel,
    pace: Pace,
    since: Option<u64>,
    /// The client's quota permit, when the channel is watched.
    permit: Option<Box<WatchPermit>>,
    /// The range in the store, if it was read.
    span: Option<Span>,
    /// The snapshot of [`SnapshotRule::Unacknowledged`].
    unacknowledged: Option<Unacknowledged>,
}

/// A checked channel that the session is about to join.
struct PendingJoin {
    requested: RequestedChannel,
    slot: usize,
    position: u64,
    /// The client's position, if every later update is still available.
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
            let requested = self.check_channel(name, &request, &positions, &all);
            all.push((name.clone(), requested));
        }
        let all = self.prepare(all, request.snapshot).await;
        let same_epoch = request
            .epoch
            .as_deref()
            .is_none_or(|epoch| epoch == self.hub.epoch());
        self.attach(&request, all, same_epoch, reply);
    }

    /// Checks one name against the deployment, the client's rights and the options.
    fn check_channel(
        &self,
        name: &str,
        request: &Subscribe,
        positions: &Positions,
        before: &[(String, Result<RequestedChannel, Refusal>)],
    ) -> Result<RequestedChannel, Refusal> {
        let channel = self.hub.resolve(name)?;
        check_access(self.identity().as_deref(), &channel)?;
        let named = |other: &Result<RequestedChannel, Refusal>| {
            other.as_ref().is_ok_and(|other| other.channel == channel)
        };
        if before.iter().any(|(_, other)| named(other)) {
            return Err(duplicate_channel(&channel));
        }
        let pace = pace(&channel, request.mode, request.interval)?;
        let since = positions.get(&channel);
        Ok(RequestedChannel {
            channel,
            pace,
            since,
            permit: None,
            span: None,
            unacknowledged: None,
        })
    }

    /// Watches the channels that need it, and reads from the store what joining each channel needs.
    async fn prepare(
        &self,
        all: Vec<(String, Result<RequestedChannel, Refusal>)>,
        snapshot: bool,
    ) -> Vec<(String, Result<RequestedChannel, Refusal>)> {
        let all = self.enforce_limit(all);
        let allowed = all
            .iter()
            .filter_map(|(_, requested)| requested.as_ref().ok());
        let channels: Vec<Channel> = allowed.map(|requested| requested.channel.clone()).collect();
        let mut permits = self.begin_watching(&channels).await.into_iter();
        let mut prepared = Vec::with_capacity(all.len());
        for (name, requested) in all {
            let requested = match requested {
                Ok(mut requested) => match permits.next().unwrap_or(Ok(None)) {
                    Ok(permit) => {
                        requested.permit = permit;
                        self.read_store(requested, snapshot).await
                    }
                    Err(refusal) => Err(refusal),
                },
                Err(refusal) => Err(refusal),
            };
            prepared.push((name, requested));
        }
        prepared
    }

    /// Refuses channels beyond the session's limit, before a watch begins for them.
    fn enforce_limit(
        &self,
        all: Vec<(String, Result<RequestedChannel, Refusal>)>,
    ) -> Vec<(String, Result<RequestedChannel, Refusal>)> {
        let subscriptions = self.subscriptions.lock();
        let most = self.hub.config().limits.subscriptions;
        let mut room = most.saturating_sub(subscriptions.len());
        let mut check = |requested: RequestedChannel| {
            let mut known = subscriptions.iter();
            if !known.any(|known| known.channel == requested.channel) {
                room = room.checked_sub(1).ok_or_else(|| too_many(most))?;
            }
            Ok(requested)
        };
        all.into_iter()
            .map(|(name, requested)| (name, requested.and_then(&mut check)))
            .collect()
    }

    /// Reads from the store what joining the channel needs.
    async fn read_store(
        &self,
        mut requested: RequestedChannel,
        snapshot: bool,
    ) -> Result<RequestedChannel, Refusal> {
        let channel = requested.channel.clone();
        let failed = |error: ChannelLogError| {
            tracing::error!(%error, session = self.id(), %channel, "subscription failed");
            Refusal::new(
                ErrorCode::Internal,
                "the update log cannot be read now; try again",
            )
        };
        self.hub.warm(&requested.channel).await.map_err(&failed)?;
        if let Some(since) = requested.since
            && !self.hub.has_in_memory(&requested.channel, since)
        {
            let span = self.hub.channel_log().span(&requested.channel).await;
            requested.span = Some(span.map_err(&failed)?);
        }
        let reads_deliveries = channel.kind().snapshot == SnapshotRule::Unacknowledged;
        if let (Some(subject), true) = (channel.subject(), snapshot && reads_deliveries) {
            let most = self.hub.config().alert_snapshot;
            let unacknowledged = self.hub.channel_log().unacknowledged(subject, most).await;
            requested.unacknowledged = Some(unacknowledged.map_err(&failed)?);
        }
        Ok(requested)
    }

    /// Queues the answer and joins the channels, with all channels locked.
    fn attach(
        self: &Arc<Self>,
        request: &Subscribe,
        all: Vec<(String, Result<RequestedChannel, Refusal>)>,
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
        for (name, requested) in all {
            let new = requested.as_ref().is_ok_and(|requested| {
                !subscriptions
                    .iter()
                    .any(|known| known.channel == requested.channel)
            });
            let one = match requested {
                Ok(_) if new && room == 0 => Err(too_many(limits.subscriptions)),
                Ok(requested) => {
                    room -= usize::from(new);
                    self.plan_join(channels, requested, same_epoch)
                }
                Err(refusal) => Err(refusal),
            };
            match one {
                Ok(one) => {
                    joined.push(Ok(Subscribed {
                        channel: one.requested.channel.to_string(),
                        success: true,
                        seq: one.position,
                        recovered: one.resume.is_some(),
                    }));
                    joining.push(one);
                }
                Err(refusal) => {
                    refused.push(refusal.code);
                    joined.push(Err((truncated_name(&name), refusal)));
                }
            }
        }
        let packets = reply(&answer(&request.names, joined));
        let mut outbox = self.outbox.lock();
        let mut fits = packets.into_iter().all(|packet| outbox.push(packet));
        drop(outbox);
        for one in &joining {
            // So that a stream that breaks before this channel's first message resumes from here.
            if let Some(since) = one.resume {
                let name = &channels.slots[one.slot].name;
                self.outbox.lock().set_position(name, since);
            }
        }
        if subscriptions.is_empty() {
            // Many sessions keep exactly one subscription.
            subscriptions.reserve_exact(joining.len());
        }
        for one in joining {
            if let Some(at) = subscriptions
                .iter()
                .position(|known| known.channel == one.requested.channel)
            {
                let mut old = subscriptions.swap_remove(at);
                channels.leave(self, old.slot, old.state);
                if let Some(permit) = &mut old.permit {
                    permit.unsubscribe();
                }
            } else {
                self.hub.metrics().subscribed(&one.requested.channel);
            }
            let (subscription, replay) = self.join_one(channels, one, request.snapshot);
            subscriptions.push(subscription);
            replays.extend(replay);
        }
        fits &= self.outbox.lock().bytes() <= limits.backlog_bytes;
        drop(subscriptions);
        drop(guard);
        for code in refused {
            self.record_refusal(code);
        }
        if !fits {
            return self.end(CloseReason::Slow);
        }
        self.flush();
        for replay in replays {
            self.hub.tasks().spawn(replay.run());
        }
    }

    /// The channel's position, and whether every update after the client's position is available.
    fn plan_join(
        &self,
        channels: &mut Channels,
        requested: RequestedChannel,
        same_epoch: bool,
    ) -> Result<PendingJoin, Refusal> {
        let slot = channels.slot(&requested.channel, Instant::now());
        let state = &channels.slots[slot];
        let Some(position) = state.warm() else {
            return Err(Refusal::new(
                ErrorCode::Internal,
                "the channel was evicted from memory meanwhile; try again",
            ));
        };
        let resume = requested.since.filter(|&since| {
            same_epoch && self.is_resumable(state, since, position, requested.span)
        });
        let through = requested
            .unacknowledged
            .as_ref()
            .map(|unacknowledged| unacknowledged.through);
        Ok(PendingJoin {
            requested,
            slot,
            position: match (resume, through) {
                // A client can be ahead of this hub: it read the store, or was connected to a faster gateway.
                (Some(since), _) => since.max(position),
                // The store can be ahead, too, or behind by the updates since it was read.
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
        let available = state.covers(since) || span.is_none_or(|span| span.oldest <= since + 1);
        available && position - since <= self.hub.config().replay_updates
    }

    /// Queues what precedes the live updates and attaches the session, or leaves both to a replay.
    fn join_one(
        self: &Arc<Self>,
        channels: &mut Channels,
        one: PendingJoin,
        snapshot: bool,
    ) -> (Subscription, Option<Replay>) {
        let PendingJoin {
            requested,
            slot,
            position,
            resume,
        } = one;
        let state = &mut channels.slots[slot];
        state.subscription_count += 1;
        if requested.since.is_some() {
            self.hub.metrics().resumed(match resume {
                None => ResumeSource::Refused,
                Some(since) if state.covers(since) => ResumeSource::Memory,
                Some(_) => ResumeSource::Store,
            });
        }
        let mut outbox = self.outbox.lock();
        let mut replay = None;
        let unacknowledged = requested
            .unacknowledged
            .as_ref()
            .filter(|_| resume.is_none());
        if let Some(unacknowledged) = unacknowledged {
            self.queue_unacknowledged(&mut outbox, state, requested.pace, unacknowledged);
        }
        match resume.or(unacknowledged.map(|unacknowledged| unacknowledged.through)) {
            None => {
                let snapshot = snapshot.then_some(&state.snapshot);
                if let Some(Snapshot::Newest(entry)) = snapshot {
                    // The state as of the channel's position, even when the newest update made no snapshot: the next
                    // message has the next seq.
                    let mut entry = entry.clone();
                    entry.seq = entry.seq.map(|_| position);
                    // The stream begins here: there is no previous message.
                    let prev = (requested.pace != Pace::All).then_some(0);
                    let packet = entry.encode(self.wire(), &state.name, prev, true);
                    outbox.append_update(&packet, &state.name, Some(position));
                } else if requested.channel.has_position() {
                    outbox.set_position(&state.name, position);
                }
            }
            Some(since) if state.fits(since, outbox.replay_room()) => {
                for entry in state.after(since) {
                    self.push_replayed(&mut outbox, state, requested.pace, entry);
                }
            }
            Some(since) => {
                replay = Some(Replay {
                    session: self.clone(),
                    channel: requested.channel.clone(),
                    slot,
                    id: self.hub.next_replay_id(),
                    pace: requested.pace,
                    since,
                });
            }
        }
        drop(outbox);
        let attachment = match &replay {
            Some(replay) => Attachment::Replaying(replay.id),
            None => {
                // Everything that the hub has is covered, even when the snapshot is older.
                let after = position.max(state.position.unwrap_or(0));
                let subscriber = state.attach(self.clone(), requested.pace, after, Instant::now());
                Attachment::Live(subscriber)
            }
        };
        let subscription = Subscription {
            channel: requested.channel,
            slot,
            pace: requested.pace,
            state: attachment,
            permit: requested.permit,
        };
        (subscription, replay)
    }

    /// Queues the newest unacknowledged updates of a user for which there is room; the REST API has the rest.
    fn queue_unacknowledged(
        &self,
        outbox: &mut Outbox,
        state: &ChannelState,
        pace: Pace,
        unacknowledged: &Unacknowledged,
    ) {
        outbox.set_position(&state.name, unacknowledged.through);
        let mut room = outbox.replay_room();
        let fitting = unacknowledged.updates.iter().rev().take_while(|update| {
            let size = state.size_of(update.event.as_str(), &update.data);
            let fits = size <= room;
            room = room.saturating_sub(size);
            fits
        });
        let first = unacknowledged.updates.len() - fitting.count();
        // All at one position, which the next update follows. The stream begins here.
        let prev = (pace != Pace::All).then_some(0);
        for update in &unacknowledged.updates[first..] {
            let entry = Entry {
                seq: Some(unacknowledged.through),
                event: update.event.clone(),
                data: update.data.clone(),
            };
            let packet = entry.encode(self.wire(), &state.name, prev, true);
            outbox.append_update(&packet, &state.name, entry.seq);
        }
    }

    /// Queues one update that the client missed.
    pub(super) fn push_replayed(
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
        format!("a session may have at most {most} subscriptions; unsubscribe from others first"),
    )
}

/// The answer for channels that were joined, or refused under their names.
fn answer(names: &Names, mut joined: Vec<Result<Subscribed, (String, Refusal)>>) -> Answer {
    match (names, joined.pop()) {
        (Names::One(_), Some(Ok(subscribed))) => Answer::Ack(Ack::Subscribed(subscribed)),
        (Names::One(_), Some(Err((_, refusal)))) => Answer::Refused(refusal),
        (_, last) => {
            joined.extend(last);
            let results = joined.into_iter().map(|one| match one {
                Ok(subscribed) => ChannelResult::subscribed(subscribed),
                Err((name, refusal)) => ChannelResult::failed(name, refusal),
            });
            Answer::Ack(Ack::Channels(ChannelResults::new(results.collect())))
        }
    }
}
