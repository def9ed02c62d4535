//! `price:TOKEN`: the price of one token.

use super::{
    AccessRule, Channel, ChannelKind, DeliveryRule, Requirement, RetentionRule, SnapshotRule,
    StorageRule,
};
use crate::EventName;

pub(super) static KIND: ChannelKind = ChannelKind {
    prefix: "price",
    forms: &["price:TOKEN"],
    examples: &["price:ETH"],
    parse: |rest| match rest.unwrap_or_default().parse() {
        Ok(token) => Ok(Channel::Price(token)),
        Err(_) => Err(TOKEN),
    },
    write_rest: |channel, f| match channel {
        Channel::Price(token) => write!(f, ":{token}"),
        _ => Ok(()),
    },
    events: &[EventName::PriceUpdate],
    published_as: None,
    snapshot: SnapshotRule::Newest(EventName::PriceUpdate),
    delivery: DeliveryRule::LatestByDefault,
    storage: StorageRule::Stored,
    retention: RetentionRule::Shared,
    access: AccessRule::Public,
    kept_without_subscribers: true,
    requirement: |channel| match channel {
        Channel::Price(token) => Requirement::Token(token),
        _ => Requirement::Nothing,
    },
};

const TOKEN: &str = "a token is 1 to 32 letters, digits, '.', '_' or '-', as in price:ETH";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::channel::tests::{assert_parses, assert_rejects};

    #[test]
    fn parses_tokens_of_any_case() {
        assert_parses(&[("PRICE:eth", "price:ETH")]);
        assert_rejects(&["price", "price:", "price:a b"], TOKEN);
    }
}
