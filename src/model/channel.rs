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

/// Why a text names no channel: the name as it was given, cut to the longest that is read, and what is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown channel {name:?}: {reason}")]
pub struct ChannelError {
    pub name: String,
    reason: &'static str,
}

/// What names there are.
const FORMS: &str = "use new-block, new-block:CHAIN_ID, price:TOKEN, candle:TOKEN:INTERVAL (1m, 5m, 15m, 1h, 4h or 1d), tx:HASH, \
                     address:ADDRESS, contract:NAME, contract:NAME:EVENT, heartbeat or user:SUBJECT";
const CHAIN_ID: &str = "a chain id is a number above 0, as in new-block:1";
const TOKEN: &str = "a token is 1 to 32 letters, digits, '.', '_' or '-', as in price:ETH";
const CANDLE: &str =
    "use candle:TOKEN:INTERVAL with the interval 1m, 5m, 15m, 1h, 4h or 1d, as in candle:ETH:1m";
const HASH: &str = "a hash has 0x and 64 hex digits";
const ADDRESS: &str = "an address has 0x and 40 hex digits";
const WORD: &str = "names of contracts and events have letters, digits, '_', '-', '.' and '$', as in contract:usdc:Transfer";
const SUBJECT: &str = "a subject has no control characters, as in user:alice";
const NOTHING_BEHIND: &str = "nothing stands behind heartbeat";
const TOO_LONG: &str = "the name is longer than 160 bytes";

/// The longest channel name that is parsed, in bytes.
const MAX_NAME: usize = 160;

/// A name as an answer repeats it: whole when it may be a channel's, else cut to the longest that may.
pub fn shown_name(name: &str) -> String {
    let end = (0..=MAX_NAME.min(name.len())).rev();
    let end = end.into_iter().find(|at| name.is_char_boundary(*at));
    name[..end.unwrap_or(0)].to_owned()
}

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
        let refused = |reason| ChannelError {
            name: shown_name(name),
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
            ("heartbeat", Some(_)) => Err(refused(NOTHING_BEHIND)),
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
            ("tx", hash) => prefixed(hash.unwrap_or_default())
                .map(Self::Tx)
                .ok_or_else(|| refused(HASH)),
            ("address", address) => prefixed(address.unwrap_or_default())
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
        let [error, forms] =
            ["candle:ETH:2m", "nope"].map(|name| name.parse::<Channel>().unwrap_err().to_string());
        for interval in CandleInterval::ALL {
            assert!(error.contains(interval.name()), "{error}");
            assert!(forms.contains(interval.name()), "{forms}");
        }
    }

    #[test]
    fn a_refusal_says_what_is_wrong_with_the_name() {
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
            ("heartbeat:1", NOTHING_BEHIND),
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
    fn a_refused_name_is_whole_up_to_the_longest_valid_one() {
        let name = format!("tx:0x{}", "g".repeat(64));
        assert_eq!(name.parse::<Channel>().unwrap_err().name, name);
        let long = "é".repeat(200);
        let error = long.parse::<Channel>().unwrap_err();
        assert_eq!(error.name, "é".repeat(MAX_NAME / 2));
        assert!(error.to_string().ends_with(TOO_LONG), "{error}");
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
