//! `contract:NAME`, `contract:NAME:EVENT`: the events of one configured contract.

use std::sync::Arc;

use super::{
    AccessRule, Channel, ChannelKind, DeliveryRule, Requirement, RetentionRule, SnapshotRule,
    StorageRule,
};
use crate::EventName;

pub(super) static KIND: ChannelKind = ChannelKind {
    prefix: "contract",
    forms: &["contract:NAME", "contract:NAME:EVENT"],
    examples: &["contract:usdc", "contract:usdc:transfer"],
    parse,
    write_rest: |channel, f| match channel {
        Channel::Contract(name, None) => write!(f, ":{name}"),
        Channel::Contract(name, Some(event)) => write!(f, ":{name}:{event}"),
        _ => Ok(()),
    },
    events: &[EventName::ContractEvent, EventName::ContractReorg],
    published_as: None,
    // After a reorg the newest remaining event is not known: no snapshot until the next event.
    snapshot: SnapshotRule::NewestUnlessWithdrawn {
        of: EventName::ContractEvent,
        by: EventName::ContractReorg,
    },
    delivery: DeliveryRule::AllByDefault,
    storage: StorageRule::Stored,
    retention: RetentionRule::Shared,
    access: AccessRule::Public,
    kept_without_subscribers: true,
    requirement: |channel| match channel {
        Channel::Contract(name, event) => Requirement::Contract(name, event.as_deref()),
        _ => Requirement::Nothing,
    },
};

const WORD: &str = "names of contracts and events consist of letters, digits, '_', '-', '.' and '$', as in contract:usdc:Transfer";

fn parse(rest: Option<&str>) -> Result<Channel, &'static str> {
    let rest = rest.unwrap_or_default();
    match rest.split_once(':') {
        None => Ok(Channel::Contract(word(rest)?, None)),
        Some((name, event)) => Ok(Channel::Contract(word(name)?, Some(word(event)?))),
    }
}

fn word(text: &str) -> Result<Arc<str>, &'static str> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '$');
    match !text.is_empty() && text.chars().all(allowed) {
        true => Ok(text.to_ascii_lowercase().into()),
        false => Err(WORD),
    }
}

impl Channel {
    /// What the name of every contract's channel begins with.
    pub fn contract_names() -> String {
        format!("{}:", KIND.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::channel::tests::{assert_parses, assert_rejects};

    #[test]
    fn parses_names_and_events_of_any_case() {
        assert_parses(&[
            ("contract:Vault", "contract:vault"),
            ("contract:Vault:Deposit", "contract:vault:deposit"),
        ]);
        let bad = ["contract", "contract:", "contract:a b", "contract:usdc:"];
        assert_rejects(&bad, WORD);
    }
}
