//! Groups sources into feeds that share a connection.

use std::collections::BTreeMap;

use super::{
    super::{
        Feed, PriceConfig,
        feed_name::FeedNames,
        stream::{StreamReader, Streams},
    },
    Exchange, Listing,
    socket::ExchangeFeed,
};

/// One feed per venue and URL, and further ones beyond the venue's limit of streams per connection.
pub(in super::super) fn feeds(config: &PriceConfig) -> Vec<Box<dyn Feed>> {
    groups(config)
        .into_iter()
        .map(|(name, exchange, url, streams)| {
            let feed = ExchangeFeed::new(name, exchange, url, streams, config.exchanges.clone());
            Box::new(feed) as Box<dyn Feed>
        })
        .collect()
}

fn groups(config: &PriceConfig) -> Vec<(String, &'static dyn Exchange, String, Streams)> {
    // In order of first use in the configuration.
    let mut venues = Vec::<(&'static dyn Exchange, &str, Streams)>::new();
    let mut positions = BTreeMap::<(&str, &str), usize>::new();
    for source in &config.sources {
        let Some(listing) = source.kind.settings_as::<Listing>() else {
            continue;
        };
        let url = listing.url();
        let at = *positions
            .entry((listing.exchange.name(), url))
            .or_insert(venues.len());
        if at == venues.len() {
            venues.push((listing.exchange, url, Streams::new()));
        }
        let (_, _, streams) = &mut venues[at];
        streams
            .entry(listing.stream.clone())
            .or_default()
            .push(StreamReader {
                token: source.token.clone(),
                source: source.source_name(),
                quote: source.kind.quote().into(),
                unit: source.unit.clone(),
            });
    }
    let mut names = FeedNames::default();
    let mut groups = Vec::new();
    for (exchange, url, mut streams) in venues {
        while !streams.is_empty() {
            let first_beyond = streams.keys().nth(exchange.limits().streams).cloned();
            let rest = first_beyond.map_or_else(Streams::new, |first| streams.split_off(&first));
            let name = names.assign(exchange.name(), url, Some(exchange.url()));
            groups.push((name, exchange, url.to_owned(), streams));
            streams = rest;
        }
    }
    groups
}

#[cfg(test)]
mod tests {
    use std::fmt::Write;

    use super::*;

    fn listing(config: &PriceConfig) -> &Listing {
        config.sources[0].kind.settings_as().unwrap()
    }

    #[test]
    fn sources_share_connections_up_to_limit() {
        let mut text = String::new();
        for index in 0..1_500 {
            writeln!(
                text,
                "[[sources]]\nkind = 'binance'\ntoken = 'T{index}'\nsymbol = 'T{index}USDT'\nquote = 'USD'"
            )
            .unwrap();
        }
        text += "[[sources]]\nkind = 'binance'\ntoken = 'T1'\nname = 'us'\nsymbol = 'T1USD'\nquote = 'USD'\n\
                 url = 'wss://example.org/stream'\n\
                 [[sources]]\nkind = 'kraken'\ntoken = 'T1'\nsymbol = 'T1/USD'\nquote = 'USD'\n\
                 [[sources]]\nkind = 'kraken'\ntoken = 'T2'\nsymbol = 'T1/USD'\nquote = 'USD'\n";
        let config: PriceConfig = toml::from_str(&text).unwrap();
        let groups = groups(&config);
        let found: Vec<(&str, &str, usize)> = groups
            .iter()
            .map(|(name, _, url, streams)| (name.as_str(), url.as_str(), streams.len()))
            .collect();
        assert_eq!(
            found,
            [
                ("binance", "wss://stream.binance.com:9443/stream", 1_024),
                ("binance-2", "wss://stream.binance.com:9443/stream", 476),
                ("binance@example.org", "wss://example.org/stream", 1),
                ("kraken", "wss://ws.kraken.com/v2", 1),
            ]
        );
        assert_eq!(groups[3].3["T1/USD"].len(), 2);
    }

    #[test]
    fn stream_names_follow_venue_format() {
        let source = |kind: &str, symbol: &str| {
            format!(
                "[[sources]]\nkind = '{kind}'\ntoken = 'A'\nsymbol = '{symbol}'\nquote = 'USD'\n"
            )
        };
        for (kind, symbol, stream) in [
            ("kraken", "AAPLx/USD", "AAPLx/USD"),
            ("kraken", "btc/usd", "btc/usd"),
            ("coinbase", "btc-usd", "BTC-USD"),
            ("binance", "BTCUSDT", "btcusdt@bookTicker"),
            ("binance", "币安人生USDT", "币安人生usdt@bookTicker"),
            ("binance", "ÄÖÜUSDT", "äöüusdt@bookTicker"),
            ("binance", "BTCUSDT_260925", "btcusdt_260925@bookTicker"),
        ] {
            let config: PriceConfig = toml::from_str(&source(kind, symbol)).unwrap();
            let listing = listing(&config);
            assert!(listing.is_valid_symbol(), "{symbol}");
            assert_eq!(groups(&config)[0].3.keys().next().unwrap(), stream);
        }
        for (kind, length, allowed) in [("binance", 50, true), ("binance", 51, false)] {
            let config: PriceConfig = toml::from_str(&source(kind, &"币".repeat(length))).unwrap();
            let listing = listing(&config);
            assert_eq!(listing.is_valid_symbol(), allowed, "{length}");
        }
    }
}
