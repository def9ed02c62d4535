//! A configured source: the keys that every source has, and the settings of its kind.

use std::{any::Any, fmt::Debug, sync::Arc};

use super::{Unit, max_age::DEFAULT_FEED_MAX_AGE_MS};
use chaincast_protocol::{Address, ChainId, Token};

/// `[[prices.sources]]`; read by `source_entry`, with the keys of [`SourceKeys`](super::source_entry::SourceKeys) and of its kind.
#[derive(Debug, Clone)]
pub struct SourceConfig {
    /// The priced token, one of `[[prices.tokens]]`.
    pub token: Token,
    /// Name in the `sources` of a price; the name of the kind if omitted. Unique within the token.
    pub name: Option<String>,
    /// A tick older than this is not used, in ms: 1 to [`MAX_AGE_LIMIT_MS`](super::max_age::MAX_AGE_LIMIT_MS).
    pub max_age_ms: u64,
    /// `scale` and `invert`: convert the reported price to the price of one token.
    pub(super) unit: Unit,
    /// `kind`, with the keys that it adds.
    pub kind: SourceKind,
}

/// The kind of a source, with its settings.
#[derive(Debug, Clone)]
pub struct SourceKind {
    name: &'static str,
    settings: Arc<dyn SourceSettings>,
}

/// The settings of a source. They decide all that depends on its kind; each kind implements it in its own module.
pub(super) trait SourceSettings: Any + Debug + Send + Sync {
    /// The quote currency of the ticks.
    fn quote(&self) -> &str;

    /// The default name of the source, if it is not the name of the kind.
    fn default_name(&self) -> Option<&'static str> {
        None
    }

    /// The default `max_age_ms`.
    fn default_max_age_ms(&self) -> u64 {
        DEFAULT_FEED_MAX_AGE_MS
    }

    /// For a source on a chain: the configured chain and the address of the contract.
    fn contract(&self) -> Option<(Option<ChainId>, Address)> {
        None
    }

    /// Whether the contract answers its newest price to a call, with the time and price of its log.
    fn has_answers(&self) -> bool {
        false
    }

    /// The window in seconds, if the source averages.
    fn average_seconds(&self) -> Option<u64> {
        None
    }

    /// What a source outside the chains reads; two sources of one token must not read the same.
    fn instrument(&self) -> Option<Instrument> {
        None
    }

    /// Identifies the venue of the source: sources with the same text have one vote. The default is the contract, so a
    /// pool's price and its averages are one venue; `first_chain` is the chain of sources without `chain_id`.
    fn venue(&self, first_chain: Option<ChainId>) -> String {
        let contract = self.contract();
        let contract = contract.map(|(chain_id, address)| (chain_id.or(first_chain), address));
        format!("contract {contract:?}")
    }

    /// What is wrong with the keys, beyond what each shows by itself. `has_address` is whether the address of the token is
    /// configured; a key that `is_reported` does not have the configured value.
    fn problems(
        &self,
        _source: &SourceConfig,
        _has_address: bool,
        _is_reported: &dyn Fn(&str) -> bool,
    ) -> Vec<KeyProblem> {
        Vec::new()
    }

    /// A valid but suspicious setting: the key and the effect.
    fn warning(&self) -> Option<KeyProblem> {
        None
    }

    /// The time limit of its requests, if it has one of its own; otherwise 0.
    fn timeout_ms(&self) -> u64 {
        0
    }
}

/// A key and what it must be.
pub(super) type KeyProblem = (&'static str, String);

/// A venue or document, and the instrument there.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct Instrument {
    /// For error messages, such as "symbol of a venue".
    pub description: &'static str,
    /// The keys that select it.
    pub keys: &'static [&'static str],
    /// The host or document, whatever the spelling of its URL.
    pub venue: String,
    pub name: String,
}

impl SourceConfig {
    /// The name of the source that clients see.
    pub fn source_name(&self) -> Arc<str> {
        match &self.name {
            Some(name) => name.as_str().into(),
            None => self.kind.default_name().into(),
        }
    }
}

impl SourceKind {
    pub(super) fn new(name: &'static str, settings: Arc<dyn SourceSettings>) -> Self {
        Self { name, settings }
    }

    /// The kind as written in the configuration.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The default name of a source: the kind, and whether it is an average.
    pub(super) fn default_name(&self) -> &'static str {
        self.settings.default_name().unwrap_or(self.name)
    }

    /// The quote currency of the ticks.
    pub fn quote(&self) -> &str {
        self.settings.quote()
    }

    /// For a source on a chain: the configured chain and the address of the contract.
    pub fn contract(&self) -> Option<(Option<ChainId>, Address)> {
        self.settings.contract()
    }

    /// Whether the contract answers its newest price to a call, with the time and price of its log.
    pub fn has_answers(&self) -> bool {
        self.settings.has_answers()
    }

    pub(super) fn settings(&self) -> &dyn SourceSettings {
        self.settings.as_ref()
    }

    /// The settings, if they are of this type.
    pub(super) fn settings_as<T: SourceSettings>(&self) -> Option<&T> {
        (self.settings() as &dyn Any).downcast_ref()
    }
}
