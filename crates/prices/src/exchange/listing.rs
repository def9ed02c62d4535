//! A source's symbol at an exchange.

use toml::Value;

use super::{
    super::{
        source_config::{Instrument, KeyProblem, SourceConfig, SourceSettings},
        venue_url,
    },
    Exchange, ListingConfig,
    venues::find,
};
use chaincast_base::settings::{Key, Problems};
use chaincast_protocol::ChainId;

/// The longest symbol, in characters.
const MAX_SYMBOL: usize = 50;

/// A symbol of a venue, as a source has it.
#[derive(Debug, Clone)]
pub struct Listing {
    pub(super) exchange: &'static dyn Exchange,
    config: ListingConfig,
    /// The name of the stream at the venue; one stream of one URL is one source.
    pub(super) stream: String,
}

/// Reads the keys of a source of this kind; `None` if no venue has that name.
pub(in super::super) fn read_listing(
    kind: &str,
    keys: Value,
    key: &Key,
    path: &str,
    problems: &mut Problems,
) -> Option<Listing> {
    let exchange = find(kind)?;
    let (config, stream) = exchange.read_listing(keys, key, path, problems)?;
    Some(Listing {
        exchange,
        config,
        stream,
    })
}

impl Listing {
    /// The kind of the source: the name of the venue.
    pub fn kind(&self) -> &'static str {
        self.exchange.name()
    }

    /// The symbol as configured.
    fn symbol(&self) -> &str {
        &self.config.symbol
    }

    /// The configured URL, or the venue's own.
    pub fn url(&self) -> &str {
        self.config
            .url
            .as_deref()
            .unwrap_or_else(|| self.exchange.url())
    }

    fn venue_host(&self) -> String {
        venue_url::venue(self.url(), self.exchange.url(), self.exchange.aliases())
    }

    /// Whether the symbol has the venue's format and a plausible length.
    pub(super) fn is_valid_symbol(&self) -> bool {
        self.exchange.is_symbol(self.symbol()) && self.symbol().chars().count() <= MAX_SYMBOL
    }

    /// Whether the URL is a WebSocket URL with a host.
    fn is_valid_url(&self) -> bool {
        let url = self.url();
        ["ws://", "wss://"].iter().any(|scheme| {
            url.strip_prefix(scheme)
                .is_some_and(|rest| !rest.is_empty() && !rest.starts_with('/'))
        }) && !url.contains(char::is_whitespace)
    }
}

impl SourceSettings for Listing {
    fn quote(&self) -> &str {
        &self.config.quote
    }

    fn instrument(&self) -> Option<Instrument> {
        Some(Instrument {
            description: "symbol of a venue",
            keys: &["url", "symbol", "stream"],
            venue: self.venue_host(),
            // Symbols that differ in case only are not independent.
            name: self.stream.to_lowercase(),
        })
    }

    /// All streams of a symbol.
    fn venue(&self, _first_chain: Option<ChainId>) -> String {
        let instrument = self.exchange.instrument(&self.stream);
        format!("{} {} {instrument}", self.kind(), self.venue_host())
    }

    fn problems(
        &self,
        _source: &SourceConfig,
        _has_address: bool,
        _is_reported: &dyn Fn(&str) -> bool,
    ) -> Vec<KeyProblem> {
        let mut found = Vec::new();
        if !self.is_valid_symbol() {
            let (given, example) = (self.symbol(), self.exchange.example());
            let expected = format!("{given:?} does not have the venue's format, such as {example}");
            found.push(("symbol", expected));
        }
        if !self.is_valid_url() {
            let expected = "must be ws:// or wss:// with a host";
            found.push(("url", expected.to_owned()));
        }
        found
    }
}
