//! Relays the messages of other processes on a Redis channel into this one. Redis may be unreachable when it starts.
//!
//! A dead connection is detected within [`PING_INTERVAL`] plus the timeout of a reply.

use std::{pin::pin, sync::Arc, time::Duration};

use redis::{Client, RedisError, aio::PubSubSink};
use tokio::time::sleep;
use tokio_stream::StreamExt;

use super::{
    carried::Carried,
    client::{unreachable, with_timeout},
    inbox::{Inbox, Item},
};
use crate::{BusConfig, BusError};
use chaincast_base::shutdown::Tasks;

const RECONNECT_DELAY: Duration = Duration::from_secs(1);
/// Interval between PINGs on the subscription, which is silent while nothing is published.
const PING_INTERVAL: Duration = Duration::from_secs(3);

/// Relays until shutdown, and reconnects after each failure.
pub(super) async fn receive<C: Carried>(
    client: Client,
    config: BusConfig,
    carried: Arc<C>,
    tasks: Tasks,
) {
    let stop = tasks.token();
    let mut disconnected = false;
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            ended = relay(&client, &*carried, &mut disconnected) => {
                carried.connected(false);
                let error = match ended {
                    Err(error) => unreachable(&config, &error),
                    Ok(()) => BusError::Redis {
                        url: config.redis_url.redacted_url(),
                        reason: "the server closed the connection".to_owned(),
                    },
                };
                // One warning per outage.
                if !std::mem::replace(&mut disconnected, true) {
                    tracing::warn!(%error, "Redis is unreachable; {}", C::WITHOUT_REDIS);
                } else {
                    tracing::debug!(%error, "Redis is still unreachable");
                }
            }
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = sleep(RECONNECT_DELAY) => {}
        }
    }
}

/// Relays the messages of other processes until the connection ends.
async fn relay<C: Carried>(
    client: &Client,
    carried: &C,
    disconnected: &mut bool,
) -> Result<(), RedisError> {
    let subscribed = async {
        let mut subscription = client.get_async_pubsub().await?;
        subscription.subscribe(carried.topic()).await?;
        Ok(subscription)
    };
    let (pings, messages) = with_timeout(subscribed).await?.split();
    carried.connected(true);
    if std::mem::take(disconnected) {
        tracing::info!(
            "connected to Redis; {} of other processes arrive through it",
            C::WHAT
        );
    }
    // Earlier messages were missed.
    carried.missed();
    let mut messages = messages.map(Payload);
    let (mut inbox, mut timed_out) = (Inbox::default(), pin!(ping_until_timeout(pings)));
    loop {
        let item = tokio::select! {
            item = inbox.next(&mut messages) => item,
            error = &mut timed_out => return Err(error),
        };
        match item {
            Some(Item::Message(message)) => carried.receive(&message),
            Some(Item::Dropped) => carried.overflowed(),
            None => return Ok(()),
        }
    }
}

/// Sends a PING every [`PING_INTERVAL`]; returns the error of the first one without a reply.
async fn ping_until_timeout(mut subscription: PubSubSink) -> RedisError {
    loop {
        sleep(PING_INTERVAL).await;
        match with_timeout(subscription.ping::<redis::Value>()).await {
            Err(error) if error.is_io_error() => return error,
            // An error reply (no permission for PING) is a reply, too.
            Ok(_) | Err(_) => {}
        }
    }
}

/// The payload of a message, without a copy.
struct Payload(redis::Msg);

impl AsRef<[u8]> for Payload {
    fn as_ref(&self) -> &[u8] {
        self.0.get_payload_bytes()
    }
}
