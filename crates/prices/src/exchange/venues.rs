//! The venues of `exchanges!`. Whatever names venues reads them: the kinds of sources and the errors that list them, feeds
//! and their metrics, and `chaincast check`.

use super::Exchange;
use chaincast_base::settings::Kind;

macro_rules! venues {
    ($($venue:ident,)+) => {
        /// Every venue, in the order of error messages.
        pub(super) static VENUES: &[&dyn Exchange] = &[$(super::$venue::VENUE),+];
    };
}

exchanges!(venues);

/// The venue with this name.
pub(super) fn find(name: &str) -> Option<&'static dyn Exchange> {
    VENUES.iter().copied().find(|venue| venue.name() == name)
}

/// All venues as kinds of sources.
pub(in super::super) fn kinds() -> impl Iterator<Item = Kind> {
    VENUES.iter().map(|venue| Kind {
        name: venue.name(),
        text: venue.text(),
        keys: venue.keys(),
    })
}

#[cfg(test)]
mod tests {
    use super::{
        super::{super::PriceConfig, Limits, ListingConfig, Request, VenueEvent},
        *,
    };
    use chaincast_base::settings::{Key, Problems};

    #[test]
    fn venues_have_distinct_names_and_own_keys() {
        for venue in VENUES {
            let name = venue.name();
            assert_eq!(
                kinds().filter(|kind| kind.name == name).count(),
                1,
                "{name}"
            );
            let text = format!("[exchanges.{name}]\nconnections = 3");
            let config: PriceConfig = toml::from_str(&text).unwrap();
            assert_eq!(config.exchanges.connections_to(name), 3, "{name}");
            assert!(venue.is_symbol(venue.example()), "{name}");
            assert!(venue.url().starts_with("wss://"), "{name}");
        }
    }

    /// A venue needs no more than this; the other methods have defaults.
    #[derive(Debug)]
    struct Fourth;

    impl Exchange for Fourth {
        fn name(&self) -> &'static str {
            "fourth"
        }

        fn url(&self) -> &'static str {
            "wss://fourth.example/ws"
        }

        fn example(&self) -> &'static str {
            "BTC-USD"
        }

        fn is_symbol(&self, symbol: &str) -> bool {
            symbol.contains('-')
        }

        fn text(&self) -> &'static str {
            "a venue of this test"
        }

        fn limits(&self) -> Limits {
            super::super::kraken::VENUE.limits()
        }

        fn subscribe(&self, streams: &[&str], _id: u64) -> Request {
            Request {
                text: streams.join(","),
                answers: 1,
            }
        }

        fn read<'a>(&self, _text: &'a str, emit: &mut dyn FnMut(VenueEvent<'a>)) {
            emit(VenueEvent::Alive);
        }
    }

    #[test]
    fn listing_keys_and_stream_have_defaults() {
        let keys = "symbol = 'BTC-USD'\nquote = 'usd'"
            .parse::<toml::Table>()
            .unwrap();
        let mut problems = Problems::new(ListingConfig::KEYS);
        let key = Key::new::<ListingConfig>("", &[], String::new);
        let read = Fourth.read_listing(keys.into(), &key, "", &mut problems);
        let (config, stream) = read.unwrap();
        assert!(problems.into_all().is_empty());
        let ListingConfig { symbol, quote, url } = config;
        assert_eq!(
            (symbol.as_str(), quote.as_str(), url),
            ("BTC-USD", "USD", None)
        );
        assert_eq!(
            (stream.as_str(), Fourth.instrument(&stream)),
            ("BTC-USD", "BTC-USD")
        );
        let keys = "symbol = 'BTC-USD'\nquote = 'usd'\nstream = 'x'"
            .parse::<toml::Table>()
            .unwrap();
        let mut problems = Problems::new(ListingConfig::KEYS);
        Fourth.read_listing(keys.into(), &key, "", &mut problems);
        let problems = problems.into_all();
        assert_eq!(problems[0].key, "stream");
        assert!(problems[0].message.starts_with("unknown key"));
    }
}
