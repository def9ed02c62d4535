//! The keys of `[[prices.sources]]`: those of every source, and those of its kind.

use std::sync::Arc;

use toml::Value;

use super::{
    MAX_AGE_LIMIT_MS, SourceConfig, SourceKind, Unit, chainlink::ChainlinkConfig, kinds,
    price_unit::Scale,
};
use chaincast_base::settings::{
    Fields, Key, Problems, Setting, Shape, deserialize, plain_settings, settings,
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

impl Setting for SourceConfig {
    const SHAPE: Shape = Shape::Kinds {
        common: SourceKeys::KEYS,
        kinds: kinds::all,
    };

    fn read(value: Value, key: &Key, path: &str, problems: &mut Problems) -> Option<Self> {
        let mut fields = Fields::open(value, SourceKeys::KEYS, path, problems)?;
        let name: Option<String> = fields.take("kind");
        let mut known = kinds::all().into_iter();
        let kind = known.find(|kind| name.as_deref() == Some(kind.name));
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
            Some(kind) => kinds::read(kind.name, rest, key, path, problems)?,
            None => {
                if let Some(name) = name {
                    let kinds: Vec<&str> = kinds::all().iter().map(|kind| kind.name).collect();
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
                    kind: SourceKind::new("unreadable", Arc::new(ChainlinkConfig::default())),
                });
            }
        };
        Some(Self {
            token,
            name: source_name,
            max_age_ms: max_age_ms.unwrap_or_else(|| kind.settings().default_max_age_ms()),
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
