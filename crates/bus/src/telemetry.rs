//! Metrics of the bus, and log lines about rejected messages.

use metrics::{counter, describe_counter, describe_gauge, gauge};
use parking_lot::Mutex;

use super::redis_message::Rejection;
use chaincast_base::telemetry::log_limit::{LOG_INTERVAL, LogLimit};

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
        "Rejected messages on the Redis channel, by reason"
    );
    describe_gauge!(
        "chaincast_bus_redis_connected",
        "1 while subscribed to the Redis channel, else 0"
    );
    counter!("chaincast_bus_lagged_total").increment(0);
    counter!("chaincast_bus_gaps_total").increment(0);
    counter!("chaincast_bus_redis_skipped_total").increment(0);
    for rejection in Rejection::ALL {
        counter!("chaincast_bus_redis_rejected_total", "reason" => rejection.label()).increment(0);
    }
    connected(false);
}

pub(super) fn skipped() {
    counter!("chaincast_bus_redis_skipped_total").increment(1);
}

pub(super) fn connected(yes: bool) {
    gauge!("chaincast_bus_redis_connected").set(f64::from(u8::from(yes)));
}

/// Counts a rejected message. Logs at most one per [`LOG_INTERVAL`], so a Redis client cannot flood the log.
pub(super) fn rejected(rejection: Rejection) {
    static LIMIT: Mutex<LogLimit> = Mutex::new(LogLimit::new(1, LOG_INTERVAL));
    counter!("chaincast_bus_redis_rejected_total", "reason" => rejection.label()).increment(1);
    if LIMIT.lock().is_due("rejected") {
        tracing::warn!(
            reason = rejection.label(),
            "rejected a message on the Redis channel; does another program publish there, or does a process use a \
             different bus.redis_key?"
        );
    }
}
