//! `[prices]`: which tokens are tracked, and what their prices are read from.
//!
//! What is read here is well-formed and no more; `validate` tells whether its entries fit together.

use std::sync::Arc;

use serde::Deserialize;

use crate::model::{Address, ChainId, Token, USD};

/// `[prices]`; see [`PriceConfig::validate`] for what its entries must keep to.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PriceConfig {
    /// Fresh sources below which a price is `degraded`; at least 1, and 1 when left out.
    pub min_sources: Option<usize>,
    pub tokens: Vec<TokenConfig>,
    pub sources: Vec<SourceConfig>,
}

/// `[[prices.tokens]]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenConfig {
    pub symbol: Token,
    /// For people; the symbol when left out.
    #[serde(default)]
    pub name: Option<String>,
    /// Where the token lives, when it lives on a configured chain.
    #[serde(default)]
    pub chain_id: Option<ChainId>,
    #[serde(default)]
    pub address: Option<Address>,
    #[serde(default)]
    pub decimals: Option<u8>,
}

/// `[[prices.sources]]`
#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "RawSource")]
pub struct SourceConfig {
    pub token: Token,
    /// Shown in a price's `sources`; the kind's name when left out. Unique within its token.
    pub name: Option<String>,
    /// A tick older than this is not used, in ms: 1 to [`MAX_AGE_LIMIT_MS`].
    pub max_age_ms: u64,
    pub kind: SourceKind,
}

/// What a source is, and what reading it needs.
#[derive(Debug, Clone)]
pub enum SourceKind {
    /// A contract that emits `AnswerUpdated`, priced in USD.
    Chainlink {
        /// The first configured chain when left out.
        chain_id: Option<ChainId>,
        address: Address,
        /// Decimals of the answer.
        decimals: u8,
    },
    /// A pair that emits `Sync`.
    UniswapV2 {
        chain_id: Option<ChainId>,
        address: Address,
        /// Which of the pair's tokens is the priced one: 0 or 1.
        base: u8,
        base_decimals: u8,
        quote_decimals: u8,
        /// What the other token is: `USD`, or a tracked token whose own price converts. Upper case.
        quote: String,
    },
}

/// How long a tick is used when its source does not say, in ms.
pub const DEFAULT_MAX_AGE_MS: u64 = 3_600_000;
/// The longest that a tick may be used: a year, in ms.
pub const MAX_AGE_LIMIT_MS: u64 = 365 * 24 * 3_600_000;

impl PriceConfig {
    /// [`PriceConfig::min_sources`] with its default.
    pub fn min_sources(&self) -> usize {
        self.min_sources.unwrap_or(1)
    }
}

impl SourceConfig {
    /// The source's name as clients see it.
    pub fn source_name(&self) -> Arc<str> {
        match &self.name {
            Some(name) => name.as_str().into(),
            None => self.kind.name().into(),
        }
    }
}

impl SourceKind {
    /// As written in the configuration.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Chainlink { .. } => "chainlink",
            Self::UniswapV2 { .. } => "uniswap-v2",
        }
    }

    /// What the source's ticks are counted in.
    pub fn quote(&self) -> &str {
        match self {
            Self::Chainlink { .. } => USD,
            Self::UniswapV2 { quote, .. } => quote,
        }
    }

    /// The contract that is watched.
    pub fn contract(&self, first_chain: ChainId) -> (ChainId, Address) {
        match self {
            Self::Chainlink {
                chain_id, address, ..
            }
            | Self::UniswapV2 {
                chain_id, address, ..
            } => (chain_id.unwrap_or(first_chain), *address),
        }
    }
}

/// `[[prices.sources]]` as written. serde cannot refuse unknown keys of a flattened enum, so the keys of all kinds
/// are read flat and then taken by the kind that owns them; what is left over is refused by name.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawSource {
    kind: RawKind,
    token: Token,
    name: Option<String>,
    max_age_ms: Option<u64>,
    chain_id: Option<ChainId>,
    address: Option<Address>,
    decimals: Option<u8>,
    base: Option<u8>,
    base_decimals: Option<u8>,
    quote_decimals: Option<u8>,
    quote: Option<String>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum RawKind {
    Chainlink,
    #[serde(rename = "uniswap-v2")]
    UniswapV2,
}

/// Why the keys of one source do not fit its kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SourceKeysError {
    #[error("a {kind} source of {token} needs the key `{key}`")]
    Missing {
        kind: &'static str,
        token: Token,
        key: &'static str,
    },
    #[error("a {kind} source has no key `{key}` (source of {token})")]
    Extra {
        kind: &'static str,
        token: Token,
        key: &'static str,
    },
}

impl TryFrom<RawSource> for SourceConfig {
    type Error = SourceKeysError;

    fn try_from(mut raw: RawSource) -> Result<Self, Self::Error> {
        let token = raw.token.clone();
        let kind = match raw.kind {
            RawKind::Chainlink => raw.chainlink()?,
            RawKind::UniswapV2 => raw.uniswap_v2()?,
        };
        if let Some(key) = raw.left_over() {
            let kind = kind.name();
            return Err(SourceKeysError::Extra { kind, token, key });
        }
        Ok(Self {
            token,
            name: raw.name,
            max_age_ms: raw.max_age_ms.unwrap_or(DEFAULT_MAX_AGE_MS),
            kind,
        })
    }
}

