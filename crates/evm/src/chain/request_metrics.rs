//! Metrics of single requests. Labels are names from the configuration, never URLs.

use std::time::Duration;

use metrics::{Unit, describe_histogram, histogram};

use chaincast_protocol::ChainId;

pub(super) fn describe() {
    describe_histogram!(
        "chaincast_chain_request_seconds",
        Unit::Seconds,
        "Time from a request to a provider to its answer, valid or not"
    );
}

/// Records the duration of a request.
pub(super) fn record(chain_id: ChainId, provider: &str, method: &'static str, took: Duration) {
    histogram!(
        "chaincast_chain_request_seconds",
        "chain_id" => chain_id.to_string(), "provider" => provider.to_owned(), "method" => method
    )
    .record(took.as_secs_f64());
}
