//! Redis as the fast path between processes. Losing it costs latency, never data: a hub polls the store anyway.

use std::{sync::Arc, time::Duration};

use redis::{AsyncCommands, Client};
use serde::{Deserialize, Serialize};
use tokio::sync::{broadcast, mpsc};
use tokio_stream::StreamExt;
use tokio_util::sync::CancellationToken;

use super::{
    BusConfig, BusError, Commit,
    commit::{from_wall, to_wall},
};
use crate::{model::Update, shutdown::Tasks, store::Store};

/// What a commit that is being sent has left when shutdown begins.
const LAST_MOMENT: Duration = Duration::from_secs(1);
/// Commits waiting for Redis; beyond it they are left out, and the other processes read them from the store.
const OUTLET_CAPACITY: usize = 1_024;
const RECONNECT_AFTER: Duration = Duration::from_secs(1);

/// One commit as it travels. `from` tells a process its own commits, which it already has.
#[derive(Serialize, Deserialize)]
struct Parcel {
    from: u64,
    /// When it was committed, in µs since the Unix epoch by the sender's clock; earlier versions do not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    at_us: Option<u64>,
    updates: Vec<Item>,
}

#[derive(Serialize, Deserialize)]
struct Item {
    channel: String,
    seq: u64,
    event: Arc<str>,
    data: Arc<str>,
}

/// Where commits leave this process. Cheap to clone; offering never waits.
#[derive(Clone)]
pub struct Outlet(mpsc::Sender<Commit>);

impl Outlet {
    pub fn offer(&self, commit: Commit) {
        if self.0.try_send(commit).is_err() {
            metrics::counter!("chaincast_bus_redis_skipped_total").increment(1);
        }
    }
}

/// Asks Redis whether it is there.
pub async fn ping(config: &BusConfig) -> Result<(), BusError> {
    let failed = |error: redis::RedisError| BusError::Redis {
        url: config.redis_url.redacted_url(),
        reason: error.to_string(),
    };
    let client = Client::open(config.redis_url.expose()).map_err(failed)?;
    let mut connection = client
        .get_multiplexed_async_connection()
        .await
        .map_err(failed)?;
    redis::cmd("PING")
        .query_async::<()>(&mut connection)
        .await
        .map_err(failed)
}

/// Connects, and spawns the task that sends and the one that receives.
pub async fn connect(
    config: &BusConfig,
    store: &Store,
    local: broadcast::Sender<Commit>,
    tasks: &Tasks,
) -> Result<Outlet, BusError> {
    let failed = |error: redis::RedisError| BusError::Redis {
        url: config.redis_url.redacted_url(),
        reason: error.to_string(),
    };
    let client = Client::open(config.redis_url.expose()).map_err(failed)?;
    let connection = client.get_connection_manager().await.map_err(failed)?;
    // Two deployments may share one Redis: the epoch keeps their updates apart.
    let topic = format!("chaincast:{}", store.epoch());
    let me = rand::random::<u64>() >> 12;
    let (sender, receiver) = mpsc::channel(OUTLET_CAPACITY);
    tasks.spawn(send(connection, topic.clone(), me, receiver, tasks.clone()));
    tasks.spawn(receive(client, topic, me, local, tasks.clone()));
    Ok(Outlet(sender))
}

/// Ends a moment after shutdown began: what is on its way to a Redis that answers gets there.
async fn moment_after(stop: &CancellationToken) {
    stop.cancelled().await;
    tokio::time::sleep(LAST_MOMENT).await;
}

