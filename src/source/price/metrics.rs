//! Counters of what the sources gave and what was refused.

use ::metrics::{Counter, counter, describe_counter};

use super::TickFault;
use crate::model::Token;

pub(super) fn describe() {
    describe_counter!(
        "chaincast_price_ticks_total",
        "Ticks read, by token and source"
    );
    describe_counter!(
        "chaincast_price_ticks_conflated_total",
        "Ticks that a newer one of their source replaced because the price writer was behind"
    );
    describe_counter!(
        "chaincast_price_refused_total",
        "Observations that gave no tick, by reason"
    );
}

pub(super) fn tick(token: &Token, source: &str) {
    ticks(token, source).increment(1);
}

/// The counter of one source's ticks, for who counts many.
pub(super) fn ticks(token: &Token, source: &str) -> Counter {
    counter!(
        "chaincast_price_ticks_total",
        "token" => token.to_string(), "source" => source.to_owned()
    )
}

pub(super) fn refused(fault: &TickFault) {
    counter!("chaincast_price_refused_total", "reason" => fault.reason()).increment(1);
}
