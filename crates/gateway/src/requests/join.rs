//! Joins a session to channels without a gap or a duplicate: with the channels locked, the answer is queued, followed by
//! the snapshot or the missed updates, and the session is attached. No update can come in between.

use std::{sync::Arc, time::Instant};

use chaincast_bus::Unacknowledged;
use chaincast_protocol::{
    Channel, ErrorCode, Refusal,
    control::{Ack, ChannelResult, ChannelResults, Subscribed},
    request::{Answer, Names, Subscribe},
    truncated_name,
};

use super::{
    history::Stream,
    replay::{Replay, Replays},
};
use crate::{
    admission::WatchPermit,
    channel_log::Span,
    config::LimitsConfig,
    hub::{ChannelState, Channels, Hub},
    lock_order::Held,
    observe::{GatewayMetrics, ResumeSource},
    session::{Attachment, Pace, Reply, Session, Subscription},
};

/// A channel of the request that the client may subscribe to.
pub(super) struct RequestedChannel {
    pub channel: Channel,
    pub pace: Pace,
    pub since: Option<u64>,
    /// The client's quota permit, when the channel is watched.
    pub permit: Option<Box<WatchPermit>>,
    /// The range in the store, if it was read.
    pub span: Option<Span>,
    /// The snapshot of [`SnapshotRule::Unacknowledged`](chaincast_protocol::channel::SnapshotRule::Unacknowledged).
    pub unacknowledged: Option<Unacknowledged>,
}

/// A request to join channels.
pub(super) struct Join<'a> {
    pub session: &'a Arc<Session>,
    pub request: &'a Subscribe,
    /// The client's positions are of the log's epoch.
    pub is_same_epoch: bool,
    pub limits: &'a LimitsConfig,
    pub metrics: &'a GatewayMetrics,
    pub replays: &'a Replays,
}

/// What remains to be done when the channels are unlocked.
pub(super) struct Joined {
    /// Why channels were refused.
    pub refused: Vec<ErrorCode>,
    /// The answer and the snapshots fitted into the outbox; otherwise the session must end.
    pub fits: bool,
    pub replays: Vec<Replay>,
}

/// A checked channel that the session is about to join.
struct PendingJoin {
    requested: RequestedChannel,
    slot: usize,
    position: u64,
    /// The client's position, if every later update is still available.
    resume: Option<u64>,
}

