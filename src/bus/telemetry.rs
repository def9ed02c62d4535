//! Metrics of the bus, and log lines about messages that are not taken.

use std::time::{Duration, Instant};

use metrics::{counter, describe_counter, describe_gauge, gauge};
use parking_lot::Mutex;

use super::parcel::Rejection;

/// One line about rejected messages in this time, whoever sends how many.
const LOG_EVERY: Duration = Duration::from_secs(60);

/// Describes them, and shows 0 for what did not happen yet.
pub(super) fn describe() {
    describe_counter!(
        "chaincast_bus_lagged_total",
        "Commits that a busy hub missed and read from the store instead"
    );
    describe_counter!(
        "chaincast_bus_gaps_total",
        "Gaps in a channel's seqs that were filled from the store"
    );
    describe_counter!(
        "chaincast_bus_redis_skipped_total",
        "Commits that were not sent through Redis; other processes find them in the store"
    );
    describe_counter!(
        "chaincast_bus_redis_rejected_total",
        "Messages on the Redis channel that were rejected, by reason"
    );
    describe_gauge!(
        "chaincast_bus_redis_connected",
        "1 while updates of other processes arrive through Redis, else 0"
    );
    counter!("chaincast_bus_lagged_total").increment(0);
    counter!("chaincast_bus_gaps_total").increment(0);
    counter!("chaincast_bus_redis_skipped_total").increment(0);
    for rejection in Rejection::ALL {
        counter!("chaincast_bus_redis_rejected_total", "reason" => rejection.word()).increment(0);
    }
    connected(false);
}

pub(super) fn skipped() {
    counter!("chaincast_bus_redis_skipped_total").increment(1);
}

pub(super) fn connected(yes: bool) {
    gauge!("chaincast_bus_redis_connected").set(f64::from(u8::from(yes)));
}

/// Counts a message that was not taken. Of all of them one is logged in a while: whoever may publish in Redis could
/// else fill the log.
pub(super) fn rejected(rejection: Rejection) {
    static LAST: Mutex<Option<Instant>> = Mutex::new(None);
    counter!("chaincast_bus_redis_rejected_total", "reason" => rejection.word()).increment(1);
    let now = Instant::now();
    let mut last = LAST.lock();
    if last.is_none_or(|last| now.duration_since(last) >= LOG_EVERY) {
        *last = Some(now);
        tracing::warn!(
            reason = rejection.word(),
            "rejected a message on the Redis channel; another program publishes there, or a process has another \
             bus.redis_key"
        );
    }
}
