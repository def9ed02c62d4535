//! `candle:TOKEN:INTERVAL`: the candles of one token's price.

use super::{
    AccessRule, Channel, ChannelKind, DeliveryRule, Requirement, RetentionRule, SnapshotRule,
    StorageRule,
};
use crate::EventName;

pub(super) static KIND: ChannelKind = ChannelKind {
    prefix: "candle",
    forms: &["candle:TOKEN:INTERVAL (1m, 5m, 15m, 1h, 4h or 1d)"],
    examples: &["candle:ETH:1m"],
    parse,
    write_rest: |channel, f| match channel {
        Channel::Candle(token, interval) => write!(f, ":{token}:{interval}"),
        _ => Ok(()),
    },
    events: &[EventName::CandleUpdate],
    published_as: None,
    snapshot: SnapshotRule::Newest(EventName::CandleUpdate),
    // Not the newest only: the first update of the next candle would replace a close.
    delivery: DeliveryRule::AllByDefault,
    storage: StorageRule::Stored,
    retention: RetentionRule::Shared,
    access: AccessRule::Public,
    // Each token has six of these channels, and few have subscribers.
    kept_without_subscribers: false,
    requirement: |channel| match channel {
        Channel::Candle(token, _) => Requirement::Token(token),
        _ => Requirement::Nothing,
    },
};

const CANDLE: &str =
    "use candle:TOKEN:INTERVAL with the interval 1m, 5m, 15m, 1h, 4h or 1d, as in candle:ETH:1m";

fn parse(rest: Option<&str>) -> Result<Channel, &'static str> {
    let (token, interval) = rest.and_then(|rest| rest.split_once(':')).ok_or(CANDLE)?;
    match (token.parse(), interval.parse()) {
        (Ok(token), Ok(interval)) => Ok(Channel::Candle(token, interval)),
        _ => Err(CANDLE),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        CandleInterval,
        channel::tests::{assert_parses, assert_rejects},
    };

    #[test]
    fn parses_token_and_interval() {
        assert_parses(&[("Candle:eth:1M", "candle:ETH:1m")]);
        let bad = [
            "candle",
            "candle:ETH",
            "candle:ETH:",
            "candle:ETH:2m",
            "candle:a b:1m",
            "candle:ETH:1m:x",
        ];
        assert_rejects(&bad, CANDLE);
    }

    #[test]
    fn texts_list_all_intervals() {
        for interval in CandleInterval::ALL {
            for text in [CANDLE, KIND.forms[0]] {
                assert!(text.contains(interval.name()), "{text}");
            }
        }
    }
}
