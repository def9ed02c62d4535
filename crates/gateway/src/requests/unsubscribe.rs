//! `unsubscribe`: ends subscriptions of a session.

use chaincast_protocol::{
    control::{Ack, ChannelResult, ChannelResults, Unsubscribed},
    request::{Answer, Names},
    truncated_name,
};

use crate::{
    deployment::Deployment,
    hub::Hub,
    observe::GatewayMetrics,
    session::{Session, Subscription},
};

pub(super) fn unsubscribe(
    deployment: &Deployment,
    hub: &Hub,
    metrics: &GatewayMetrics,
    session: &Session,
    names: &Names,
) -> Answer {
    let mut left = Vec::new();
    for name in names.as_slice() {
        left.push(match deployment.resolve(name) {
            Ok(channel) => {
                leave(hub, metrics, session, |subscription| {
                    let is_selected = subscription.channel == channel;
                    if is_selected {
                        subscription.release_watch();
                    }
                    is_selected
                });
                ChannelResult::unsubscribed(channel.to_string())
            }
            Err(refusal) => ChannelResult::failed(truncated_name(name), refusal),
        });
    }
    match (names, left.pop()) {
        (Names::One(_), Some(ChannelResult { error: Some(e), .. })) => Answer::Refused(e),
        (Names::One(_), Some(ChannelResult { channel, .. })) => {
            Answer::Ack(Ack::Unsubscribed(Unsubscribed {
                channel,
                success: true,
            }))
        }
        (_, last) => {
            left.extend(last);
            Answer::Ack(Ack::Channels(ChannelResults::new(left)))
        }
    }
}

/// Ends the subscriptions that `which` selects; returns their channels.
pub(super) fn leave(
    hub: &Hub,
    metrics: &GatewayMetrics,
    session: &Session,
    mut which: impl FnMut(&mut Subscription) -> bool,
) -> Vec<String> {
    let mut ended = Vec::new();
    let mut guard = hub.channels();
    let (channels, held) = guard.split();
    session.subscriptions(held).retain_mut(|subscription| {
        let is_selected = which(subscription);
        if is_selected {
            channels.leave(session, subscription.slot, subscription.state);
            metrics.unsubscribed(&subscription.channel);
            ended.push(subscription.channel.to_string());
        }
        !is_selected
    });
    ended
}
