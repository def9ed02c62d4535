//! The gateway's metrics, with handles kept so that the fan-out looks nothing up.

use std::time::Instant;

use metrics::{Counter, Gauge, Histogram, Unit, counter, gauge, histogram};

use super::{CloseReason, encode::Transport};

/// See the module's description. Made once a hub, after the process's recorder was installed.
pub struct GatewayMetrics {
    sessions: [Gauge; 3],
    subscriptions: Gauge,
    messages_in: Counter,
    messages_out: Counter,
    bytes_out: Counter,
    conflated: Counter,
    fanout: Histogram,
}

impl GatewayMetrics {
    pub fn new() -> Self {
        describe();
        Self {
            sessions: Transport::ALL.map(
                |transport| gauge!("chaincast_gateway_sessions", "transport" => transport.name()),
            ),
            subscriptions: gauge!("chaincast_gateway_subscriptions"),
            messages_in: counter!("chaincast_gateway_messages_in_total"),
            messages_out: counter!("chaincast_gateway_messages_out_total"),
            bytes_out: counter!("chaincast_gateway_bytes_out_total"),
            conflated: counter!("chaincast_gateway_conflated_total"),
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

    pub fn subscribed(&self, count: usize) {
        self.subscriptions.increment(count as f64);
    }

    pub fn unsubscribed(&self, count: usize) {
        self.subscriptions.decrement(count as f64);
    }

    pub fn received(&self) {
        self.messages_in.increment(1);
    }

    pub fn sent(&self, packets: usize, bytes: usize) {
        self.messages_out.increment(packets as u64);
        self.bytes_out.increment(bytes as u64);
    }

    pub fn conflated(&self, count: u64) {
        if count > 0 {
            self.conflated.increment(count);
        }
    }

    /// A commit that was seen at `seen` has been written to everyone who could take it.
    pub fn fanned_out(&self, seen: Instant) {
        self.fanout.record(seen.elapsed());
    }
}

/// Clients choose their own codes when they leave: those count as one.
fn code(reason: &CloseReason) -> String {
    match reason {
        CloseReason::Left(_) => "1000".to_owned(),
        other => other.code().to_string(),
    }
}

fn describe() {
    use metrics::{describe_counter, describe_gauge, describe_histogram};
    describe_gauge!("chaincast_gateway_sessions", "Open sessions, by transport");
    describe_gauge!(
        "chaincast_gateway_subscriptions",
        "Subscriptions of all sessions"
    );
    describe_counter!(
        "chaincast_gateway_messages_in_total",
        "Requests that arrived"
    );
    describe_counter!(
        "chaincast_gateway_messages_out_total",
        "Messages given to sockets"
    );
    describe_counter!(
        "chaincast_gateway_bytes_out_total",
        Unit::Bytes,
        "Bytes given to sockets"
    );
    describe_counter!(
        "chaincast_gateway_closed_total",
        "Ended sessions, by close code"
    );
    describe_counter!(
        "chaincast_gateway_conflated_total",
        "Updates that were left out for newer ones because a session was slow"
    );
    describe_histogram!(
        "chaincast_gateway_fanout_seconds",
        Unit::Seconds,
        "From a commit being seen to its last write"
    );
}
