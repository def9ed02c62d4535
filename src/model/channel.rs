//! Names of the streams that clients subscribe to.

use std::{fmt, str::FromStr, sync::Arc};

use alloy::primitives::{Address, B256};

use super::{CandleInterval, ChainId, Token};

/// A named stream. Parsed case-insensitively, displayed in canonical form.
///
/// [`Channel::NewBlock`] with `None` is the stream of the first configured chain, displayed as `new-block`. The gateway
/// and the writers convert `new-block:CHAIN_ID` of that chain to it (see [`Channel::canonical`]).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Channel {
    NewBlock(Option<ChainId>),
    Price(Token),
    /// The candles of a token's price: updates of the open candle, and its close.
    Candle(Token, CandleInterval),
    /// Sent by each gateway once per second; never stored, without seq.
    Heartbeat,
    Tx(B256),
    Address(Address),
    /// Events of a configured contract: its lower-case name, optionally with one event.
    Contract(Arc<str>, Option<Arc<str>>),
    /// Private to the subject of a JWT. Subjects are case-sensitive.
    User(Arc<str>),
}

/// Why a name is not a channel: the name, truncated to the longest valid length, and the reason.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown channel {name:?}: {reason}")]
pub struct ChannelError {
    pub name: String,
    reason: &'static str,
}

/// The forms of channel names.
const FORMS: &str = "use new-block, new-block:CHAIN_ID, price:TOKEN, candle:TOKEN:INTERVAL (1m, 5m, 15m, 1h, 4h or 1d), tx:HASH, \
                     address:ADDRESS, contract:NAME, contract:NAME:EVENT, heartbeat or user:SUBJECT";
const CHAIN_ID: &str = "a chain id is a number above 0, as in new-block:1";
const TOKEN: &str = "a token is 1 to 32 letters, digits, '.', '_' or '-', as in price:ETH";
const CANDLE: &str =
    "use candle:TOKEN:INTERVAL with the interval 1m, 5m, 15m, 1h, 4h or 1d, as in candle:ETH:1m";
const HASH: &str = "a hash is 0x and 64 hex digits";
const ADDRESS: &str = "an address is 0x and 40 hex digits";
const WORD: &str = "names of contracts and events consist of letters, digits, '_', '-', '.' and '$', as in contract:usdc:Transfer";
const SUBJECT: &str = "a subject has no control characters, as in user:alice";
const NO_SUFFIX: &str = "heartbeat takes no suffix";
const TOO_LONG: &str = "the name is longer than 160 bytes";

/// The longest channel name that is parsed, in bytes.
const MAX_NAME: usize = 160;

/// A name for error messages, truncated to the longest valid length.
pub fn truncated_name(name: &str) -> String {
    let end = (0..=MAX_NAME.min(name.len())).rev();
    let end = end.into_iter().find(|at| name.is_char_boundary(*at));
    name[..end.unwrap_or(0)].to_owned()
}

impl Channel {
    /// The canonical channel in a deployment whose first configured chain is `first`.
    pub fn canonical(self, first: ChainId) -> Self {
        match self {
            Self::NewBlock(Some(id)) if id == first => Self::NewBlock(None),
            other => other,
        }
    }

    /// Whether updates are stored only while the channel has, or recently had, subscribers.
    pub fn is_watched(&self) -> bool {
        matches!(self, Self::Tx(_) | Self::Address(_))
    }

    /// Whether a subscription without a `mode` gets only the newest update (`latest`) instead of all. False for
    /// candles: the first update of the next candle would replace a close.
    pub fn is_latest_by_default(&self) -> bool {
        matches!(self, Self::Price(_))
    }
}

impl FromStr for Channel {
    type Err = ChannelError;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let refused = |reason| ChannelError {
            name: truncated_name(name),
            reason,
        };
        if name.len() > MAX_NAME {
            return Err(refused(TOO_LONG));
        }
        let (kind, rest) = match name.split_once(':') {
            Some((kind, rest)) => (kind, Some(rest)),
            None => (name, None),
        };
        let word = |text: &str| -> Result<Arc<str>, ChannelError> {
            let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '$');
            match !text.is_empty() && text.chars().all(allowed) {
                true => Ok(text.to_ascii_lowercase().into()),
                false => Err(refused(WORD)),
            }
        };
        match (kind.to_ascii_lowercase().as_str(), rest) {
            ("new-block", None) => Ok(Self::NewBlock(None)),
            ("new-block", Some(id)) => match id.parse() {
                Ok(id) if id > 0 => Ok(Self::NewBlock(Some(id))),
                _ => Err(refused(CHAIN_ID)),
            },
            ("heartbeat", None) => Ok(Self::Heartbeat),
            ("heartbeat", Some(_)) => Err(refused(NO_SUFFIX)),
            ("price", token) => match token.unwrap_or_default().parse() {
                Ok(token) => Ok(Self::Price(token)),
                Err(_) => Err(refused(TOKEN)),
            },
            ("candle", rest) => {
                let parts = rest.and_then(|rest| rest.split_once(':'));
                let parts = parts.and_then(|(token, interval)| {
                    Some((token.parse().ok()?, interval.parse().ok()?))
                });
                match parts {
                    Some((token, interval)) => Ok(Self::Candle(token, interval)),
                    None => Err(refused(CANDLE)),
                }
            }
            ("tx", hash) => parse_hex(hash.unwrap_or_default())
                .map(Self::Tx)
                .ok_or_else(|| refused(HASH)),
            ("address", address) => parse_hex(address.unwrap_or_default())
                .map(Self::Address)
                .ok_or_else(|| refused(ADDRESS)),
            ("contract", rest) => match rest.unwrap_or_default().split_once(':') {
                None => Ok(Self::Contract(word(rest.unwrap_or_default())?, None)),
                Some((name, event)) => Ok(Self::Contract(word(name)?, Some(word(event)?))),
            },
            ("user", Some(subject))
                if !subject.is_empty() && !subject.chars().any(char::is_control) =>
            {
                Ok(Self::User(subject.into()))
            }
            ("user", _) => Err(refused(SUBJECT)),
            _ => Err(refused(FORMS)),
        }
    }
}

