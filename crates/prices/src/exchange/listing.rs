//! A source's symbol at an exchange.

use toml::Value;

use super::{Exchange, ListingConfig, venues::find};
use chaincast_base::settings::{Key, Problems};

/// The longest symbol, in characters.
const MAX_SYMBOL: usize = 50;

/// A symbol of a venue, as a source has it.
#[derive(Debug, Clone)]
pub struct Listing {
    pub(super) exchange: &'static dyn Exchange,
    config: ListingConfig,
    /// The name of the stream at the venue; one stream of one URL is one source.
    pub(in super::super) stream: String,
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
    pub fn symbol(&self) -> &str {
        &self.config.symbol
    }

    /// What the symbol is counted in.
    pub fn quote(&self) -> &str {
        &self.config.quote
    }

    /// The configured URL, or the venue's own.
    pub fn url(&self) -> &str {
        self.config
            .url
            .as_deref()
            .unwrap_or_else(|| self.exchange.url())
    }

    /// The venue's own URL.
    pub(in super::super) fn default_url(&self) -> &'static str {
        self.exchange.url()
    }

    /// An example symbol of this venue.
    pub(in super::super) fn example(&self) -> &'static str {
        self.exchange.example()
    }

    /// What the stream prices: the same for all streams of a symbol.
    pub(in super::super) fn instrument(&self) -> &str {
        self.exchange.instrument(&self.stream)
    }

    /// Whether the symbol has the venue's format and a plausible length.
    pub(in super::super) fn is_valid_symbol(&self) -> bool {
        self.exchange.is_symbol(self.symbol()) && self.symbol().chars().count() <= MAX_SYMBOL
    }

    /// Whether the URL is a WebSocket URL with a host.
    pub(in super::super) fn is_valid_url(&self) -> bool {
        let url = self.url();
        ["ws://", "wss://"].iter().any(|scheme| {
            url.strip_prefix(scheme)
                .is_some_and(|rest| !rest.is_empty() && !rest.starts_with('/'))
        }) && !url.contains(char::is_whitespace)
    }
}