impl Join<'_> {
    /// Queues the answer and joins the channels; `None` if the session has ended.
    pub(super) fn run(
        &self,
        hub: &Hub,
        all: Vec<(String, Result<RequestedChannel, Refusal>)>,
        reply: Reply,
    ) -> Option<Joined> {
        let session = self.session;
        let mut guard = hub.channels();
        let (channels, held) = guard.split();
        if session.ended().is_some() {
            return None;
        }
        let mut subscriptions = session.subscriptions(held);
        let (mut results, mut joining, mut refused) = (Vec::new(), Vec::new(), Vec::new());
        for (name, planned) in self.plan_all(channels, &subscriptions, all) {
            match planned {
                Ok(one) => {
                    results.push(Ok(Subscribed {
                        channel: one.requested.channel.to_string(),
                        success: true,
                        seq: one.position,
                        recovered: one.resume.is_some(),
                    }));
                    joining.push(one);
                }
                Err(refusal) => {
                    refused.push(refusal.code);
                    results.push(Err((truncated_name(&name), refusal)));
                }
            }
        }
        let packets = reply(&answer(&self.request.names, results));
        let mut fits = {
            let mut outbox = session.batch(held);
            let fits = packets.into_iter().all(|packet| outbox.push(packet));
            for one in &joining {
                // So that a stream that breaks before this channel's first message resumes from here.
                if let Some(since) = one.resume {
                    outbox.set_position(&channels.slots[one.slot].name, since);
                }
            }
            fits
        };
        if subscriptions.is_empty() {
            // Many sessions keep exactly one subscription.
            subscriptions.reserve_exact(joining.len());
        }
        let mut replays = Vec::new();
        for one in joining {
            if let Some(at) = subscriptions
                .iter()
                .position(|known| known.channel == one.requested.channel)
            {
                let mut old = subscriptions.swap_remove(at);
                channels.leave(session, old.slot, old.state);
                old.release_watch();
            } else {
                self.metrics.subscribed(&one.requested.channel);
            }
            let (subscription, replay) = self.join_one(channels, held, one);
            subscriptions.push(subscription);
            replays.extend(replay);
        }
        fits &= session.batch(held).bytes() <= self.limits.backlog_bytes;
        Some(Joined {
            refused,
            fits,
            replays,
        })
    }

    /// Plans each join, up to the session's limit.
    fn plan_all(
        &self,
        channels: &mut Channels,
        subscriptions: &[Subscription],
        all: Vec<(String, Result<RequestedChannel, Refusal>)>,
    ) -> Vec<(String, Result<PendingJoin, Refusal>)> {
        let most = self.limits.subscriptions;
        let mut room = most.saturating_sub(subscriptions.len());
        let mut plan = |requested: RequestedChannel| {
            let mut known = subscriptions.iter();
            if !known.any(|known| known.channel == requested.channel) {
                room = room.checked_sub(1).ok_or_else(|| too_many(most))?;
            }
            self.plan(channels, requested)
        };
        all.into_iter()
            .map(|(name, requested)| (name, requested.and_then(&mut plan)))
            .collect()
    }

    /// The channel's position, and whether every update after the client's position is available.
    fn plan(
        &self,
        channels: &mut Channels,
        requested: RequestedChannel,
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
            self.is_same_epoch && self.is_resumable(state, since, position, requested.span)
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
        available && position - since <= self.replays.most()
    }

    /// Queues what precedes the live updates and attaches the session, or leaves both to a replay.
    fn join_one(
        &self,
        channels: &mut Channels,
        held: Held<'_>,
        one: PendingJoin,
    ) -> (Subscription, Option<Replay>) {
        let PendingJoin {
            requested,
            slot,
            position,
            resume,
        } = one;
        let RequestedChannel {
            channel,
            pace,
            since,
            permit,
            unacknowledged,
            ..
        } = requested;
        let state = &mut channels.slots[slot];
        state.subscription_count += 1;
        if since.is_some() {
            self.metrics.resumed(match resume {
                None => ResumeSource::Refused,
                Some(since) if state.covers(since) => ResumeSource::Memory,
                Some(_) => ResumeSource::Store,
            });
        }
        let mut outbox = self.session.batch(held);
        let mut stream = Stream {
            outbox: &mut outbox,
            state,
            wire: self.session.wire(),
            pace,
        };
        let unacknowledged = unacknowledged.filter(|_| resume.is_none());
        if let Some(unacknowledged) = &unacknowledged {
            stream.queue_unacknowledged(unacknowledged);
        }
        let mut replay = None;
        match resume.or(unacknowledged.map(|unacknowledged| unacknowledged.through)) {
            None => {
                let has_snapshot = self.request.snapshot && stream.queue_snapshot(position);
                if !has_snapshot && channel.has_position() {
                    stream.outbox.set_position(&state.name, position);
                }
            }
            Some(since) if state.fits(since, stream.outbox.replay_room()) => {
                for entry in state.after(since) {
                    stream.queue_missed(entry);
                }
            }
            Some(since) => {
                replay = Some(Replay {
                    session: self.session.clone(),
                    channel: channel.clone(),
                    slot,
                    id: self.replays.next_id(),
                    pace,
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
                let now = Instant::now();
                Attachment::Live(state.attach(self.session.clone(), pace, after, now))
            }
        };
        let subscription = Subscription {
            channel,
            slot,
            pace,
            state: attachment,
            permit,
        };
        (subscription, replay)
    }
}

pub(super) fn too_many(most: usize) -> Refusal {
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
