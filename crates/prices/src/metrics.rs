//! Metrics of ticks and rejections.

use ::metrics::{Counter, counter, describe_counter, describe_gauge, gauge};

use super::TickFault;
use chaincast_protocol::Token;

pub(super) fn describe() {
    describe_counter!(
        "chaincast_price_ticks_total",
        "Ticks read, by token and source"
    );
    describe_counter!(
        "chaincast_price_ticks_conflated_total",
        "Ticks replaced by a newer one of their source because the price writer was behind"
    );
    describe_counter!(
        "chaincast_price_refused_total",
        "Observations that gave no tick, by reason"
    );
    describe_gauge!(
        "chaincast_price_source_refused",
        "1 while a source on a chain is not read because its configuration contradicts its contract, else 0"
    );
    describe_counter!(
        "chaincast_price_aggregator_changes_total",
        "Changes of the aggregator of a Chainlink proxy"
    );
}

pub(super) fn tick(token: &Token, source: &str) {
    tick_counter(token, source).increment(1);
}

/// The counter of a source's ticks, for frequent use.
pub(super) fn tick_counter(token: &Token, source: &str) -> Counter {
    counter!(
        "chaincast_price_ticks_total",
        "token" => token.to_string(), "source" => source.to_owned()
    )
}

pub(super) fn refused(fault: &TickFault) {
    counter!("chaincast_price_refused_total", "reason" => fault.reason()).increment(1);
}

/// Sets whether a source on a chain is rejected.
pub(super) fn source_refused(token: &Token, source: &str, refused: bool) {
    gauge!(
        "chaincast_price_source_refused",
        "token" => token.to_string(), "source" => source.to_owned()
    )
    .set(u8::from(refused));
}

pub(super) fn aggregator_changed(token: &Token, source: &str) {
    counter!(
        "chaincast_price_aggregator_changes_total",
        "token" => token.to_string(), "source" => source.to_owned()
    )
    .increment(1);
}
