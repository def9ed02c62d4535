//! Redis as the fast path between processes. Losing it costs latency, never data: a hub polls the store anyway. It need
//! not be there when the process starts, and what comes from it is believed only as far as [`Codec`] says.
//!
//! A connection whose peer vanished without closing it is noticed within [`PING_EVERY`] and [`PATIENCE`].

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
    inbox::{Arrived, Inbox},
    parcel::{Codec, Hint, Received, Rejection},
    telemetry,
};
use crate::{shutdown::Tasks, store::Store, tls};

/// What a commit that is being sent has left when shutdown begins.
const LAST_MOMENT: Duration = Duration::from_secs(1);
/// Commits waiting for Redis; beyond it they are left out, and the other processes read them from the store.
const OUTLET_CAPACITY: usize = 1_024;
/// Connecting, and the answer to a command.
const PATIENCE: Duration = Duration::from_secs(5);
const RECONNECT_AFTER: Duration = Duration::from_secs(1);
/// A subscription may be quiet for as long as nothing happens; its connection is asked for an answer this often.
const PING_EVERY: Duration = Duration::from_secs(3);
/// Between two keepalive probes of an idle connection.
const PROBE_EVERY: Duration = Duration::from_secs(5);

/// Where commits leave this process. Cheap to clone; offering never waits.
#[derive(Clone)]
pub struct Outlet(mpsc::Sender<Commit>);

impl Outlet {
    pub fn offer(&self, commit: Commit) {
        if self.0.try_send(commit).is_err() {
            telemetry::skipped();
        }
    }
}

/// Where messages go that arrive.
#[derive(Clone)]
pub(super) struct Inlet {
    pub(super) commits: broadcast::Sender<Commit>,
    pub(super) hints: broadcast::Sender<Hint>,
}

/// Asks Redis whether it is there.
pub async fn ping(config: &BusConfig) -> Result<(), BusError> {
    let client = client(config)?;
    let asked = async {
        let mut connection = join(&client).await?;
        redis::cmd("PING").query_async::<()>(&mut connection).await
    };
    match timeout(PATIENCE, asked).await {
        Ok(answer) => answer.map_err(|error| unreachable(config, &error)),
        Err(_) => Err(BusError::Redis {
            url: config.redis_url.redacted_url(),
            reason: format!("no answer within {PATIENCE:?}"),
        }),
    }
}

/// A connection for commands. Callers limit the time that it and its commands take.
async fn join(client: &Client) -> Result<MultiplexedConnection, RedisError> {
    let unlimited = AsyncConnectionConfig::new()
        .set_connection_timeout(None)
        .set_response_timeout(None);
    client
        .get_multiplexed_async_connection_with_config(&unlimited)
        .await
}

/// What `work` results in; an error when it takes longer than [`PATIENCE`].
async fn in_time<T>(work: impl Future<Output = Result<T, RedisError>>) -> Result<T, RedisError> {
    match timeout(PATIENCE, work).await {
        Ok(result) => result,
        Err(_) => Err(std::io::Error::from(std::io::ErrorKind::TimedOut).into()),
    }
}

/// A client of the configured Redis, without a connection. Fails only for what no waiting mends.
fn client(config: &BusConfig) -> Result<Client, BusError> {
    tls::install_provider();
    let refused = |error: RedisError| BusError::RedisUrl(error.to_string());
    let url = config.redis_url.expose().into_connection_info();
    let url = url.map_err(refused)?.set_tcp_settings(tcp_settings());
    let client = match &config.redis_ca {
        None => Client::open(url),
        Some(path) => {
            let certificates = TlsCertificates {
                client_tls: None,
                root_cert: Some(authorities(path)?),
            };
            Client::build_with_tls(url, certificates)
        }
    };
    client.map_err(refused)
}

/// The kernel gives up a peer that does not acknowledge, instead of after a quarter of an hour.
fn tcp_settings() -> TcpSettings {
    let keepalive = TcpKeepalive::new()
        .with_time(PROBE_EVERY)
        .with_interval(PROBE_EVERY);
    let settings = TcpSettings::default()
        .set_nodelay(true)
        .set_keepalive(keepalive);
    #[cfg(target_os = "linux")]
    let settings = settings.set_user_timeout(2 * PROBE_EVERY);
    settings
}

