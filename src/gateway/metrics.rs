//! The gateway's metrics, with handles kept so that the fan-out looks nothing up.
//!
//! Every label has a fixed set of values: what a client sends never becomes one.

mod describe;

use std::{sync::Arc, time::Instant};

use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};

use super::{
    CloseReason, ErrorCode, Refusal, backlog::Backlog, commits::Way, encode::Transport,
    outbox::Sent, protocol::Request,
};
use crate::model::Channel;

/// The kinds of channels that subscriptions are counted by.
const KINDS: [&str; 8] = [
    "new-block",
    "price",
    "heartbeat",
    "user",
    "tx",
    "address",
    "contract",
    "candle",
];
/// The events that requests are counted by; the last is for what is no request.
const EVENTS: [&str; 7] = [
    "subscribe",
    "unsubscribe",
    "ping",
    "auth",
    "subscriptions",
    "acknowledge",
    "invalid",
];

/// Where what a returning client missed was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resumed {
    /// In the channel's ring, or there was nothing to be found.
    Memory,
    /// The store is read for it.
    Store,
    /// Nowhere: the client was told `recovered:false`.
    Refused,
}

impl Resumed {
    const ALL: [Self; 3] = [Self::Memory, Self::Store, Self::Refused];

    fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Store => "store",
            Self::Refused => "refused",
        }
    }
}

/// Which limit a watch was beyond.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WatchLimit {
    /// `gateway.limits.watches_per_address`
    Address,
    /// `gateway.limits.watches_per_subject`
    Subject,
    /// `gateway.watches`
    Deployment,
}

impl WatchLimit {
    const ALL: [Self; 3] = [Self::Address, Self::Subject, Self::Deployment];

    fn name(self) -> &'static str {
        match self {
            Self::Address => "address",
            Self::Subject => "subject",
            Self::Deployment => "deployment",
        }
    }
}

/// What was sent to many sessions, by transport.
#[derive(Debug, Clone, Copy, Default)]
pub struct Tally([Sent; 3]);

impl Tally {
    pub fn add(&mut self, transport: Transport, sent: Sent) {
        self.0[transport as usize] += sent;
    }
}

/// See the module's description. Made once a hub, after the process's recorder was installed.
pub struct GatewayMetrics {
    sessions: [Gauge; 3],
    subscriptions: [Gauge; KINDS.len()],
    messages_in: [Counter; EVENTS.len()],
    bytes_in: [Counter; 3],
    messages_out: [Counter; 3],
    bytes_out: [Counter; 3],
    send_errors: Counter,
    backlog_bytes: Gauge,
    backlog_largest: Gauge,
    backlog_sessions: Gauge,
    relieved: Counter,
    conflated: Counter,
    rate_limited: Counter,
    resumes: [Counter; 3],
    watches_refused: [Counter; 3],
    fanout: Histogram,
}

impl GatewayMetrics {
    pub fn new() -> Self {
        describe::describe();
        describe::show_zeros();
        Self {
            sessions: Transport::ALL
                .map(|t| gauge!("chaincast_gateway_sessions", "transport" => t.name())),
            subscriptions: KINDS
                .map(|kind| gauge!("chaincast_gateway_subscriptions", "kind" => kind)),
            messages_in: EVENTS
                .map(|event| counter!("chaincast_gateway_messages_in_total", "event" => event)),
            bytes_in: Transport::ALL
                .map(|t| counter!("chaincast_gateway_bytes_in_total", "transport" => t.name())),
            messages_out: Transport::ALL
                .map(|t| counter!("chaincast_gateway_messages_out_total", "transport" => t.name())),
            bytes_out: Transport::ALL
                .map(|t| counter!("chaincast_gateway_bytes_out_total", "transport" => t.name())),
            send_errors: counter!("chaincast_gateway_send_errors_total"),
            backlog_bytes: gauge!("chaincast_gateway_backlog_bytes"),
            backlog_largest: gauge!("chaincast_gateway_backlog_largest_bytes"),
            backlog_sessions: gauge!("chaincast_gateway_backlog_sessions"),
            relieved: counter!("chaincast_gateway_backlog_closed_total"),
            conflated: counter!("chaincast_gateway_conflated_total"),
            rate_limited: counter!("chaincast_gateway_rate_limited_total"),
            resumes: Resumed::ALL
                .map(|from| counter!("chaincast_gateway_resumes_total", "from" => from.name())),
            watches_refused: WatchLimit::ALL.map(|limit| {
                counter!("chaincast_gateway_watches_refused_total", "limit" => limit.name())
            }),
            fanout: histogram!("chaincast_gateway_fanout_seconds"),
        }
    }

