//! The heartbeat channel. Once a second each subscriber receives the head, the health of each chain, the seqs of its own
//! channels and the stale price sources. So it can distinguish a quiet market from an unreachable node or a broken feed,
//! and detect a lost message.
//!
//! Promises: a heartbeat is queued after every update up to the seqs that it lists, except for subscriptions with an
//! interval, whose newest update may still be pending. A channel that is being replayed is not listed. A heartbeat is
//! never stored, repeated or conflated: a session without room skips it and receives the next one.

use std::{fmt::Write, sync::Arc, time::Duration};

use chaincast_protocol::{
    ChainHealth, ChainId, ChainStatus, Channel, EventName,
    control::to_json,
    encode::{ChannelName, Message},
    now_ms,
};
use serde::Deserialize;
use tokio::{
    task::yield_now,
    time::{MissedTickBehavior, interval, sleep, timeout},
};

use crate::{
    channel_log::ChannelLog,
    hub::{Channels, Hub, Snapshot},
    lock_order::Held,
    observe::GatewayMetrics,
    session::{Attachment, Pace, Session},
};

const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(1);
/// Sessions served while the channels are locked once.
const BATCH: usize = 32;
/// Pauses between batches, in which updates are published: maximum number per heartbeat, and length.
const MAX_PAUSES: usize = 200;
const PAUSE: Duration = Duration::from_millis(1);
/// Timeout for reading the chains or the price sources; after it the heartbeat reports them as unknown.
const STORE_TIMEOUT: Duration = Duration::from_millis(500);
/// Maximum number of stale sources listed; of the rest only the number is sent.
const MAX_LISTED: usize = 50;

type Listener = (Arc<Session>, Pace);

/// The fields of [`Heartbeat`](chaincast_protocol::Heartbeat) that all heartbeats of one second have in common.
struct SharedFields {
    head: String,
    /// `"chains":…`
    chains: String,
    /// `"staleSources":…` and `"moreStaleSources":…`.
    sources: String,
}

/// See the module's description.
pub(crate) struct Heartbeat {
    hub: Hub,
    log: Arc<dyn ChannelLog>,
    metrics: Arc<GatewayMetrics>,
    name: Arc<ChannelName>,
}

impl Heartbeat {
    pub(crate) fn new(hub: Hub, log: Arc<dyn ChannelLog>, metrics: Arc<GatewayMetrics>) -> Self {
        Self {
            hub,
            log,
            metrics,
            name: Arc::new(ChannelName::new(&Channel::Heartbeat)),
        }
    }

