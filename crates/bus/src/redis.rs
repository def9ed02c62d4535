//! Redis as the fast path between processes. An outage costs latency, never data: a hub polls the store in any case.
//! Redis may be unreachable when the process starts. Its messages are trusted only as described for [`Codec`].
//!
//! A dead connection is detected within [`PING_INTERVAL`] plus [`TIMEOUT`].

use std::{path::Path, pin::pin, sync::Arc, time::Duration};

use redis::{
    AsyncCommands, AsyncConnectionConfig, Client, IntoConnectionInfo, RedisError, TlsCertificates,
    aio::{MultiplexedConnection, PubSubSink},
    io::tcp::TcpSettings,
};
use socket2::TcpKeepalive;
use tokio::{
    sync::{broadcast, mpsc},
    time::{Instant, sleep, timeout},
};
use tokio_stream::StreamExt;
use tokio_util::sync::CancellationToken;

use super::{
    BusConfig, BusError, Commit,
    inbox::{Inbox, Item},
    redis_message::{Codec, Hint, Received, Rejection},
    telemetry,
};
use chaincast_base::{shutdown::Tasks, tls};
use chaincast_store::Store;

/// Time that an unfinished send has once shutdown begins.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(1);
/// Commits queued for Redis; the excess is dropped, and other processes read it from the store.
const SEND_QUEUE_CAPACITY: usize = 1_024;
/// Timeout for connecting, and for the reply to a command.
const TIMEOUT: Duration = Duration::from_secs(5);
const RECONNECT_DELAY: Duration = Duration::from_secs(1);
/// Interval between PINGs on the subscription, which is silent while nothing is published.
const PING_INTERVAL: Duration = Duration::from_secs(3);
/// Interval between TCP keepalive probes.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(5);

/// The commits queued for Redis. Cheap to clone; sending never blocks.
#[derive(Clone)]
pub(crate) struct SendQueue(mpsc::Sender<Commit>);

impl SendQueue {
    pub(crate) fn send(&self, commit: Commit) {
        if self.0.try_send(commit).is_err() {
            telemetry::skipped();
        }
    }
}

/// The channels of this process that received messages are passed to.
#[derive(Clone)]
pub(super) struct LocalChannels {
    pub(super) commits: broadcast::Sender<Commit>,
    pub(super) hints: broadcast::Sender<Hint>,
}

/// Checks that Redis answers a PING.
pub async fn ping(config: &BusConfig) -> Result<(), BusError> {
    let client = client(config)?;
    let ping = async {
        let mut connection = open_connection(&client).await?;
        redis::cmd("PING").query_async::<()>(&mut connection).await
    };
    match timeout(TIMEOUT, ping).await {
        Ok(answer) => answer.map_err(|error| unreachable(config, &error)),
        Err(_) => Err(BusError::Redis {
            url: config.redis_url.redacted_url(),
            reason: format!("no answer within {TIMEOUT:?}"),
        }),
    }
}

/// Opens a connection for commands. Callers set timeouts.
async fn open_connection(client: &Client) -> Result<MultiplexedConnection, RedisError> {
    let unlimited = AsyncConnectionConfig::new()
        .set_connection_timeout(None)
        .set_response_timeout(None);
    client
        .get_multiplexed_async_connection_with_config(&unlimited)
        .await
}

/// The result of `work`; an error if it takes longer than [`TIMEOUT`].
async fn with_timeout<T>(
    work: impl Future<Output = Result<T, RedisError>>,
) -> Result<T, RedisError> {
    match timeout(TIMEOUT, work).await {
        Ok(result) => result,
        Err(_) => Err(std::io::Error::from(std::io::ErrorKind::TimedOut).into()),
    }
}

/// A client of the configured Redis, not yet connected. Fails only for an invalid configuration.
fn client(config: &BusConfig) -> Result<Client, BusError> {
    tls::install_provider();
    let invalid = |error: RedisError| BusError::RedisUrl(error.to_string());
    let url = config.redis_url.expose().into_connection_info();
    let url = url.map_err(invalid)?.set_tcp_settings(tcp_settings());
    let client = match &config.redis_ca {
        None => Client::open(url),
        Some(path) => {
            let certificates = TlsCertificates {
                client_tls: None,
                root_cert: Some(ca_file(path)?),
            };
            Client::build_with_tls(url, certificates)
        }
    };
    client.map_err(invalid)
}

/// Makes the kernel drop an unresponsive peer after 10 s instead of about 15 min.
fn tcp_settings() -> TcpSettings {
    let keepalive = TcpKeepalive::new()
        .with_time(KEEPALIVE_INTERVAL)
        .with_interval(KEEPALIVE_INTERVAL);
    let settings = TcpSettings::default()
        .set_nodelay(true)
        .set_keepalive(keepalive);
    #[cfg(target_os = "linux")]
    let settings = settings.set_user_timeout(2 * KEEPALIVE_INTERVAL);
    settings
}

fn ca_file(path: &Path) -> Result<Vec<u8>, BusError> {
    tls::read_ca_file(path).map_err(|reason| BusError::CaFile {
        path: path.display().to_string(),
        reason,
    })
}

