//! Redis as the fast path between processes. Losing it costs latency, never data: a hub polls the store anyway. It need
//! not be there when the process starts, and what comes from it is believed only as far as [`Codec`] says.

use std::{path::Path, sync::Arc, time::Duration};

use redis::{
    AsyncCommands, Client, TlsCertificates,
    aio::{ConnectionManager, ConnectionManagerConfig},
};
use tokio::{
    sync::{broadcast, mpsc},
    time::timeout,
};
use tokio_stream::StreamExt;
use tokio_util::sync::CancellationToken;

use super::{
    BusConfig, BusError, Commit,
    parcel::{Codec, Hint, Received},
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
        let mut connection = client.get_multiplexed_async_connection().await?;
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

/// A client of the configured Redis, without a connection. Fails only for what no waiting mends.
fn client(config: &BusConfig) -> Result<Client, BusError> {
    tls::install_provider();
    let url = config.redis_url.expose();
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
    client.map_err(|error| BusError::RedisUrl(error.to_string()))
}

fn authorities(path: &Path) -> Result<Vec<u8>, BusError> {
    tls::authorities(path).map_err(|reason| BusError::Authorities {
        path: path.display().to_string(),
        reason,
    })
}

fn unreachable(config: &BusConfig, error: &redis::RedisError) -> BusError {
    let (url, reason) = (config.redis_url.redacted_url(), error.to_string());
    if let Some(advice) = tls::advice(&reason, "bus.redis_ca") {
        let reason = format!("{reason}: {advice}");
        return BusError::RedisRefused { url, reason };
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
    let sending = ConnectionManagerConfig::new()
        .set_number_of_retries(0)
        .set_connection_timeout(Some(PATIENCE))
        .set_response_timeout(Some(PATIENCE));
    let connection = ConnectionManager::new_lazy_with_config(client.clone(), sending)
        .map_err(|error| BusError::RedisUrl(error.to_string()))?;
    // Two deployments may share one Redis: the epoch keeps their updates apart.
    let topic = format!("chaincast:{}", store.epoch());
    let codec = Arc::new(Codec::new(&topic, &config.redis_key));
    let (sender, receiver) = mpsc::channel(OUTLET_CAPACITY);
    tasks.spawn(send(connection, codec.clone(), receiver, tasks.clone()));
    tasks.spawn(receive(client, config.clone(), codec, inlet, tasks.clone()));
    Ok(Outlet(sender))
}

/// Ends a moment after shutdown began: what is on its way to a Redis that answers gets there.
async fn moment_after(stop: &CancellationToken) {
    stop.cancelled().await;
    tokio::time::sleep(LAST_MOMENT).await;
}

async fn send(
    mut connection: ConnectionManager,
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
        let text = match codec.write(&commit) {
            Ok(text) => text,
            Err(error) => {
                tracing::error!(%error, "a commit cannot be written for Redis");
                continue;
            }
        };
        let published = tokio::select! {
            published = connection.publish::<_, _, ()>(codec.topic(), text) => published,
            () = moment_after(&stop) => return,
        };
        match published {
            Ok(()) => refused = false,
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
            () = tokio::time::sleep(RECONNECT_AFTER) => {}
        }
    }
}

/// Passes on what other processes publish, until the connection ends.
async fn relay(
    client: &Client,
    codec: &Codec,
    inlet: &Inlet,
    away: &mut bool,
) -> Result<(), redis::RedisError> {
    let silent = |_| redis::RedisError::from(std::io::Error::from(std::io::ErrorKind::TimedOut));
    let subscribed = async {
        let mut subscription = client.get_async_pubsub().await?;
        subscription.subscribe(codec.topic()).await?;
        Ok::<_, redis::RedisError>(subscription)
    };
    let subscription = timeout(PATIENCE, subscribed).await.map_err(silent)??;
    telemetry::connected(true);
    if std::mem::take(away) {
        tracing::info!("Redis answers: updates of other processes come through it");
    }
    // What was published before is in the store.
    let _ = inlet.hints.send(Hint::Anywhere);
    let mut messages = subscription.into_on_message();
    while let Some(message) = messages.next().await {
        // Without a receiver there is no hub in this process.
        match codec.read(message.get_payload_bytes()) {
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
    Ok(())
}
