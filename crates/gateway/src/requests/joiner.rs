//! `subscribe`: checks the request, reads from the store what joining needs, and joins the session to each channel.
//!
//! All reads of the store come first; then [`Join`] does the rest with the channels locked.

use std::sync::Arc;

use chaincast_protocol::{
    Channel, CloseReason, ErrorCode, Refusal,
    channel::SnapshotRule,
    request::{Answer, Subscribe},
};

use super::{
    join::{Join, RequestedChannel, too_many},
    options::{Positions, check_access, check_count, duplicate_channel, pace},
    parts::Parts,
    replay::Replays,
    watches::Watches,
};
use crate::{
    channel_log::ChannelLogError,
    session::{Reply, Session},
};

/// A name of the request, and its channel or why the client may not have it.
pub(super) type Named = (String, Result<RequestedChannel, Refusal>);

/// See the module's description.
pub(super) struct Joiner {
    parts: Parts,
    watches: Watches,
    replays: Replays,
}

impl Joiner {
    pub(super) fn new(parts: Parts, watches: Watches, replays: Replays) -> Self {
        Self {
            parts,
            watches,
            replays,
        }
    }

    pub(super) async fn subscribe(&self, session: &Arc<Session>, request: Subscribe, reply: Reply) {
        let all = match self.check(session, &request) {
            Ok(all) => all,
            Err(refusal) => {
                let refused = Answer::Refused(refusal);
                return self.parts.answers.send(session, &refused, reply);
            }
        };
        let all = self.prepare(session, all, &request).await;
        let join = Join {
            session,
            request: &request,
            is_same_epoch: request
                .epoch
                .as_deref()
                .is_none_or(|epoch| epoch == self.parts.log.epoch()),
            limits: &self.parts.config.limits,
            metrics: &self.parts.metrics,
            replays: &self.replays,
        };
        let Some(joined) = join.run(&self.parts.hub, all, reply) else {
            return;
        };
        for code in joined.refused {
            self.parts.answers.record_refusal(session, code);
        }
        if !joined.fits {
            return session.end(CloseReason::Slow);
        }
        session.flush();
        for replay in joined.replays {
            self.replays.spawn(replay);
        }
    }

    /// Checks each name against the deployment, the client's rights and the options.
    fn check(&self, session: &Session, request: &Subscribe) -> Result<Vec<Named>, Refusal> {
        let (names, limits) = (request.names.as_slice(), &self.parts.config.limits);
        check_count(names.len(), limits)?;
        let positions = Positions::resolve(request.since.as_ref(), &self.parts.deployment, limits)?;
        let mut all = Vec::new();
        for name in names {
            let requested = self.check_channel(session, name, request, &positions, &all);
            all.push((name.clone(), requested));
        }
        Ok(all)
    }

    fn check_channel(
        &self,
        session: &Session,
        name: &str,
        request: &Subscribe,
        positions: &Positions,
        before: &[Named],
    ) -> Result<RequestedChannel, Refusal> {
        let channel = self.parts.deployment.resolve(name)?;
        check_access(
            session.identity().as_deref(),
            &channel,
            &self.parts.deployment,
        )?;
        let is_named = |other: &Result<RequestedChannel, Refusal>| {
            other.as_ref().is_ok_and(|other| other.channel == channel)
        };
        if before.iter().any(|(_, other)| is_named(other)) {
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
    async fn prepare(&self, session: &Session, all: Vec<Named>, request: &Subscribe) -> Vec<Named> {
        let all = self.enforce_limit(session, all);
        let allowed = all
            .iter()
            .filter_map(|(_, requested)| requested.as_ref().ok());
        let channels: Vec<Channel> = allowed.map(|requested| requested.channel.clone()).collect();
        let permits = self.watches.begin(session, &channels).await;
        let mut permits = permits.into_iter();
        let mut prepared = Vec::with_capacity(all.len());
        for (name, requested) in all {
            let requested = match requested {
                Ok(mut requested) => match permits.next().unwrap_or(Ok(None)) {
                    Ok(permit) => {
                        requested.permit = permit;
                        self.read_store(session, requested, request).await
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
    fn enforce_limit(&self, session: &Session, all: Vec<Named>) -> Vec<Named> {
        let most = self.parts.config.limits.subscriptions;
        session.with_subscriptions(|subscriptions| {
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
        })
    }

    /// Reads from the store what joining the channel needs.
    async fn read_store(
        &self,
        session: &Session,
        mut requested: RequestedChannel,
        request: &Subscribe,
    ) -> Result<RequestedChannel, Refusal> {
        let channel = requested.channel.clone();
        let failed = |error: ChannelLogError| {
            tracing::error!(%error, session = session.id(), %channel, "subscription failed");
            Refusal::new(
                ErrorCode::Internal,
                "the update log cannot be read now; try again",
            )
        };
        let log = &*self.parts.log;
        self.parts.hub.warm(log, &channel).await.map_err(&failed)?;
        if let Some(since) = requested.since
            && !self.has_in_memory(&channel, since)
        {
            requested.span = Some(log.span(&channel).await.map_err(&failed)?);
        }
        let reads_deliveries =
            request.snapshot && channel.kind().snapshot == SnapshotRule::Unacknowledged;
        if let (Some(subject), true) = (channel.subject(), reads_deliveries) {
            let unacknowledged = log
                .unacknowledged(subject, self.parts.config.alert_snapshot)
                .await;
            requested.unacknowledged = Some(unacknowledged.map_err(&failed)?);
        }
        Ok(requested)
    }

    /// Whether memory holds every update after `since`.
    fn has_in_memory(&self, channel: &Channel, since: u64) -> bool {
        let channels = self.parts.hub.channels();
        channels.find(channel).is_some_and(|slot| {
            let state = &channels.slots[slot];
            state.covers(since) && state.position.is_some_and(|at| since <= at)
        })
    }
}
