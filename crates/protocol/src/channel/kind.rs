//! What a kind of channel is: one [`ChannelKind`] decides it for every part of the system.

use std::fmt;

use super::Channel;
use crate::{ChainId, EventName, Token};

/// One kind of channels. The functions get channels of this kind only.
#[derive(Debug)]
pub struct ChannelKind {
    /// The text of a name up to its first `:`, and the kind's label in metrics.
    pub prefix: &'static str,
    /// The forms of names, for error messages: the prefix, and placeholders in capitals.
    pub forms: &'static [&'static str],
    /// A canonical name of each form.
    pub examples: &'static [&'static str],
    /// Parses what follows `prefix:` in a name; `None` without a `:`. The error is the reason for a client.
    pub parse: fn(Option<&str>) -> Result<Channel, &'static str>,
    /// Writes what follows the prefix, with its `:`.
    pub write_rest: fn(&Channel, &mut fmt::Formatter<'_>) -> fmt::Result,
    /// The events that these channels carry.
    pub events: &'static [EventName],
    /// The event that a message of a client to one of these channels becomes; `None` if clients cannot publish to them.
    pub published_as: Option<EventName>,
    /// What a new subscriber gets first.
    pub snapshot: SnapshotRule,
    /// Whether a slow client may skip updates.
    pub delivery: DeliveryRule,
    /// Whether updates are stored and have a `seq`.
    pub storage: StorageRule,
    /// Which limit bounds the stored updates.
    pub retention: RetentionRule,
    /// Who may subscribe.
    pub access: AccessRule,
    /// Whether the hub keeps a channel in memory while it has no subscribers but is updated.
    pub kept_without_subscribers: bool,
    /// What a deployment must have, so that it has the channel.
    pub requirement: fn(&Channel) -> Requirement<'_>,
}

/// What a new subscriber gets first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SnapshotRule {
    /// Nothing: the first message is the next update.
    Nothing,
    /// The newest update with this event.
    Newest(EventName),
    /// The newest update with the event `of`, unless a later one with `by` may have withdrawn it.
    NewestUnlessWithdrawn {
        /// The event of the snapshot.
        of: EventName,
        /// The event after which an earlier update may be invalid.
        by: EventName,
    },
    /// The state of the channel's transaction, as this event.
    TransactionState(EventName),
    /// The subject's deliveries that are not acknowledged: read for each subscription, never kept in memory.
    Unacknowledged,
}

/// What an update does to the snapshot in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SnapshotChange {
    /// The snapshot stays as it is.
    Keep,
    /// The update is the new snapshot.
    Replace,
    /// There is no snapshot until the next update that is one.
    Clear,
}

impl SnapshotRule {
    /// Whether the hub keeps a snapshot in memory, which it first reads from the store.
    pub fn is_kept(&self) -> bool {
        !matches!(self, Self::Nothing | Self::Unacknowledged)
    }

    /// The effect of a new update with this event.
    pub fn change(&self, event: &EventName) -> SnapshotChange {
        match self {
            Self::Newest(of) | Self::TransactionState(of) if event == of => SnapshotChange::Replace,
            Self::NewestUnlessWithdrawn { of, .. } if event == of => SnapshotChange::Replace,
            // Also an event of a newer version may withdraw the snapshot.
            Self::NewestUnlessWithdrawn { .. } => SnapshotChange::Clear,
            _ => SnapshotChange::Keep,
        }
    }
}

/// Which updates a subscription gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeliveryRule {
    /// Every update, unless the client asks for the newest (`latest`).
    AllByDefault,
    /// The newest update, unless the client asks for every one (`all`).
    LatestByDefault,
    /// Every update, always. Names what no client may skip.
    AllOnly(&'static str),
}

/// Which updates are stored, and so have a position (`seq`).
#[derive(Debug, Clone, Copy)]
pub enum StorageRule {
    /// None: each gateway sends its own. No position.
    Live,
    /// Every update whose event is stored ([`EventName::is_stored`]).
    Stored,
    /// Updates while the channel has, or recently had, subscribers. The function returns the bytes that are watched: a
    /// transaction's hash or an address.
    Watched(fn(&Channel) -> Option<&[u8]>),
}

/// How many of the newest updates of a channel the store keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RetentionRule {
    /// As many as of any channel that everybody shares.
    Shared,
    /// As many as of a channel of one subject.
    Subject,
    /// As many as the configuration of the room says.
    Room,
}

/// Who may subscribe.
#[derive(Debug, Clone, Copy)]
pub enum AccessRule {
    /// Everybody whose JWT, if any, does not exclude the channel.
    Public,
    /// Only the subject that the function returns.
    Subject(fn(&Channel) -> Option<&str>),
    /// Those that the configuration of the room admits.
    Room,
}

/// What a deployment must have, so that it has a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Requirement<'c> {
    /// Nothing: every deployment has the channel.
    Nothing,
    /// The chain, as an indexed one; `None` is the first configured chain.
    Chain(Option<ChainId>),
    /// A chain whose transactions are indexed.
    Transactions,
    /// The token, as a tracked one.
    Token(&'c Token),
    /// The contract, and the event if there is one, by their lower-case names.
    Contract(&'c str, Option<&'c str>),
    /// A configured room that has this name.
    Room(&'c str),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_own_events_change_snapshots() {
        use SnapshotChange::{Clear, Keep, Replace};
        let withdrawn = SnapshotRule::NewestUnlessWithdrawn {
            of: EventName::ContractEvent,
            by: EventName::ContractReorg,
        };
        let newest = SnapshotRule::Newest(EventName::NewBlock);
        for (rule, event, change) in [
            (&newest, "new-block", Replace),
            (&newest, "reorg", Keep),
            (&newest, "block-verified", Keep),
            (&withdrawn, "contract-event", Replace),
            (&withdrawn, "contract-reorg", Clear),
            (&withdrawn, "contract-change", Clear),
            (&SnapshotRule::Nothing, "address-reorg", Keep),
            (&SnapshotRule::Unacknowledged, "price-alert", Keep),
        ] {
            assert_eq!(rule.change(&event.into()), change, "{rule:?} {event}");
        }
    }
}
