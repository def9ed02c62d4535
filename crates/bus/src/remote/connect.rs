//! Starts the tasks of each Redis channel. They connect, and reconnect, on their own.

use std::sync::Arc;

use tokio::sync::broadcast;

use super::{
    carried::Carried,
    client::client,
    commits::{Commits, LocalChannels},
    live::Live,
    live_codec::LiveCodec,
    message::Codec,
    receive::receive,
    send::SendQueue,
};
use crate::{BusConfig, BusError, live_message::LiveMessage};
use chaincast_base::shutdown::Tasks;
use chaincast_store::Store;

/// Connects the commits of this process with those of others.
pub(crate) fn connect_commits(
    config: &BusConfig,
    store: &Store,
    incoming: LocalChannels,
    tasks: &Tasks,
) -> Result<SendQueue<Commits>, BusError> {
    // The epoch separates deployments that share one Redis.
    let codec = Codec::new(&format!("chaincast:{}", store.epoch()), &config.redis_key);
    start(config, Commits::new(codec, incoming), tasks)
}

/// Connects the live messages of this process with those of others; `None` without a key, as they are only believed when
/// they are signed.
pub(crate) fn connect_live(
    config: &BusConfig,
    store: &Store,
    incoming: broadcast::Sender<LiveMessage>,
    tasks: &Tasks,
) -> Result<Option<SendQueue<Live>>, BusError> {
    if config.redis_key.is_empty() {
        return Ok(None);
    }
    let topic = format!("chaincast:{}:live", store.epoch());
    let codec = LiveCodec::new(&topic, &config.redis_key);
    start(config, Live::new(codec, incoming), tasks).map(Some)
}

/// Starts the send and the receive task.
fn start<C: Carried>(
    config: &BusConfig,
    carried: C,
    tasks: &Tasks,
) -> Result<SendQueue<C>, BusError> {
    let (client, carried) = (client(config)?, Arc::new(carried));
    let received = receive(
        client.clone(),
        config.clone(),
        carried.clone(),
        tasks.clone(),
    );
    tasks.spawn(received);
    Ok(SendQueue::start(client, carried, tasks))
}
