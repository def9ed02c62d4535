//! The gateway's metrics. Handles are kept, so the fan-out needs no lookup.
//!
//! Every label has a fixed set of values; text from clients never becomes a label.

use std::{sync::Arc, time::Instant};

use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};

use super::{
    backlog::Backlog,
    describe::{describe, initialize_counters},
    fanout_latency::PendingCommit,
    sent::{Sent, Tally},
};
use chaincast_protocol::{
    Channel, CloseReason, ErrorCode, Refusal, channel::KINDS, encode::Transport, request::Request,
};

/// Request events, the label of the request counter; the last one counts invalid requests.
const EVENTS: [&str; 10] = [
    "subscribe",
    "unsubscribe",
    "ping",
    "auth",
    "subscriptions",
    "acknowledge",
    "publish",
    "signal",
    "presence",
    "invalid",
];

/// Where the updates that a resuming client missed were found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResumeSource {
    /// In the channel's ring, or no update was missed.
    Memory,
    /// In the store.
    Store,
    /// Not available: the answer has `recovered: false`.
    Refused,
}

impl ResumeSource {
    const ALL: [Self; 3] = [Self::Memory, Self::Store, Self::Refused];

    fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Store => "store",
            Self::Refused => "refused",
        }
    }
}

/// The limit that a watch exceeded.
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

/// See the module's description. Create one per hub, after the process's recorder was installed.
pub struct GatewayMetrics {
    sessions: [Gauge; 3],
    /// In the order of [`KINDS`].
    subscriptions: Vec<Gauge>,
    messages_in: [Counter; EVENTS.len()],
    bytes_in: [Counter; 3],
    messages_out: [Counter; 3],
    bytes_out: [Counter; 3],
    send_errors: Counter,
    backlog_bytes: Gauge,
    backlog_largest: Gauge,
    backlog_sessions: Gauge,
    evicted: Counter,
    conflated: Counter,
    rate_limited: Counter,
    resumes: [Counter; 3],
    watches_refused: [Counter; 3],
    fanout: Histogram,
}

impl GatewayMetrics {
    pub fn new() -> Self {
        describe();
        initialize_counters();
        Self {
            sessions: Transport::ALL
                .map(|t| gauge!("chaincast_gateway_sessions", "transport" => t.name())),
            subscriptions: KINDS
                .iter()
                .map(|kind| gauge!("chaincast_gateway_subscriptions", "kind" => kind.prefix))
                .collect(),
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
            evicted: counter!("chaincast_gateway_backlog_closed_total"),
            conflated: counter!("chaincast_gateway_conflated_total"),
            rate_limited: counter!("chaincast_gateway_rate_limited_total"),
            resumes: ResumeSource::ALL
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
        self.subscriptions[channel.kind_index()].increment(1);
    }

    pub fn unsubscribed(&self, channel: &Channel) {
        self.subscriptions[channel.kind_index()].decrement(1);
    }

    /// A request arrived, valid or not.
    pub fn received(&self, request: &Result<Request, Refusal>) {
        let event = match request {
            Ok(Request::Subscribe(_)) => 0,
            Ok(Request::Unsubscribe(_)) => 1,
            Ok(Request::Ping) => 2,
            Ok(Request::Auth { .. }) => 3,
            Ok(Request::Subscriptions) => 4,
            Ok(Request::Acknowledge(_)) => 5,
            Ok(Request::Publish(_)) => 6,
            Ok(Request::Signal(_)) => 7,
            Ok(Request::Presence { .. }) => 8,
            Err(_) => 9,
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

    /// A connection, or a client's join within a connection, was refused.
    pub fn handshake_refused(&self, transport: Transport, reason: &'static str) {
        counter!(
            "chaincast_gateway_handshakes_refused_total",
            "transport" => transport.name(),
            "reason" => reason
        )
        .increment(1);
    }

    /// Bytes arrived from a client.
    pub fn read(&self, transport: Transport, bytes: usize) {
        self.bytes_in[transport as usize].increment(bytes as u64);
    }

    /// Packets were written to a session's socket.
    pub fn sent(&self, transport: Transport, sent: Sent) {
        if sent != Sent::default() {
            self.messages_out[transport as usize].increment(sent.packets as u64);
            self.bytes_out[transport as usize].increment(sent.bytes as u64);
        }
    }

    /// Packets were written to the sockets of many sessions.
    pub fn sent_all(&self, tally: &Tally) {
        for (transport, sent) in tally.by_transport() {
            self.sent(transport, sent);
        }
    }

    /// A write to a socket failed.
    pub fn send_failed(&self) {
        self.send_errors.increment(1);
    }

    pub fn conflated(&self, count: u64) {
        if count > 0 {
            self.conflated.increment(count);
        }
    }

    /// Sessions were closed because the backlog of all sessions exceeded its limit.
    pub fn evicted(&self, sessions: u64) {
        self.evicted.increment(sessions);
    }

    /// A subscription with a position was answered.
    pub fn resumed(&self, from: ResumeSource) {
        self.resumes[from as usize].increment(1);
    }

    /// A watch of a transaction or an address was refused.
    pub fn watch_refused(&self, limit: WatchLimit) {
        self.watches_refused[limit as usize].increment(1);
    }

    pub fn backlog(&self, backlog: Backlog) {
        self.backlog_bytes.set(backlog.bytes as f64);
        self.backlog_largest.set(backlog.largest as f64);
        self.backlog_sessions.set(backlog.sessions as f64);
    }

    /// Measures the fan-out latency of a commit: recorded when the last flusher drops the returned value.
    pub fn track_commit(&self, committed: Instant) -> Arc<PendingCommit> {
        let fanout = self.fanout.clone();
        PendingCommit::new(committed, move |took| fanout.record(took))
    }
}

/// The close code as a label. Codes chosen by clients all count as 1000.
fn code(reason: &CloseReason) -> String {
    match reason {
        CloseReason::Left(_) => "1000".to_owned(),
        other => other.code().to_string(),
    }
}
