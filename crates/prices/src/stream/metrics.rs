//! Metrics of the feeds. The label `feed` is the feed's name: the venue, with its host if that is not the default, and
//! a number if there are several.

use std::time::Duration;

use ::metrics::{Counter, Gauge, counter, describe_counter, describe_gauge, gauge};

use super::super::{PriceFault, disconnect::Disconnect};

/// The metrics of one feed, looked up once.
pub(in super::super) struct FeedMetrics {
    feed: String,
    connected: Gauge,
    connections: Gauge,
    limited: Gauge,
    messages: Counter,
    last_message: Gauge,
}

fn describe() {
    describe_gauge!(
        "chaincast_price_feed_connected",
        "1 while a price feed is connected, else 0"
    );
    describe_gauge!(
        "chaincast_price_feed_connections",
        "Open connections of a feed"
    );
    describe_gauge!(
        "chaincast_price_feed_limited",
        "1 while the venue of a feed reports restricted trading, else 0"
    );
    describe_counter!(
        "chaincast_price_feed_reconnects_total",
        "Connections of a feed that ended or were replaced, and attempts that failed, by reason"
    );
    describe_counter!(
        "chaincast_price_feed_messages_total",
        "Messages that a feed received"
    );
    describe_gauge!(
        "chaincast_price_feed_last_message_timestamp_seconds",
        "When a feed last received a message, in seconds since 1970"
    );
    describe_counter!(
        "chaincast_price_feed_refused_total",
        "Observations of a feed that gave no tick, by reason"
    );
}

impl FeedMetrics {
    pub(in super::super) fn new(feed: &str) -> Self {
        describe();
        let feed = feed.to_owned();
        // Export zero before the first event.
        for reason in Disconnect::REASONS {
            reconnects(&feed, reason).increment(0);
        }
        for reason in PriceFault::REASONS {
            refused(&feed, reason).increment(0);
        }
        let connected = gauge!("chaincast_price_feed_connected", "feed" => feed.clone());
        connected.set(0_u8);
        let limited = gauge!("chaincast_price_feed_limited", "feed" => feed.clone());
        limited.set(0_u8);
        let connections = gauge!("chaincast_price_feed_connections", "feed" => feed.clone());
        connections.set(0_u8);
        Self {
            connected,
            connections,
            limited,
            messages: counter!("chaincast_price_feed_messages_total", "feed" => feed.clone()),
            last_message: gauge!(
                "chaincast_price_feed_last_message_timestamp_seconds", "feed" => feed.clone()
            ),
            feed,
        }
    }

    /// Sets the number of open connections.
    pub(in super::super) fn connections(&self, open: usize) {
        self.connected.set(u8::from(open > 0));
        self.connections
            .set(u32::try_from(open).unwrap_or(u32::MAX));
    }

    pub(in super::super) fn limited(&self, limited: bool) {
        self.limited.set(u8::from(limited));
    }

    pub(in super::super) fn message(&self, now_ms: i64) {
        self.messages.increment(1);
        self.last_message
            .set(Duration::from_millis(now_ms.unsigned_abs()));
    }

    pub(in super::super) fn reconnect(&self, disconnect: &Disconnect) {
        reconnects(&self.feed, disconnect.reason()).increment(1);
    }

    pub(in super::super) fn refused(&self, reason: &'static str) {
        refused(&self.feed, reason).increment(1);
    }
}

impl Drop for FeedMetrics {
    /// Resets the gauges of a stopped feed.
    fn drop(&mut self) {
        self.limited(false);
        self.connections(0);
    }
}

fn reconnects(feed: &str, reason: &'static str) -> Counter {
    counter!("chaincast_price_feed_reconnects_total", "feed" => feed.to_owned(), "reason" => reason)
}

fn refused(feed: &str, reason: &'static str) -> Counter {
    counter!("chaincast_price_feed_refused_total", "feed" => feed.to_owned(), "reason" => reason)
}
