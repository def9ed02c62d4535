//! Metrics of the bus.

use metrics::{counter, describe_counter};

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
    counter!("chaincast_bus_lagged_total").increment(0);
    counter!("chaincast_bus_gaps_total").increment(0);
    counter!("chaincast_bus_redis_skipped_total").increment(0);
}