async fn send(
    mut connection: redis::aio::ConnectionManager,
    topic: String,
    me: u64,
    mut commits: mpsc::Receiver<Commit>,
    tasks: Tasks,
) {
    let stop = tasks.token();
    loop {
        let commit = tokio::select! {
            () = stop.cancelled() => return,
            commit = commits.recv() => commit,
        };
        let Some(commit) = commit else { return };
        let text = match serde_json::to_string(&parcel_of(me, &commit)) {
            Ok(text) => text,
            Err(error) => {
                tracing::error!(%error, "a commit cannot be written for Redis");
                continue;
            }
        };
        let published = tokio::select! {
            published = connection.publish::<_, _, ()>(&topic, text) => published,
            // A Redis that is gone is tried again for seconds, longer than a shutdown has.
            () = moment_after(&stop) => return,
        };
        if let Err(error) = published {
            metrics::counter!("chaincast_bus_redis_skipped_total").increment(1);
            tracing::warn!(%error, "Redis refused a commit; other processes will read it from the store");
        }
    }
}

async fn receive(
    client: Client,
    topic: String,
    me: u64,
    local: broadcast::Sender<Commit>,
    tasks: Tasks,
) {
    let stop = tasks.token();
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            ended = relay(&client, &topic, me, &local) => {
                if let Err(error) = ended {
                    tracing::warn!(%error, "lost Redis; updates come from the store until it is back");
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
    topic: &str,
    me: u64,
    local: &broadcast::Sender<Commit>,
) -> Result<(), redis::RedisError> {
    let mut subscription = client.get_async_pubsub().await?;
    subscription.subscribe(topic).await?;
    let mut messages = subscription.into_on_message();
    while let Some(message) = messages.next().await {
        let parcel = match serde_json::from_slice::<Parcel>(message.get_payload_bytes()) {
            Ok(parcel) if parcel.from == me => continue,
            Ok(parcel) => parcel,
            Err(error) => {
                tracing::warn!(%error, "a message on the Redis channel is not ours");
                continue;
            }
        };
        if let Some(commit) = commit_of(parcel) {
            let _ = local.send(commit);
        }
    }
    Ok(())
}

fn parcel_of(from: u64, commit: &Commit) -> Parcel {
    let updates = commit
        .iter()
        .map(|update| Item {
            channel: update.channel.to_string(),
            seq: update.seq,
            event: update.event.clone(),
            data: update.data.clone(),
        })
        .collect();
    Parcel {
        from,
        at_us: commit.at.map(to_wall),
        updates,
    }
}

/// `None` when a channel's name is not known here, as from a newer version; the store's poll finds the others.
fn commit_of(parcel: Parcel) -> Option<Commit> {
    let at = parcel.at_us.and_then(from_wall);
    let updates = parcel
        .updates
        .into_iter()
        .map(|item| {
            Some(Update {
                channel: item.channel.parse().ok()?,
                seq: item.seq,
                event: item.event,
                data: item.data,
            })
        })
        .collect::<Option<Vec<Update>>>()?;
    Some(Commit::new(updates, at))
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    fn commit(at: Option<Instant>) -> Commit {
        let update = Update {
            channel: "price:ETH".parse().unwrap(),
            seq: 7,
            event: "price-update".into(),
            data: "{}".into(),
        };
        Commit::new(vec![update], at)
    }

    #[test]
    fn a_commit_arrives_as_it_was_sent_and_with_its_time() {
        let sent = commit(Some(Instant::now()));
        let text = serde_json::to_string(&parcel_of(1, &sent)).unwrap();
        let arrived = commit_of(serde_json::from_str(&text).unwrap()).unwrap();
        assert_eq!(*arrived, *sent);
        assert!(arrived.at.unwrap().elapsed().as_secs() < 60);
    }

    #[test]
    fn a_commit_of_a_version_that_says_no_time_is_taken_without_one() {
        let text = r#"{"from":1,"updates":[{"channel":"price:ETH","seq":7,"event":"price-update","data":"{}"}]}"#;
        let arrived = commit_of(serde_json::from_str(text).unwrap()).unwrap();
        assert_eq!((arrived.len(), arrived.at), (1, None));
        // And such a version can read ours: a field that it does not know is no fault.
        let text = serde_json::to_string(&parcel_of(1, &commit(None))).unwrap();
        assert!(!text.contains("at_us"), "{text}");
    }
}