    pub fn opened(&self, transport: Transport) {
        self.sessions[transport as usize].increment(1);
    }

    pub fn closed(&self, transport: Transport, reason: &CloseReason) {
        self.sessions[transport as usize].decrement(1);
        counter!("chaincast_gateway_closed_total", "code" => code(reason)).increment(1);
    }

    pub fn subscribed(&self, channel: &Channel) {
        self.subscriptions[kind(channel)].increment(1);
    }

    pub fn unsubscribed(&self, channel: &Channel) {
        self.subscriptions[kind(channel)].decrement(1);
    }

    /// A request arrived, or what should have been one.
    pub fn received(&self, request: &Result<Request, Refusal>) {
        let event = match request {
            Ok(Request::Subscribe(_)) => 0,
            Ok(Request::Unsubscribe(_)) => 1,
            Ok(Request::Ping) => 2,
            Ok(Request::Auth { .. }) => 3,
            Ok(Request::Subscriptions) => 4,
            Ok(Request::Acknowledge(_)) => 5,
            Err(_) => 6,
        };
        self.messages_in[event].increment(1);
    }

    /// A request was answered with an error.
    pub fn request_refused(&self, code: ErrorCode) {
        counter!("chaincast_gateway_requests_refused_total", "code" => code.as_str()).increment(1);
    }

    pub fn rate_limited(&self) {
        self.rate_limited.increment(1);
    }

    /// A connection was refused before it became a session, or a client on it did not get in.
    pub fn handshake_refused(&self, transport: Transport, reason: &'static str) {
        counter!(
            "chaincast_gateway_handshakes_refused_total",
            "transport" => transport.name(),
            "reason" => reason
        )
        .increment(1);
    }

    /// Bytes came from a client.
    pub fn read(&self, transport: Transport, bytes: usize) {
        self.bytes_in[transport as usize].increment(bytes as u64);
    }

    /// Something was given to the socket of a session.
    pub fn sent(&self, transport: Transport, sent: Sent) {
        if sent != Sent::default() {
            self.messages_out[transport as usize].increment(sent.packets as u64);
            self.bytes_out[transport as usize].increment(sent.bytes as u64);
        }
    }

    /// Something was given to the sockets of many sessions.
    pub fn sent_all(&self, tally: &Tally) {
        for (transport, sent) in Transport::ALL.into_iter().zip(tally.0) {
            self.sent(transport, sent);
        }
    }

    /// A socket could not be written to.
    pub fn send_failed(&self) {
        self.send_errors.increment(1);
    }

    pub fn conflated(&self, count: u64) {
        if count > 0 {
            self.conflated.increment(count);
        }
    }

    /// Sessions were closed because too much waited for all.
    pub fn relieved(&self, sessions: u64) {
        self.relieved.increment(sessions);
    }

    /// A client asked for what came after a position.
    pub fn resumed(&self, from: Resumed) {
        self.resumes[from as usize].increment(1);
    }

    /// A transaction or an address is not watched for a client.
    pub fn watch_refused(&self, limit: WatchLimit) {
        self.watches_refused[limit as usize].increment(1);
    }

    pub fn backlog(&self, backlog: Backlog) {
        self.backlog_bytes.set(backlog.bytes as f64);
        self.backlog_largest.set(backlog.largest as f64);
        self.backlog_sessions.set(backlog.sessions as f64);
    }

    /// A commit begins its way to the sockets; how long it takes is counted when it has arrived.
    pub fn on_its_way(&self, committed: Instant) -> Arc<Way> {
        let fanout = self.fanout.clone();
        Way::new(committed, move |took| fanout.record(took))
    }
}

fn kind(channel: &Channel) -> usize {
    match channel {
        Channel::NewBlock(_) => 0,
        Channel::Price(_) => 1,
        Channel::Heartbeat => 2,
        Channel::User(_) => 3,
        Channel::Tx(_) => 4,
        Channel::Address(_) => 5,
        Channel::Contract(..) => 6,
        Channel::Candle(..) => 7,
    }
}

/// Clients choose their own codes when they leave: those count as one.
fn code(reason: &CloseReason) -> String {
    match reason {
        CloseReason::Left(_) => "1000".to_owned(),
        other => other.code().to_string(),
    }
}
