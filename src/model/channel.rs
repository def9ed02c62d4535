//! Names of the streams that clients subscribe to.

use std::{fmt, str::FromStr, sync::Arc};

use alloy::primitives::{Address, B256};

use super::{CandleInterval, ChainId, Token};

/// A named stream. Case-insensitive when parsed, canonical when shown.
///
/// [`Channel::NewBlock`] with `None` is the stream of the first configured chain, shown as `new-block`; the
/// gateway and the store's writers turn `new-block:CHAIN_ID` of that chain into it (see [`Channel::canonical`]).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Channel {
    NewBlock(Option<ChainId>),
    Price(Token),
    /// The candles of a token's price: the open one as it grows, and its close.
    Candle(Token, CandleInterval),
    /// Made by each gateway once a second; it is never stored and has no seq.
    Heartbeat,
    Tx(B256),
    Address(Address),
    /// Events of a configured contract: lower-case contract name, optionally one event.
    Contract(Arc<str>, Option<Arc<str>>),
    /// Private to the subject of a token. Subjects keep their case.
    User(Arc<str>),
}

/// Why a text names no channel.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "unknown channel {0:?}: use new-block, new-block:CHAIN_ID, price:TOKEN, candle:TOKEN:INTERVAL (1m, 5m, 15m, 1h, 4h or 1d), tx:HASH, address:ADDRESS, contract:NAME, contract:NAME:EVENT, heartbeat or user:SUBJECT"
)]
pub struct ChannelError(pub String);

/// The longest channel name that is parsed, in bytes.
const MAX_NAME: usize = 160;

impl Channel {
    /// The one name of this channel in a deployment whose first configured chain is `first`.
    pub fn canonical(self, first: ChainId) -> Self {
        match self {
            Self::NewBlock(Some(id)) if id == first => Self::NewBlock(None),
            other => other,
        }
    }

    /// Whether its updates are stored only while somebody listens, or did not long ago.
    pub fn is_watched(&self) -> bool {
        matches!(self, Self::Tx(_) | Self::Address(_))
    }

    /// Whether a subscription without a `mode` keeps only the newest update (`latest`) instead of all. Not of candles:
    /// the first update of the next one would take the place of a close.
    pub fn is_latest_by_default(&self) -> bool {
        matches!(self, Self::Price(_))
    }
}

impl FromStr for Channel {
    type Err = ChannelError;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let unknown = || ChannelError(name.chars().take(64).collect());
        if name.len() > MAX_NAME {
            return Err(unknown());
        }
        let (kind, rest) = match name.split_once(':') {
            Some((kind, rest)) if !rest.is_empty() => (kind, Some(rest)),
            Some(_) => return Err(unknown()),
            None => (name, None),
        };
        let word = |text: &str| -> Result<Arc<str>, ChannelError> {
            let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '$');
            let good = !text.is_empty() && text.chars().all(allowed);
            if good {
                Ok(text.into())
            } else {
                Err(unknown())
            }
        };
        match (kind.to_ascii_lowercase().as_str(), rest) {
            ("new-block", None) => Ok(Self::NewBlock(None)),
            ("new-block", Some(id)) => match id.parse() {
                Ok(id) if id > 0 => Ok(Self::NewBlock(Some(id))),
                _ => Err(unknown()),
            },
            ("heartbeat", None) => Ok(Self::Heartbeat),
            ("price", Some(token)) => token.parse().map(Self::Price).map_err(|_| unknown()),
            ("candle", Some(rest)) => match rest.split_once(':') {
                Some((token, interval)) => {
                    match (token.parse::<Token>(), interval.parse::<CandleInterval>()) {
                        (Ok(token), Ok(interval)) => Ok(Self::Candle(token, interval)),
                        _ => Err(unknown()),
                    }
                }
                None => Err(unknown()),
            },
            ("tx", Some(hash)) => prefixed(hash).map(Self::Tx).ok_or_else(unknown),
            ("address", Some(addr)) => prefixed(addr).map(Self::Address).ok_or_else(unknown),
            ("contract", Some(rest)) => match rest.split_once(':') {
                None => Ok(Self::Contract(word(&rest.to_ascii_lowercase())?, None)),
                Some((name, event)) => Ok(Self::Contract(
                    word(&name.to_ascii_lowercase())?,
                    Some(word(&event.to_ascii_lowercase())?),
                )),
            },
            ("user", Some(subject)) if !subject.chars().any(char::is_control) => {
                Ok(Self::User(subject.into()))
            }
            _ => Err(unknown()),
        }
    }
}

/// 0x-prefixed hex of exactly the target's length.
fn prefixed<T: FromStr>(text: &str) -> Option<T> {
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
    fn names_are_read_in_any_case_and_shown_canonical() {
        for (given, shown) in [
            ("PRICE:eth", "price:ETH"),
            ("Candle:eth:1M", "candle:ETH:1m"),
            ("New-Block", "new-block"),
            ("new-block:10", "new-block:10"),
            ("Heartbeat", "heartbeat"),
            ("contract:Vault:Deposit", "contract:vault:deposit"),
            ("user:Alice", "user:Alice"),
        ] {
            assert_eq!(given.parse::<Channel>().unwrap().to_string(), shown);
        }
    }

    #[test]
    fn addresses_come_out_checksummed() {
        let channel: Channel = "ADDRESS:0xd8da6bf26964af9d7eed9e03e53415d37aa96045"
            .parse()
            .unwrap();
        assert_eq!(
            channel.to_string(),
            "address:0xd8dA6BF26964aF9D7eEd9e03E53415D37aA96045"
        );
    }

    #[test]
    fn the_first_chains_blocks_have_one_name() {
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
    fn a_refusal_lists_every_interval_of_candles() {
        let error = "candle:ETH:2m".parse::<Channel>().unwrap_err().to_string();
        for interval in CandleInterval::ALL {
            assert!(error.contains(interval.name()), "{error}");
        }
    }

    #[test]
    fn what_names_no_channel_is_refused() {
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
