//! The keys of `[prices.exchanges]`, and those that the sources of most venues have.

use super::super::spelling::{lower_scheme, upper_case};
use chaincast_base::settings::settings;

macro_rules! exchange_config {
    ($first:ident, $($other:ident,)*) => {
        settings! {
            /// `[prices.exchanges]`: settings of the connections to exchanges.
            pub struct ExchangeConfig {
                /// Time limit for TCP, TLS and handshake.
                connect_timeout_ms: u64 = 10_000, range(100, 60_000);
                /// First delay before a reconnect, at most `backoff_max_ms`; each delay doubles, with random jitter
                /// over its upper half.
                backoff_ms: u64 = 500, range(10, 600_000);
                /// Longest delay.
                backoff_max_ms: u64 = 30_000, range(10, 600_000);
                /// A connection that lasted this long resets the delay to `backoff_ms`.
                stable_ms: u64 = 60_000, range(0, 3_600_000);
                /// Missed heartbeats of the venue after which a connection is closed; pyth uses `silence_ms`.
                missed_heartbeats: u32 = 3, range(2, 100), unit("heartbeats");
                /// A source without a tick for this long after connecting is reported as silent.
                first_tick_ms: u64 = 30_000, range(100, 3_600_000);
                /// Age at which a working connection is replaced; venues close theirs after a day.
                rotate_after_ms: u64 = 82_800_000, range(100, 84_600_000);
                /// Maximum size of a message; a longer one closes the connection.
                message_bytes: usize = 1_048_576, range(1_024, 64 << 20);
                /// Concurrent connections per venue, each with all symbols: the first tick to arrive counts.
                connections: u32 = 1, range(1, MAX_CONNECTIONS);
                /// A connection or stream whose prices all arrive this long after the venue's timestamp is replaced,
                /// unless all venues are late; 0 for never.
                late_ms: u64 = 10_000, zero_or(100, 3_600_000);
                /// Once that has lasted this long; twice as long if the replacement is late too.
                late_for_ms: u64 = 30_000, range(100, 3_600_000);
                /// The local clock is reported as wrong if the prices of two or more venues are all late, or all
                /// early, by more than this and by about the same amount.
                clock_off_ms: u64 = 2_000, range(100, 3_600_000);
                /// Settings of one venue.
                $first: VenueConfig = VenueConfig::default();
                $($other: VenueConfig = VenueConfig::default();)*
            }
        }

        /// What `[prices.exchanges]` is for.
        pub(in super::super) const TEXT: &[&str] = &[concat!(
            "Connections of ", stringify!($first), $(", ", stringify!($other),)*
            " and pyth sources; http uses only `backoff_max_ms`."
        )];

        impl ExchangeConfig {
            /// The sections of the venues.
            fn venues(&self) -> impl Iterator<Item = (&'static str, &VenueConfig)> {
                [
                    (stringify!($first), &self.$first),
                    $((stringify!($other), &self.$other),)*
                ]
                .into_iter()
            }

            /// One connection per venue, for a single probe.
            pub(in super::super) fn single_connections(self) -> Self {
                Self {
                    connections: 1,
                    $first: VenueConfig::default(),
                    $($other: VenueConfig::default(),)*
                    ..self
                }
            }
        }
    };
}

exchanges!(exchange_config);

settings! {
    /// `[prices.exchanges.VENUE]`
    pub struct VenueConfig {
        /// Overrides `connections` of [prices.exchanges].
        connections: Option<u32> = None, range(1, MAX_CONNECTIONS), example("2");
    }
}

impl ExchangeConfig {
    /// The number of simultaneous connections to a venue.
    pub(super) fn connections_to(&self, venue: &str) -> u32 {
        let own = self.venues().find(|(name, _)| *name == venue);
        let own = own.and_then(|(_, config)| config.connections);
        own.unwrap_or(self.connections)
    }
}

settings! {
    /// A symbol traded at Coinbase Exchange or Kraken.
    pub struct ListingConfig {
        /// The symbol as the venue writes it: "ETH-USD" at Coinbase, in any case; "ETH/USD" or "AAPLx/USD" at Kraken,
        /// case-sensitive.
        symbol: String = String::new(), required(), example("\"ETH-USD\"");
        /// `"USD"`, or a tracked token whose price converts it to USD.
        quote: String as upper_case = String::new(), required(), example("\"USD\"");
        /// Another service with the venue's protocol, ws or wss. Default: the venue's own.
        url: Option<String> as lower_scheme = None, example("\"wss://ws-feed.exchange.coinbase.com\"");
    }
}

/// Maximum of simultaneous connections to a venue. Each can have a successor, so all slots fit into a mask of 8 bits.
const MAX_CONNECTIONS: u64 = 4;