fn unreachable(config: &BusConfig, error: &RedisError) -> BusError {
    let (url, reason) = (config.redis_url.redacted_url(), error.to_string());
    if let Some(advice) = tls::advice(&reason, "bus.redis_ca") {
        let reason = format!("{reason}: {advice}");
        return BusError::RedisRefused { url, reason };
    }
    if error.kind() == redis::ErrorKind::Parse {
        let reason = "the server does not speak the Redis protocol".to_owned();
        return BusError::Redis { url, reason };
    }
    match error.kind() == redis::ErrorKind::AuthenticationFailed {
        true => BusError::RedisRefused {
            url,
            reason: format!("{reason}; check user and password in bus.redis_url"),
        },
        false => BusError::Redis { url, reason },
    }
}

/// Spawns the send and the receive task. Both connect, and reconnect, on their own.
pub(super) fn connect(
    config: &BusConfig,
    store: &Store,
    incoming: LocalChannels,
    tasks: &Tasks,
) -> Result<SendQueue, BusError> {
    let client = client(config)?;
    // The epoch separates deployments that share one Redis.
    let topic = format!("chaincast:{}", store.epoch());
    let codec = Arc::new(Codec::new(&topic, &config.redis_key));
    let (queue, commits) = mpsc::channel(SEND_QUEUE_CAPACITY);
    let sender = Sender::new(client.clone());
    tasks.spawn(send(sender, codec.clone(), commits, tasks.clone()));
    tasks.spawn(receive(
        client,
        config.clone(),
        codec,
        incoming,
        tasks.clone(),
    ));
    Ok(SendQueue(queue))
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

async fn send(
    mut sender: Sender,
    codec: Arc<Codec>,
    mut commits: mpsc::Receiver<Commit>,
    tasks: Tasks,
) {
    let stop = tasks.token();
    // The receive task logs an unreachable Redis; this one logs failed publishes only.
    let mut failing = false;
    loop {
        let commit = tokio::select! {
            () = stop.cancelled() => return,
            commit = commits.recv() => commit,
        };
        let Some(commit) = commit else { return };
        if sender.is_backing_off() {
            telemetry::skipped();
            continue;
        }
        let text = match codec.write(&commit) {
            Ok(text) => text,
            Err(error) => {
                tracing::error!(%error, "cannot encode a commit for Redis");
                continue;
            }
        };
        let published = tokio::select! {
            published = sender.publish(codec.topic(), text.as_bytes()) => published,
            () = shutdown_grace(&stop) => return,
        };
        match published {
            Ok(()) => {
                if std::mem::take(&mut failing) {
                    tracing::info!("publishing to Redis works again");
                }
            }
            Err(error) => {
                telemetry::skipped();
                if !std::mem::replace(&mut failing, true) {
                    tracing::warn!(%error, "cannot publish to Redis; other processes read updates from the store");
                }
            }
        }
    }
}

async fn receive(
    client: Client,
    config: BusConfig,
    codec: Arc<Codec>,
    incoming: LocalChannels,
    tasks: Tasks,
) {
    let stop = tasks.token();
    let mut disconnected = false;
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            ended = relay(&client, &codec, &incoming, &mut disconnected) => {
                telemetry::connected(false);
                let error = match ended {
                    Err(error) => unreachable(&config, &error),
                    Ok(()) => BusError::Redis {
                        url: config.redis_url.redacted_url(),
                        reason: "the server closed the connection".to_owned(),
                    },
                };
                // One warning per outage.
                if !std::mem::replace(&mut disconnected, true) {
                    tracing::warn!(%error, "Redis is unreachable; updates of other processes are read from the store");
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
async fn relay(
    client: &Client,
    codec: &Codec,
    incoming: &LocalChannels,
    disconnected: &mut bool,
) -> Result<(), RedisError> {
    let subscribed = async {
        let mut subscription = client.get_async_pubsub().await?;
        subscription.subscribe(codec.topic()).await?;
        Ok(subscription)
    };
    let (pings, messages) = with_timeout(subscribed).await?.split();
    telemetry::connected(true);
    if std::mem::take(disconnected) {
        tracing::info!("connected to Redis; updates of other processes arrive through it");
    }
    // Earlier messages were missed; the store has their updates.
    let _ = incoming.hints.send(Hint::Anywhere);
    let mut messages = messages.map(Payload);
    let (mut inbox, mut timed_out) = (Inbox::default(), pin!(ping_until_timeout(pings)));
    loop {
        let item = tokio::select! {
            item = inbox.next(&mut messages) => item,
            error = &mut timed_out => return Err(error),
        };
        let message = match item {
            Some(Item::Message(message)) => message,
            Some(Item::Dropped) => {
                telemetry::rejected(Rejection::Overflow);
                let _ = incoming.hints.send(Hint::Anywhere);
                continue;
            }
            None => return Ok(()),
        };
        // A failed send means that this process has no hub.
        match codec.read(&message) {
            Ok(Received::Own) => {}
            Ok(Received::Commit(commit)) => {
                let _ = incoming.commits.send(commit);
            }
            Ok(Received::Hint(hint)) => {
                let _ = incoming.hints.send(hint);
            }
            Err(rejection) => telemetry::rejected(rejection),
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
