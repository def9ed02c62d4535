//! `new-block`, `new-block:CHAIN_ID`: the blocks of one chain.

use super::{
    AccessRule, Channel, ChannelKind, DeliveryRule, Requirement, RetentionRule, SnapshotRule,
    StorageRule,
};
use crate::{ChainId, EventName};

pub(super) static KIND: ChannelKind = ChannelKind {
    prefix: "new-block",
    forms: &["new-block", "new-block:CHAIN_ID"],
    examples: &["new-block", "new-block:10"],
    parse,
    write_rest: |channel, f| match channel {
        Channel::NewBlock(Some(chain)) => write!(f, ":{chain}"),
        _ => Ok(()),
    },
    events: &[
        EventName::NewBlock,
        EventName::Reorg,
        EventName::BlockFinalized,
    ],
    published_as: None,
    snapshot: SnapshotRule::Newest(EventName::NewBlock),
    delivery: DeliveryRule::AllOnly("blocks"),
    storage: StorageRule::Stored,
    retention: RetentionRule::Shared,
    access: AccessRule::Public,
    kept_without_subscribers: true,
    requirement: |channel| match channel {
        Channel::NewBlock(chain) => Requirement::Chain(*chain),
        _ => Requirement::Nothing,
    },
};

const CHAIN_ID: &str = "a chain id is a number above 0, as in new-block:1";

fn parse(rest: Option<&str>) -> Result<Channel, &'static str> {
    match rest.map(str::parse) {
        None => Ok(Channel::NewBlock(None)),
        Some(Ok(chain)) if chain > 0 => Ok(Channel::NewBlock(Some(chain))),
        Some(_) => Err(CHAIN_ID),
    }
}

impl Channel {
    /// The canonical channel in a deployment whose first configured chain is `first`.
    pub fn canonical(self, first: ChainId) -> Self {
        match self {
            Self::NewBlock(Some(chain)) if chain == first => Self::NewBlock(None),
            other => other,
        }
    }

    /// The channel of `chain`, if the name left open of which chain it is.
    pub fn on_chain(self, chain: ChainId) -> Self {
        match self {
            Self::NewBlock(None) => Self::NewBlock(Some(chain)),
            other => other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::channel::tests::{assert_parses, assert_rejects};

    #[test]
    fn parses_chain_ids_above_zero() {
        assert_parses(&[("New-Block", "new-block"), ("new-block:10", "new-block:10")]);
        assert_rejects(&["new-block:", "new-block:x", "new-block:0"], CHAIN_ID);
    }

    #[test]
    fn first_chain_has_one_block_channel() {
        for (chain, canonical) in [(1, None), (10, Some(10))] {
            assert_eq!(
                Channel::NewBlock(Some(chain)).canonical(1),
                Channel::NewBlock(canonical)
            );
        }
    }

    #[test]
    fn only_open_names_take_the_given_chain() {
        let on_chain = |channel: Channel| channel.on_chain(10);
        assert_eq!(
            on_chain(Channel::NewBlock(None)),
            Channel::NewBlock(Some(10))
        );
        for named in [Channel::NewBlock(Some(1)), Channel::Heartbeat] {
            assert_eq!(on_chain(named.clone()), named);
        }
    }
}
