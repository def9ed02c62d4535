//! Publishes the messages of this process on a Redis channel.

use std::{sync::Arc, time::Duration};

use redis::{AsyncCommands, Client, RedisError, aio::MultiplexedConnection};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep},
};
use tokio_util::sync::CancellationToken;

use super::{
    carried::Carried,
    client::{open_connection, with_timeout},
};
use chaincast_base::shutdown::Tasks;

/// Time that an unfinished send has once shutdown begins.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(1);
/// Messages queued for Redis; the excess is dropped.
const QUEUE_CAPACITY: usize = 1_024;
const RECONNECT_DELAY: Duration = Duration::from_secs(1);

/// The messages queued for a Redis channel. Cheap to clone; sending never blocks.
pub(crate) struct SendQueue<C: Carried> {
    carried: Arc<C>,
    queue: mpsc::Sender<C::Item>,
}

impl<C: Carried> SendQueue<C> {
    /// Starts the task that publishes what is queued.
    pub(super) fn start(client: Client, carried: Arc<C>, tasks: &Tasks) -> Self {
        let (queue, items) = mpsc::channel(QUEUE_CAPACITY);
        let sender = Sender::new(client);
        tasks.spawn(send(sender, carried.clone(), items, tasks.clone()));
        Self { carried, queue }
    }

    pub(crate) fn send(&self, item: C::Item) {
        if self.queue.try_send(item).is_err() {
            self.carried.skipped();
        }
    }
}

impl<C: Carried> Clone for SendQueue<C> {
    fn clone(&self) -> Self {
        Self {
            carried: self.carried.clone(),
            queue: self.queue.clone(),
        }
    }
}

/// Resolves [`SHUTDOWN_GRACE`] after shutdown begins, so an unfinished send can complete.
async fn shutdown_grace(stop: &CancellationToken) {
    stop.cancelled().await;
    sleep(SHUTDOWN_GRACE).await;
}

/// Publishes over one connection and drops it at the first error of any kind: a rejected (AUTH, SELECT) or unresponsive
/// connection must not be kept.
struct Sender {
    client: Client,
    connection: Option<MultiplexedConnection>,
    /// Earliest time of the next connection attempt.
    retry_at: Instant,
}

impl Sender {
    fn new(client: Client) -> Self {
        Self {
            client,
            connection: None,
            retry_at: Instant::now(),
        }
    }

    /// Whether the last connection attempt failed less than [`RECONNECT_DELAY`] ago.
    fn is_backing_off(&self) -> bool {
        self.connection.is_none() && Instant::now() < self.retry_at
    }

    async fn publish(&mut self, topic: &str, text: &[u8]) -> Result<(), RedisError> {
        if let Some(mut connection) = self.connection.take() {
            // The connection may have ended since, as after a restart of Redis: reconnect immediately.
            let sent = with_timeout(connection.publish::<_, _, ()>(topic, text)).await;
            if sent.is_ok() {
                self.connection = Some(connection);
                return Ok(());
            }
        }
        let sent = with_timeout(async {
            let mut connection = open_connection(&self.client).await?;
            connection.publish::<_, _, ()>(topic, text).await?;
            Ok(connection)
        });
        match sent.await {
            Ok(connection) => {
                self.connection = Some(connection);
                Ok(())
            }
            Err(error) => {
                self.retry_at = Instant::now() + RECONNECT_DELAY;
                Err(error)
            }
        }
    }
}

async fn send<C: Carried>(
    mut sender: Sender,
    carried: Arc<C>,
    mut items: mpsc::Receiver<C::Item>,
    tasks: Tasks,
) {
    let stop = tasks.token();
    // The receive task logs an unreachable Redis; this one logs failed publishes only.
    let mut failing = false;
    loop {
        let item = tokio::select! {
            () = stop.cancelled() => return,
            item = items.recv() => item,
        };
        let Some(item) = item else { return };
        if sender.is_backing_off() {
            carried.skipped();
            continue;
        }
        let text = match carried.write(&item) {
            Ok(text) => text,
            Err(error) => {
                tracing::error!(%error, "cannot encode {} for Redis", C::WHAT);
                continue;
            }
        };
        let published = tokio::select! {
            published = sender.publish(carried.topic(), text.as_bytes()) => published,
            () = shutdown_grace(&stop) => return,
        };
        match published {
            Ok(()) => {
                if std::mem::take(&mut failing) {
                    tracing::info!("publishing {} to Redis works again", C::WHAT);
                }
            }
            Err(error) => {
                carried.skipped();
                if !std::mem::replace(&mut failing, true) {
                    tracing::warn!(%error, "cannot publish {} to Redis; {}", C::WHAT, C::WITHOUT_REDIS);
                }
            }
        }
    }
}