fn authorities(path: &Path) -> Result<Vec<u8>, BusError> {
    tls::authorities(path).map_err(|reason| BusError::Authorities {
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
        let reason = "what listens there does not speak the protocol of Redis".to_owned();
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

/// Spawns the task that sends and the one that receives; both connect by themselves, when Redis can be reached.
pub(super) fn connect(
    config: &BusConfig,
    store: &Store,
    inlet: Inlet,
    tasks: &Tasks,
) -> Result<Outlet, BusError> {
    let client = client(config)?;
    // Two deployments may share one Redis: the epoch keeps their updates apart.
    let topic = format!("chaincast:{}", store.epoch());
    let codec = Arc::new(Codec::new(&topic, &config.redis_key));
    let (outlet, commits) = mpsc::channel(OUTLET_CAPACITY);
    let sender = Sender::new(client.clone());
    tasks.spawn(send(sender, codec.clone(), commits, tasks.clone()));
    tasks.spawn(receive(client, config.clone(), codec, inlet, tasks.clone()));
    Ok(Outlet(outlet))
}

/// Ends a moment after shutdown began: what is on its way to a Redis that answers gets there.
async fn moment_after(stop: &CancellationToken) {
    stop.cancelled().await;
    sleep(LAST_MOMENT).await;
}

/// Publishes over one connection, which is given up at its first error, whatever that is: a connection that Redis refused
/// (AUTH, SELECT) or that is silent must not be kept.
struct Sender {
    client: Client,
    connection: Option<MultiplexedConnection>,
    /// When a new connection may be tried.
    rests_until: Instant,
}

impl Sender {
    fn new(client: Client) -> Self {
        Self {
            client,
            connection: None,
            rests_until: Instant::now(),
        }
    }

    /// Whether a new connection failed a moment ago.
    fn rests(&self) -> bool {
        self.connection.is_none() && Instant::now() < self.rests_until
    }

    async fn publish(&mut self, topic: &str, text: &[u8]) -> Result<(), RedisError> {
        if let Some(mut connection) = self.connection.take() {
            // One that worked may have ended since, as with a restart of Redis: then a new one is tried at once.
            let sent = in_time(connection.publish::<_, _, ()>(topic, text)).await;
            if sent.is_ok() {
                self.connection = Some(connection);
                return Ok(());
            }
        }
        let sent = in_time(async {
            let mut connection = join(&self.client).await?;
            connection.publish::<_, _, ()>(topic, text).await?;
            Ok(connection)
        });
        match sent.await {
            Ok(connection) => {
                self.connection = Some(connection);
                Ok(())
            }
            Err(error) => {
                self.rests_until = Instant::now() + RECONNECT_AFTER;
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
    // The task that receives reports a Redis that is away; this one only what it refuses while it is there.
    let mut refused = false;
    loop {
        let commit = tokio::select! {
            () = stop.cancelled() => return,
            commit = commits.recv() => commit,
        };
        let Some(commit) = commit else { return };
        if sender.rests() {
            telemetry::skipped();
            continue;
        }
        let text = match codec.write(&commit) {
            Ok(text) => text,
            Err(error) => {
                tracing::error!(%error, "a commit cannot be written for Redis");
                continue;
            }
        };
        let published = tokio::select! {
            published = sender.publish(codec.topic(), text.as_bytes()) => published,
            () = moment_after(&stop) => return,
        };
        match published {
            Ok(()) => {
                if std::mem::take(&mut refused) {
                    tracing::info!("Redis takes commits again");
                }
            }
            Err(error) => {
                telemetry::skipped();
                if !std::mem::replace(&mut refused, true) {
                    tracing::warn!(%error, "Redis takes no commits; other processes read them from the store until it does");
                }
            }
        }
    }
}

async fn receive(client: Client, config: BusConfig, codec: Arc<Codec>, inlet: Inlet, tasks: Tasks) {
    let stop = tasks.token();
    let mut away = false;
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            ended = relay(&client, &codec, &inlet, &mut away) => {
                telemetry::connected(false);
                let error = match ended {
                    Err(error) => unreachable(&config, &error),
                    Ok(()) => BusError::Redis {
                        url: config.redis_url.redacted_url(),
                        reason: "it closed the connection".to_owned(),
                    },
                };
                // Once an outage.
                if !std::mem::replace(&mut away, true) {
                    tracing::warn!(%error, "updates of other processes come from the store until Redis answers");
                } else {
                    tracing::debug!(%error, "Redis is still away");
                }
            }
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = sleep(RECONNECT_AFTER) => {}
        }
    }
}

/// Passes on what other processes publish, until the connection ends.
async fn relay(
    client: &Client,
    codec: &Codec,
    inlet: &Inlet,
    away: &mut bool,
) -> Result<(), RedisError> {
    let subscribed = async {
        let mut subscription = client.get_async_pubsub().await?;
        subscription.subscribe(codec.topic()).await?;
        Ok(subscription)
    };
    let (asking, messages) = in_time(subscribed).await?.split();
    telemetry::connected(true);
    if std::mem::take(away) {
        tracing::info!("Redis answers: updates of other processes come through it");
    }
    // What was published before is in the store.
    let _ = inlet.hints.send(Hint::Anywhere);
    let mut messages = messages.map(Payload);
    let (mut inbox, mut silent) = (Inbox::default(), pin!(silence(asking)));
    loop {
        let arrived = tokio::select! {
            arrived = inbox.next(&mut messages) => arrived,
            error = &mut silent => return Err(error),
        };
        let message = match arrived {
            Some(Arrived::Message(message)) => message,
            Some(Arrived::LeftOut) => {
                telemetry::rejected(Rejection::Overflow);
                let _ = inlet.hints.send(Hint::Anywhere);
                continue;
            }
            None => return Ok(()),
        };
        // Without a receiver there is no hub in this process.
        match codec.read(&message) {
            Ok(Received::Own) => {}
            Ok(Received::Commit(commit)) => {
                let _ = inlet.commits.send(commit);
            }
            Ok(Received::Hint(hint)) => {
                let _ = inlet.hints.send(hint);
            }
            Err(rejection) => telemetry::rejected(rejection),
        }
    }
}

/// Asks a subscription's connection for an answer now and then, until none comes.
async fn silence(mut subscription: PubSubSink) -> RedisError {
    loop {
        sleep(PING_EVERY).await;
        match in_time(subscription.ping::<redis::Value>()).await {
            Err(error) if error.is_io_error() => return error,
            // A user who may not PING has an answer, too.
            Ok(_) | Err(_) => {}
        }
    }
}

/// A message's bytes, as they stand in it.
struct Payload(redis::Msg);

impl AsRef<[u8]> for Payload {
    fn as_ref(&self) -> &[u8] {
        self.0.get_payload_bytes()
    }
}
