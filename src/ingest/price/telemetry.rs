//! Metrics of the price writer.

use std::time::Duration;

use metrics::{
    Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram,
};

use crate::model::Price;

pub(super) fn describe() {
    describe_counter!(
        "chaincast_price_updates_total",
        "Price updates committed, by token"
    );
    describe_histogram!(
        "chaincast_price_commit_seconds",
        Unit::Seconds,
        "From the begin of a transaction of prices to its commit"
    );
    describe_gauge!(
        "chaincast_price_age_seconds",
        Unit::Seconds,
        "Age of the newest tick in each token's price"
    );
}

pub(super) fn committed(prices: &[Price], took: Duration) {
    histogram!("chaincast_price_commit_seconds").record(took);
    for price in prices {
        counter!("chaincast_price_updates_total", "token" => price.token.to_string()).increment(1);
    }
}

pub(super) fn ages<'a>(prices: impl Iterator<Item = &'a Price>, now_ms: i64) {
    for price in prices {
        let age = Duration::from_millis(super::age_ms(price, now_ms).unsigned_abs());
        gauge!("chaincast_price_age_seconds", "token" => price.token.to_string())
            .set(age.as_secs_f64());
    }
}