impl RawSource {
    fn chainlink(&mut self) -> Result<SourceKind, SourceKeysError> {
        let need = Need {
            kind: "chainlink",
            token: &self.token,
        };
        Ok(SourceKind::Chainlink {
            chain_id: self.chain_id.take(),
            address: need.key("address", self.address.take())?,
            decimals: need.key("decimals", self.decimals.take())?,
        })
    }

    fn uniswap_v2(&mut self) -> Result<SourceKind, SourceKeysError> {
        let need = Need {
            kind: "uniswap-v2",
            token: &self.token,
        };
        Ok(SourceKind::UniswapV2 {
            chain_id: self.chain_id.take(),
            address: need.key("address", self.address.take())?,
            base: need.key("base", self.base.take())?,
            base_decimals: need.key("base_decimals", self.base_decimals.take())?,
            quote_decimals: need.key("quote_decimals", self.quote_decimals.take())?,
            quote: need.key("quote", self.quote.take())?.to_ascii_uppercase(),
        })
    }

    /// The first key that no one took.
    fn left_over(&self) -> Option<&'static str> {
        [
            ("chain_id", self.chain_id.is_some()),
            ("address", self.address.is_some()),
            ("decimals", self.decimals.is_some()),
            ("base", self.base.is_some()),
            ("base_decimals", self.base_decimals.is_some()),
            ("quote_decimals", self.quote_decimals.is_some()),
            ("quote", self.quote.is_some()),
        ]
        .into_iter()
        .find_map(|(key, given)| given.then_some(key))
    }
}

/// Names the source in an error about a key that it lacks.
struct Need<'a> {
    kind: &'static str,
    token: &'a Token,
}

impl Need<'_> {
    fn key<T>(&self, key: &'static str, value: Option<T>) -> Result<T, SourceKeysError> {
        value.ok_or_else(|| SourceKeysError::Missing {
            kind: self.kind,
            token: self.token.clone(),
            key,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FEED: &str = "kind = 'chainlink'\ntoken = 'eth'\n\
        address = '0x5f4eC3Df9cbd43714FE2740f5E3616155c5b8419'\n";
    const PAIR: &str = "kind = 'uniswap-v2'\ntoken = 'eth'\n\
        address = '0xB4e16d0168e52d35CaCD2c6185b44281Ec28C9Dc'\nbase = 1\nbase_decimals = 18\n\
        quote_decimals = 6\nquote = 'usd'\n";

    fn read(text: &str) -> Result<SourceConfig, String> {
        toml::from_str(text).map_err(|error| error.to_string())
    }

    #[test]
    fn each_kind_reads_its_own_keys_and_defaults() {
        let feed = read(&format!("{FEED}decimals = 8")).unwrap();
        assert_eq!(feed.token.as_str(), "ETH");
        assert_eq!(&*feed.source_name(), "chainlink");
        assert_eq!(feed.max_age_ms, DEFAULT_MAX_AGE_MS);
        assert!(matches!(
            feed.kind,
            SourceKind::Chainlink { decimals: 8, .. }
        ));

        let pair = read(&format!(
            "{PAIR}name = 'pool'\nmax_age_ms = 5\nchain_id = 10"
        ))
        .unwrap();
        assert_eq!(&*pair.source_name(), "pool");
        assert_eq!(pair.kind.quote(), "USD");
        assert_eq!(pair.kind.contract(1).0, 10);
        assert_eq!(pair.max_age_ms, 5);
    }

    #[test]
    fn a_missing_key_is_named_with_its_kind() {
        let error = read(FEED).unwrap_err();
        assert!(
            error.contains("a chainlink source of ETH needs the key `decimals`"),
            "{error}"
        );
        let error = read(&PAIR.replace("quote = 'usd'\n", "")).unwrap_err();
        assert!(
            error.contains("a uniswap-v2 source of ETH needs the key `quote`"),
            "{error}"
        );
    }

    #[test]
    fn a_key_of_another_kind_is_refused_by_name() {
        let error = read(&format!("{FEED}decimals = 8\nquote = 'USD'")).unwrap_err();
        assert!(
            error.contains("a chainlink source has no key `quote`"),
            "{error}"
        );
        let error = read(&format!("{PAIR}decimals = 8")).unwrap_err();
        assert!(
            error.contains("a uniswap-v2 source has no key `decimals`"),
            "{error}"
        );
    }

    #[test]
    fn an_unknown_key_and_an_unknown_kind_are_refused_with_what_is_known() {
        let error = read(&format!("{FEED}decimals = 8\nadress = 1")).unwrap_err();
        assert!(error.contains("unknown field `adress`"), "{error}");
        let error = read(&FEED.replace("chainlink", "chainlnk")).unwrap_err();
        assert!(
            error.contains("chainlnk") && error.contains("uniswap-v2"),
            "{error}"
        );
    }
}
