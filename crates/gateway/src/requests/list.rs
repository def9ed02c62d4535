//! `subscriptions`: the subscriptions of a session.

use chaincast_protocol::{
    control::{self, Ack, Subscriptions},
    request::{Answer, Mode},
};

use crate::{
    hub::Hub,
    session::{Pace, Session},
};

pub(super) fn list(hub: &Hub, session: &Session) -> Answer {
    let mut guard = hub.channels();
    let (channels, held) = guard.split();
    let subscriptions = session.subscriptions(held);
    let listed = subscriptions
        .iter()
        .map(|subscription| control::Subscription {
            channel: subscription.channel.to_string(),
            mode: match subscription.pace {
                Pace::All => Mode::All,
                Pace::Latest | Pace::Every(_) => Mode::Latest,
            },
            interval: subscription.pace.interval(),
            seq: channels
                .slots
                .get(subscription.slot)
                .and_then(|state| state.position)
                .unwrap_or(0),
        })
        .collect();
    Answer::Ack(Ack::Subscriptions(Subscriptions {
        channels: listed,
        success: true,
    }))
}
