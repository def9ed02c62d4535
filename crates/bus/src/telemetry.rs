//! Metrics of the bus, and log lines about rejected messages.

use metrics::{counter, describe_counter, describe_gauge, gauge};
use parking_lot::Mutex;

use super::remote::Rejection;
use chaincast_base::telemetry::log_limit::{LOG_INTERVAL, LogLimit};

/// Why a live message was dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LiveDrop {
    /// Redis was unreachable or too slow, so other processes did not get it.
    NotSent,
    /// It arrived from other processes faster than it was read.
    Overflow,
    /// The hub was too slow.
    Lagged,
}

impl LiveDrop {
    const ALL: [Self; 3] = [Self::NotSent, Self::Overflow, Self::Lagged];

    /// The label in metrics.
    fn label(self) -> &'static str {
        match self {
            Self::NotSent => "not_sent",
            Self::Overflow => "overflow",
            Self::Lagged => "lagged",
        }
    }
}

/// Describes the metrics and initializes the counters to 0.
pub(super) fn describe() {
    describe_counter!(
        "chaincast_bus_lagged_total",
        "Commits that a lagging hub missed and read from the store"
    );
    describe_counter!(
        "chaincast_bus_gaps_total",
        "Gaps in the seqs of a channel, filled from the store"
    );
    describe_counter!(
        "chaincast_bus_redis_skipped_total",
        "Commits not sent through Redis; other processes read them from the store"
    );
    describe_counter!(
        "chaincast_bus_redis_rejected_total",
        "Rejected messages on the Redis channels, by reason"
    );
    describe_counter!(
        "chaincast_bus_live_dropped_total",
        "Live messages that were dropped, by reason"
    );
    describe_gauge!(
        "chaincast_bus_redis_connected",
        "1 while subscribed to the Redis channel of updates, else 0"
    );
    counter!("chaincast_bus_lagged_total").increment(0);
    counter!("chaincast_bus_gaps_total").increment(0);
    counter!("chaincast_bus_redis_skipped_total").increment(0);
    for rejection in Rejection::ALL {
        counter!("chaincast_bus_redis_rejected_total", "reason" => rejection.label()).increment(0);
    }
    for reason in LiveDrop::ALL {
        live_dropped(reason, 0);
    }
    connected(false);
}

pub(super) fn skipped() {
    counter!("chaincast_bus_redis_skipped_total").increment(1);
}

pub(super) fn connected(yes: bool) {
    gauge!("chaincast_bus_redis_connected").set(f64::from(u8::from(yes)));
}

/// Counts dropped live messages.
pub(super) fn live_dropped(reason: LiveDrop, count: u64) {
    counter!("chaincast_bus_live_dropped_total", "reason" => reason.label()).increment(count);
}

/// Counts a rejected message. Logs at most one per [`LOG_INTERVAL`], so a Redis client cannot flood the log.
pub(super) fn rejected(rejection: Rejection) {
    static LIMIT: Mutex<LogLimit> = Mutex::new(LogLimit::new(1, LOG_INTERVAL));
    counter!("chaincast_bus_redis_rejected_total", "reason" => rejection.label()).increment(1);
    if LIMIT.lock().is_due("rejected") {
        tracing::warn!(
            reason = rejection.label(),
            "rejected a message on a Redis channel; does another program publish there, or does a process use a \
             different bus.redis_key?"
        );
    }
}
