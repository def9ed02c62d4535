//! Names of the streams that clients subscribe to, and the table of their kinds.
//!
//! A kind is one file here, with a [`ChannelKind`] that decides everything about it, and one line in the table below.

mod kind;

mod address;
mod announcements;
mod candle;
mod contract;
mod heartbeat;
mod new_block;
mod price;
mod room;
mod transaction;
mod user;

#[cfg(test)]
mod tests;

use std::{
    fmt,
    str::FromStr,
    sync::{Arc, LazyLock},
};

use alloy_primitives::{Address, B256};

pub use self::kind::{
    AccessRule, ChannelKind, DeliveryRule, Requirement, RetentionRule, SnapshotChange,
    SnapshotRule, StorageRule,
};
use super::{CandleInterval, ChainId, Token};

macro_rules! channel_kinds {
    ($($(#[$doc:meta])* $variant:ident $(($($part:ty),+))? in $file:ident;)+) => {
        /// A named stream. Parsed case-insensitively, displayed in canonical form.
        #[derive(Debug, Clone, PartialEq, Eq, Hash)]
        pub enum Channel {
            $($(#[$doc])* $variant $(($($part),+))?,)+
        }

        /// Every kind of channel, in the order in which error messages list their forms.
        pub static KINDS: &[&ChannelKind] = &[$(&$file::KIND),+];

        impl Channel {
            /// The index of its kind in [`KINDS`].
            pub fn kind_index(&self) -> usize {
                enum Index {
                    $($variant),+
                }
                match self {
                    $(Self::$variant { .. } => Index::$variant as usize,)+
                }
            }
        }
    };
}

channel_kinds! {
    /// The blocks of a chain; `None` is the first configured chain, displayed as `new-block`. The gateway and the writers
    /// convert `new-block:CHAIN_ID` of that chain to it (see [`Channel::canonical`]).
    NewBlock(Option<ChainId>) in new_block;
    /// The price of a token in USD.
    Price(Token) in price;
    /// The candles of a token's price: updates of the open candle, and its close.
    Candle(Token, CandleInterval) in candle;
    /// The state of one transaction, by its hash.
    Tx(B256) in transaction;
    /// Transactions and transfers of one address.
    Address(Address) in address;
    /// Events of a configured contract: its lower-case name, optionally with one event.
    Contract(Arc<str>, Option<Arc<str>>) in contract;
    /// Sent by each gateway once per second; never stored, without seq.
    Heartbeat in heartbeat;
    /// Private to the subject of a JWT. Subjects are case-sensitive.
    User(Arc<str>) in user;
    /// Messages of clients to each other: the lower-case name.
    Room(Arc<str>) in room;
    /// Notices of the application to everybody.
    Announcements in announcements;
}

/// Why a name is not a channel: the name, truncated to the longest valid length, and the reason.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown channel {name:?}: {reason}")]
pub struct ChannelError {
    /// At most 160 bytes of the name.
    pub name: String,
    reason: &'static str,
}

/// The longest channel name that is parsed, in bytes.
const MAX_NAME: usize = 160;
const TOO_LONG: &str = "the name is longer than 160 bytes";

/// The forms of names of every kind, as the reason why a name is not one of them.
static FORMS: LazyLock<String> = LazyLock::new(|| {
    let forms: Vec<&str> = KINDS.iter().flat_map(|kind| kind.forms).copied().collect();
    match forms.as_slice() {
        [first @ .., last] => format!("use {} or {last}", first.join(", ")),
        [] => String::new(),
    }
});

/// A name for error messages, truncated to the longest valid length.
pub fn truncated_name(name: &str) -> String {
    let end = (0..=MAX_NAME.min(name.len())).rev();
    let end = end.into_iter().find(|at| name.is_char_boundary(*at));
    name[..end.unwrap_or(0)].to_owned()
}

impl Channel {
    /// What channels of its kind are.
    pub fn kind(&self) -> &'static ChannelKind {
        KINDS[self.kind_index()]
    }

    /// Whether its updates are stored and have a `seq`.
    pub fn has_position(&self) -> bool {
        !matches!(self.kind().storage, StorageRule::Live)
    }

    /// Whether updates are stored only while the channel has, or recently had, subscribers.
    pub fn is_watched(&self) -> bool {
        matches!(self.kind().storage, StorageRule::Watched(_))
    }

    /// Whether there can be very many channels of its kind, most of them quiet.
    pub fn is_numerous(&self) -> bool {
        self.is_watched() || matches!(self.kind().access, AccessRule::Room)
    }

    /// The bytes that a watched channel watches: a transaction's hash or an address; `None` for any other channel.
    pub fn watch_key(&self) -> Option<&[u8]> {
        match self.kind().storage {
            StorageRule::Watched(key) => key(self),
            StorageRule::Live | StorageRule::Stored => None,
        }
    }

    /// Whether only one subject may subscribe.
    pub fn is_private(&self) -> bool {
        matches!(self.kind().access, AccessRule::Subject(_))
    }

    /// The subject of a private channel; `None` for any other.
    pub fn subject(&self) -> Option<&str> {
        match self.kind().access {
            AccessRule::Subject(subject) => subject(self),
            AccessRule::Public | AccessRule::Room => None,
        }
    }

    /// What a deployment must have, so that it has this channel.
    pub fn requirement(&self) -> Requirement<'_> {
        (self.kind().requirement)(self)
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
        let (prefix, rest) = match name.split_once(':') {
            Some((prefix, rest)) => (prefix, Some(rest)),
            None => (name, None),
        };
        let mut kinds = KINDS.iter();
        match kinds.find(|kind| kind.prefix.eq_ignore_ascii_case(prefix)) {
            Some(kind) => (kind.parse)(rest).map_err(refused),
            None => Err(refused(FORMS.as_str())),
        }
    }
}

impl fmt::Display for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = self.kind();
        f.write_str(kind.prefix)?;
        (kind.write_rest)(self, f)
    }
}

/// 0x-prefixed hex of exactly the target's length.
fn parse_hex<T: FromStr>(text: Option<&str>) -> Option<T> {
    let lower = text?.to_ascii_lowercase();
    lower
        .starts_with("0x")
        .then(|| lower.parse().ok())
        .flatten()
}
