//! The keys of `[[prices.sources]]`: those of every source, and those of its kind.

use toml::Value;

use super::{
    ChainlinkConfig, HttpConfig, MAX_AGE_LIMIT_MS, PoolConfig, PythConfig, SourceConfig,
    SourceKind, Unit, exchange, price_unit::Scale,
};
use chaincast_base::settings::{
    Fields, Key, Kind, Problems, Setting, Shape, deserialize, plain_settings, settings,
};
use chaincast_protocol::Token;

settings! {
    /// The keys of every source.
    pub struct SourceKeys {
        /// The venue or contract that the price is read from.
        kind: String = String::new(), required(), example("\"chainlink\"");
        /// The priced token, one of [[prices.tokens]].
        token: Token = Token::unknown(), required(), example("\"ETH\"");
        /// Name in a price's sources, 1 to 64 characters, unique for the token; default: the kind.
        name: Option<String> = None, example("\"chainlink\"");
        /// An older tick is not used; at most `heartbeat_ms`. The default is an hour for on-chain sources and a minute for
        /// others (http: at least 3 intervals).
        max_age_ms: Option<u64> = None, range(1, MAX_AGE_LIMIT_MS), example("3600000");
        /// The price is divided by this, for example 1000 for a market that prices a thousand tokens; an integer or a
        /// decimal in quotes, from 10^-18 to 10^18.
        scale: Option<Scale> = None, example("1000");
        /// Not for pools: true if the market prices the quote in the token, as USD/JPY for JPY.
        invert: bool = false;
    }
}

plain_settings! { Scale }

/// The kinds beside the exchanges, in the order of error messages.
const KINDS: &[Kind] = &[
    kind(
        "chainlink",
        "a Chainlink feed, priced in USD",
        ChainlinkConfig::KEYS,
    ),
    kind("uniswap-v2", "a pair that emits Sync", PoolConfig::KEYS),
    kind("uniswap-v3", "a pool that emits Swap", PoolConfig::KEYS),
    kind(
        "pyth",
        "a Pyth price feed, streamed by Hermes",
        PythConfig::KEYS,
    ),
    kind("http", "a JSON document that is polled", HttpConfig::KEYS),
];

/// Every kind of source.
fn kinds() -> Vec<Kind> {
    KINDS.iter().copied().chain(exchange::kinds()).collect()
}

const fn kind(name: &'static str, text: &'static str, keys: &'static [Key]) -> Kind {
    Kind { name, text, keys }
}

impl Setting for SourceConfig {
    const SHAPE: Shape = Shape::Kinds {
        common: SourceKeys::KEYS,
        kinds,
    };

    fn read(value: Value, key: &Key, path: &str, problems: &mut Problems) -> Option<Self> {
        let mut fields = Fields::open(value, SourceKeys::KEYS, path, problems)?;
        let name: Option<String> = fields.take("kind");
        let mut kinds = kinds().into_iter();
        let kind = kinds.find(|kind| name.as_deref() == Some(kind.name));
        if let Some(kind) = kind {
            fields.refuse_others(kind.keys);
        }
        let token = fields.take("token").unwrap_or_else(Token::unknown);
        let source_name = fields.take("name");
        let max_age_ms = fields.take("max_age_ms");
        let unit = Unit {
            scale: fields.take("scale"),
            invert: fields.take("invert").unwrap_or_default(),
        };
        let rest = Value::Table(fields.into_rest());
        let kind = match kind {
            Some(kind) => SourceKind::read(kind.name, rest, key, path, problems)?,
            None => {
                if let Some(name) = name {
                    let kinds: Vec<&str> = self::kinds().iter().map(|kind| kind.name).collect();
                    let kinds = kinds.join(", ");
                    let message = format!("unknown kind {name:?}; use one of {kinds}");
                    problems.unreadable(format!("{path}.kind"), message);
                }
                // Nothing more is checked in this entry, and nothing of it is in the way of others.
                problems.incomplete(path);
                return Some(Self {
                    token,
                    name: Some(format!("unreadable-{path}")),
                    max_age_ms: 1,
                    unit,
                    kind: SourceKind::Chainlink(ChainlinkConfig::default()),
                });
            }
        };
        Some(Self {
            token,
            name: source_name,
            max_age_ms: max_age_ms.unwrap_or_else(|| kind.default_max_age_ms()),
            unit,
            kind,
        })
    }

    fn label(entry: &Value) -> Option<String> {
        let text = |key: &str| entry.get(key).and_then(Value::as_str);
        let token = text("token").and_then(|token| token.parse::<Token>().ok());
        Some(match (text("name").or(text("kind")), token) {
            (Some(name), Some(token)) => format!(" ({name:?} of {token})"),
            (Some(name), None) => format!(" ({name:?})"),
            (None, Some(token)) => format!(" (of {token})"),
            (None, None) => String::new(),
        })
    }
}

impl<'de> serde::Deserialize<'de> for SourceConfig {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserialize(deserializer, SourceKeys::KEYS)
    }
}

impl SourceKind {
    /// Reads the keys of a kind; `None` if it is unknown.
    fn read(
        kind: &str,
        keys: Value,
        key: &Key,
        path: &str,
        problems: &mut Problems,
    ) -> Option<Self> {
        Some(match kind {
            "chainlink" => Self::Chainlink(Setting::read(keys, key, path, problems)?),
            "uniswap-v2" => Self::UniswapV2(Setting::read(keys, key, path, problems)?),
            "uniswap-v3" => Self::UniswapV3(Setting::read(keys, key, path, problems)?),
            "pyth" => Self::Pyth(Setting::read(keys, key, path, problems)?),
            "http" => Self::Http(Box::new(Setting::read(keys, key, path, problems)?)),
            _ => Self::Exchange(exchange::read_listing(kind, keys, key, path, problems)?),
        })
    }
}