    /// Runs forever: sends the heartbeats.
    pub(crate) async fn run(&self) {
        let mut ticks = interval(HEARTBEAT_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        for number in 0_u64.. {
            ticks.tick().await;
            let listeners: Vec<Listener> = self
                .listeners()
                .into_iter()
                .filter(|(_, pace)| number.is_multiple_of(heartbeats_per_message(*pace)))
                .collect();
            if listeners.is_empty() {
                continue;
            }
            let chains = self.chain_health().await;
            let down = chains.iter().flatten();
            let down = down.filter(|chain| chain.status == ChainStatus::Down);
            let down: Vec<ChainId> = down.map(|chain| chain.chain_id).collect();
            let shared = SharedFields {
                sources: self.sources_json(&down).await,
                chains: format!(r#""chains":{}"#, to_json(&chains)),
                head: self.head_json(),
            };
            let batches = listeners.chunks(BATCH);
            let batches_per_pause = batches.len().div_ceil(MAX_PAUSES);
            for (number, batch) in batches.enumerate() {
                self.send_heartbeats(batch, &shared);
                match (number + 1).is_multiple_of(batches_per_pause) {
                    true => sleep(PAUSE).await,
                    false => yield_now().await,
                }
            }
        }
    }

    fn listeners(&self) -> Vec<Listener> {
        let channels = self.hub.channels();
        let slot = channels.find(&Channel::Heartbeat);
        slot.map_or_else(Vec::new, |slot| channels.slots[slot].listeners())
    }

    fn send_heartbeats(&self, listeners: &[Listener], shared: &SharedFields) {
        let now = now_ms();
        let SharedFields {
            head,
            chains: health,
            sources,
        } = shared;
        let mut queued = Vec::with_capacity(listeners.len());
        {
            // Publishing and attaching hold the same lock: updates up to the seqs are queued already, and the heartbeat
            // cannot follow the answer that ended its subscription.
            let mut guard = self.hub.channels();
            let (channels, held) = guard.split();
            for (session, _) in listeners {
                let Some(seqs) = seqs_json(session, channels, held) else {
                    continue;
                };
                let data = format!(
                    r#"{{"timestamp":{now},"head":{head},{health},"seqs":{seqs},{sources}}}"#
                );
                match self.queue(session, &data) {
                    true => queued.push(session),
                    false => self.metrics.conflated(1),
                }
            }
        }
        for session in queued {
            session.flush();
        }
    }

    /// Queues a heartbeat; `false` without room.
    fn queue(&self, session: &Session, data: &str) -> bool {
        let message = Message {
            event: EventName::Heartbeat.as_str(),
            channel: &self.name,
            seq: None,
            prev: None,
            snapshot: false,
            data,
        };
        session.offer_ephemeral(&message.encode(session.wire()), &self.name)
    }

    /// Number of the newest published block of the first chain.
    fn head_json(&self) -> String {
        #[derive(Deserialize)]
        struct Block {
            number: u64,
        }
        let newest = {
            let channels = self.hub.channels();
            let slot = channels.find(&Channel::NewBlock(None));
            slot.map(|slot| channels.slots[slot].snapshot.clone())
        };
        let number = match newest {
            Some(Snapshot::Newest(entry)) => serde_json::from_str::<Block>(&entry.data).ok(),
            _ => None,
        };
        number.map_or("null".to_owned(), |block| block.number.to_string())
    }

    /// The health of each chain; `None` when it cannot be read.
    async fn chain_health(&self) -> Option<Vec<ChainHealth>> {
        match timeout(STORE_TIMEOUT, self.log.chains()).await {
            Ok(Ok(chains)) => Some(chains),
            Ok(Err(error)) => {
                tracing::debug!(%error, "cannot read the health of the chains");
                None
            }
            Err(_) => None,
        }
    }

    /// The stale sources as JSON. Sources on chains that are `down` are stale.
    async fn sources_json(&self, down: &[ChainId]) -> String {
        let stale = match timeout(STORE_TIMEOUT, self.log.stale_sources(down)).await {
            Ok(Ok(stale)) => Some(stale),
            Ok(Err(error)) => {
                tracing::debug!(%error, "cannot read the price sources");
                None
            }
            Err(_) => None,
        };
        let Some(stale) = stale else {
            return r#""staleSources":null"#.to_owned();
        };
        let listed = &stale[..stale.len().min(MAX_LISTED)];
        let mut json = format!(r#""staleSources":{}"#, to_json(&listed));
        if let Some(more @ 1..) = stale.len().checked_sub(MAX_LISTED) {
            // Writing into a String does not fail.
            let _ = write!(json, r#","moreStaleSources":{more}"#);
        }
        json
    }
}

/// The seqs of a session's channels as a JSON object; `None` when it is no longer subscribed to the heartbeat.
fn seqs_json(session: &Session, channels: &Channels, held: Held<'_>) -> Option<String> {
    let mut json = String::from("{");
    let mut subscribed = false;
    for subscription in session.subscriptions(held).iter() {
        if subscription.channel == Channel::Heartbeat {
            subscribed = true;
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
    subscribed.then_some(json)
}

/// A subscription receives one of this many heartbeats.
fn heartbeats_per_message(pace: Pace) -> u64 {
    (u64::from(pace.interval().ms()) / HEARTBEAT_INTERVAL.as_millis() as u64).max(1)
}
