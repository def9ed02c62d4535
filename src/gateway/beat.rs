//! The heartbeat channel: once a second each listener gets the head, how each chain does, where its own channels stand, and
//! which price sources are stale, so that it can tell a quiet market from a dead node or feed and from a message that it lost.
//!
//! Promises: a heartbeat is queued after every update up to the seqs that it names, save for subscriptions with an
//! interval, whose newest update may still wait for it. A channel that is being replayed is not named. A heartbeat is
//! never stored, repeated or conflated: a session with no room for it is left out and its client hears the next one.

use std::{fmt::Write, sync::Arc, time::Duration};

use serde::Deserialize;
use serde_json::json;
use tokio::{
    task::yield_now,
    time::{MissedTickBehavior, interval, sleep, timeout},
};

use super::{
    channel::{Pace, Snapshot},
    channels::Channels,
    encode::{ChannelName, Message},
    hub::Hub,
    session::{Attachment, Session},
};
use crate::{
    bus::StaleSource,
    model::{ChainHealth, ChainId, ChainStatus, Channel, now_ms},
};

const BEAT: Duration = Duration::from_secs(1);
/// Sessions that are served in one go; the channels are locked for as long.
const BATCH: usize = 32;
/// Between batches the updates have the hub for themselves: so often in one beat, at most, and for so long.
const RESTS: usize = 200;
const REST: Duration = Duration::from_millis(1);
/// How long the store may take for each of chains and price sources; the heartbeat then says that they are not known.
const PATIENCE: Duration = Duration::from_millis(500);
/// Stale sources that are named; of the rest only their number is told.
const NAMED: usize = 50;

type Listener = (Arc<Session>, Pace);

/// What all heartbeats of one second have in common.
struct Shared {
    head: String,
    /// `"chains":…`
    chains: String,
    /// `"staleSources":…` and what follows.
    sources: String,
}

impl Hub {
    /// Runs for as long as it is polled.
    pub async fn run_heartbeat(&self) {
        let mut every = interval(BEAT);
        every.set_missed_tick_behavior(MissedTickBehavior::Delay);
        for beat in 0_u64.. {
            every.tick().await;
            let listeners: Vec<Listener> = self
                .listeners()
                .into_iter()
                .filter(|(_, pace)| beat.is_multiple_of(beats_apart(*pace)))
                .collect();
            if listeners.is_empty() {
                continue;
            }
            let chains = self.chain_health().await;
            let down = chains.iter().flatten();
            let down = down.filter(|chain| chain.status == ChainStatus::Down);
            let down: Vec<ChainId> = down.map(|chain| chain.chain_id).collect();
            let shared = Shared {
                sources: self.sources_json(&down).await,
                chains: format!(r#""chains":{}"#, json!(chains)),
                head: self.head_json(),
            };
            let batches = listeners.chunks(BATCH);
            let rest_after = batches.len().div_ceil(RESTS);
            for (number, batch) in batches.enumerate() {
                self.beat(batch, &shared);
                match (number + 1).is_multiple_of(rest_after) {
                    true => sleep(REST).await,
                    false => yield_now().await,
                }
            }
        }
    }

    fn listeners(&self) -> Vec<Listener> {
        let channels = self.channels().lock();
        let slot = channels.find(&Channel::Heartbeat);
        slot.map_or_else(Vec::new, |slot| channels.slots[slot].listeners())
    }

    fn beat(&self, listeners: &[Listener], shared: &Shared) {
        let now = now_ms();
        let Shared {
            head,
            chains: health,
            sources,
        } = shared;
        let mut queued = Vec::with_capacity(listeners.len());
        {
            // The lock that publishing and attaching hold: what the seqs name is queued already, and the heartbeat
            // cannot follow the answer that ended its subscription.
            let channels = self.channels().lock();
            for (session, _) in listeners {
                let Some(seqs) = seqs_json(session, &channels) else {
                    continue;
                };
                let data = format!(
                    r#"{{"timestamp":{now},"head":{head},{health},"seqs":{seqs},{sources}}}"#
                );
                match session.beat(&data) {
                    true => queued.push(session),
                    false => self.metrics().conflated(1),
                }
            }
        }
        for session in queued {
            session.flush();
        }
    }

    /// Number of the newest block of the first chain that was announced.
    fn head_json(&self) -> String {
        #[derive(Deserialize)]
        struct Block {
            number: u64,
        }
        let newest = {
            let channels = self.channels().lock();
            let slot = channels.find(&Channel::NewBlock(None));
            slot.map(|slot| channels.slots[slot].snapshot.clone())
        };
        let number = match newest {
            Some(Snapshot::Newest(entry)) => serde_json::from_str::<Block>(&entry.data).ok(),
            _ => None,
        };
        number.map_or("null".to_owned(), |block| block.number.to_string())
    }

    /// How each chain does; `None` when that cannot be read now.
    async fn chain_health(&self) -> Option<Vec<ChainHealth>> {
        match timeout(PATIENCE, self.past().chains()).await {
            Ok(Ok(chains)) => Some(chains),
            Ok(Err(error)) => {
                tracing::debug!(%error, "the state of the chains is not known");
                None
            }
            Err(_) => None,
        }
    }

    /// The chains that are `down` make their sources stale.
    async fn sources_json(&self, down: &[ChainId]) -> String {
        let stale = match timeout(PATIENCE, self.past().stale_sources(down)).await {
            Ok(Ok(stale)) => Some(stale),
            Ok(Err(error)) => {
                tracing::debug!(%error, "the price sources are not known");
                None
            }
            Err(_) => None,
        };
        let Some(stale) = stale else {
            return r#""staleSources":null"#.to_owned();
        };
        let named: Vec<serde_json::Value> = stale.iter().take(NAMED).map(source_json).collect();
        let mut json = format!(r#""staleSources":{}"#, json!(named));
        if let Some(more @ 1..) = stale.len().checked_sub(NAMED) {
            // Writing into a String does not fail.
            let _ = write!(json, r#","moreStaleSources":{more}"#);
        }
        json
    }
}

impl Session {
    /// Queues a heartbeat; `false` when there is no room for it.
    fn beat(&self, data: &str) -> bool {
        let name = Arc::new(ChannelName::new(&Channel::Heartbeat));
        let message = Message {
            event: "heartbeat",
            channel: &name,
            seq: None,
            prev: None,
            snapshot: false,
            data,
        };
        let packet = message.encode(self.wire());
        self.outbox.lock().push_fresh(&packet, &name)
    }
}

/// Where a session's channels stand, as a JSON object; `None` when it no longer listens to the heartbeat.
fn seqs_json(session: &Session, channels: &Channels) -> Option<String> {
    let mut json = String::from("{");
    let mut listens = false;
    for subscription in session.subscriptions.lock().iter() {
        if subscription.channel == Channel::Heartbeat {
            listens = true;
            continue;
        }
        let state = channels.slots.get(subscription.slot);
        let (Attachment::Live(_), Some(state)) = (subscription.state, state) else {
            continue;
        };
        let comma = if json.len() > 1 { "," } else { "" };
        let seq = state.position.unwrap_or(0);
        // Writing into a String does not fail.
        let _ = write!(json, "{comma}{}:{seq}", state.name.json);
    }
    json.push('}');
    listens.then_some(json)
}

fn source_json(source: &StaleSource) -> serde_json::Value {
    json!({
        "token": source.token.as_str(),
        "source": source.source,
        "ageMs": source.age_ms,
    })
}

/// Every how many beats a subscription hears one.
fn beats_apart(pace: Pace) -> u64 {
    (u64::from(pace.interval().ms()) / BEAT.as_millis() as u64).max(1)
}