/// 0x-prefixed hex of exactly the target's length.
fn parse_hex<T: FromStr>(text: &str) -> Option<T> {
    let lower = text.to_ascii_lowercase();
    lower
        .starts_with("0x")
        .then(|| lower.parse().ok())
        .flatten()
}

impl fmt::Display for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NewBlock(None) => f.write_str("new-block"),
            Self::NewBlock(Some(id)) => write!(f, "new-block:{id}"),
            Self::Price(token) => write!(f, "price:{token}"),
            Self::Candle(token, interval) => write!(f, "candle:{token}:{interval}"),
            Self::Heartbeat => f.write_str("heartbeat"),
            Self::Tx(hash) => write!(f, "tx:{hash}"),
            Self::Address(address) => write!(f, "address:{address}"),
            Self::Contract(name, None) => write!(f, "contract:{name}"),
            Self::Contract(name, Some(event)) => write!(f, "contract:{name}:{event}"),
            Self::User(subject) => write!(f, "user:{subject}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_any_case_and_displays_canonical() {
        for (given, canonical) in [
            ("PRICE:eth", "price:ETH"),
            ("Candle:eth:1M", "candle:ETH:1m"),
            ("New-Block", "new-block"),
            ("new-block:10", "new-block:10"),
            ("Heartbeat", "heartbeat"),
            ("contract:Vault:Deposit", "contract:vault:deposit"),
            ("user:Alice", "user:Alice"),
        ] {
            assert_eq!(given.parse::<Channel>().unwrap().to_string(), canonical);
        }
    }

    #[test]
    fn displays_checksummed_addresses() {
        let channel: Channel = "ADDRESS:0xd8da6bf26964af9d7eed9e03e53415d37aa96045"
            .parse()
            .unwrap();
        assert_eq!(
            channel.to_string(),
            "address:0xd8dA6BF26964aF9D7eEd9e03E53415D37aA96045"
        );
    }

    #[test]
    fn first_chain_has_one_block_channel() {
        assert_eq!(
            Channel::NewBlock(Some(1)).canonical(1),
            Channel::NewBlock(None)
        );
        assert_eq!(
            Channel::NewBlock(Some(10)).canonical(1),
            Channel::NewBlock(Some(10))
        );
    }

    #[test]
    fn error_lists_all_candle_intervals() {
        let [error, forms] =
            ["candle:ETH:2m", "nope"].map(|name| name.parse::<Channel>().unwrap_err().to_string());
        for interval in CandleInterval::ALL {
            assert!(error.contains(interval.name()), "{error}");
            assert!(forms.contains(interval.name()), "{forms}");
        }
    }

    #[test]
    fn error_states_why_name_is_invalid() {
        let short_hash = format!("tx:0x{}", "a".repeat(63));
        for (name, reason) in [
            ("tx:0x12", HASH),
            (&*short_hash, HASH),
            ("tx", HASH),
            ("address:0xd8da", ADDRESS),
            ("new-block:x", CHAIN_ID),
            ("new-block:", CHAIN_ID),
            ("price:", TOKEN),
            ("candle:ETH", CANDLE),
            ("contract:a b", WORD),
            ("contract:usdc:", WORD),
            ("user:", SUBJECT),
            ("heartbeat:1", NO_SUFFIX),
            ("nope", FORMS),
        ] {
            let error = name.parse::<Channel>().unwrap_err();
            assert_eq!(
                error.to_string(),
                format!("unknown channel {name:?}: {reason}")
            );
        }
    }

    #[test]
    fn error_truncates_name_to_maximum_length() {
        let name = format!("tx:0x{}", "g".repeat(64));
        assert_eq!(name.parse::<Channel>().unwrap_err().name, name);
        let long = "é".repeat(200);
        let error = long.parse::<Channel>().unwrap_err();
        assert_eq!(error.name, "é".repeat(MAX_NAME / 2));
        assert!(error.to_string().ends_with(TOO_LONG), "{error}");
    }

    #[test]
    fn rejects_unknown_channels() {
        for bad in [
            "",
            "nope",
            "price",
            "price:",
            "price:a b",
            "candle:ETH",
            "candle:ETH:",
            "candle:ETH:2m",
            "candle:a b:1m",
            "candle:ETH:1m:x",
            "tx:0x12",
            "new-block:x",
            "heartbeat:1",
            ":",
        ] {
            assert!(bad.parse::<Channel>().is_err(), "{bad:?}");
        }
        assert!("x".repeat(4096).parse::<Channel>().is_err());
    }
}
