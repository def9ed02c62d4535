//! When a price is announced: when it changes, at most once per minimum interval, and at each heartbeat.

use bigdecimal::BigDecimal;

use chaincast_model::Price;
use chaincast_prices::PublishRules;
use chaincast_protocol::PriceStatus;

/// The price of a token that was announced last. Later ticks that confirm it update its times.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct PublishedPrice {
    pub(super) price: Price,
    /// In ms since the Unix epoch.
    pub(super) announced_at: i64,
}

/// Whether to announce a price.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PublishDecision {
    Announce,
    /// It changed within the minimum interval: evaluate it again at this time, in ms since the Unix epoch.
    Defer(i64),
    /// It did not change.
    Unchanged,
}

/// Whether to announce `price` when `published` was announced last.
pub(super) fn decide(
    rules: &PublishRules,
    published: &PublishedPrice,
    price: &Price,
    now_ms: i64,
) -> PublishDecision {
    if !is_change(rules, &published.price, price) && !is_due(rules, published, price, now_ms) {
        return PublishDecision::Unchanged;
    }
    let since = now_ms.saturating_sub(published.announced_at);
    let least = rules.min_interval_ms.cast_signed();
    // A clock that was set back must not block a token's announcements.
    if (0..least).contains(&since) {
        PublishDecision::Defer(published.announced_at.saturating_add(least))
    } else {
        PublishDecision::Announce
    }
}

/// When an unchanged price is announced again, in ms since the Unix epoch.
pub(super) fn heartbeat_at(rules: &PublishRules, published: &PublishedPrice) -> Option<i64> {
    let has_heartbeat = rules.heartbeat_ms > 0 && published.price.status != PriceStatus::Stale;
    has_heartbeat.then(|| {
        published
            .announced_at
            .saturating_add(rules.heartbeat_ms.cast_signed())
    })
}

fn is_due(rules: &PublishRules, published: &PublishedPrice, price: &Price, now_ms: i64) -> bool {
    price.status != PriceStatus::Stale
        && heartbeat_at(rules, published).is_some_and(|beat| now_ms >= beat)
}

fn is_change(rules: &PublishRules, published: &Price, price: &Price) -> bool {
    if price.status != published.status || price.sources != published.sources {
        return true;
    }
    // A change of the reason does not matter for a stale price. One reason may leave the number doubtful or not: a rate
    // from too few venues may also have jumped.
    if price.status == PriceStatus::Degraded
        && (price.reason != published.reason || price.doubtful != published.doubtful)
    {
        return true;
    }
    if rules.bps == 0 {
        return price.price != published.price || price.confidence != published.confidence;
    }
    let change = (&price.price - &published.price).abs();
    change * BigDecimal::from(10_000) >= &published.price * BigDecimal::from(rules.bps)
}

#[cfg(test)]
mod tests {
    use super::*;
    use chaincast_protocol::PriceReason;

    const NOW: i64 = 1_700_000_000_000;

    fn price(text: &str) -> Price {
        Price {
            token: "ETH".parse().unwrap(),
            price: text.parse().unwrap(),
            confidence: 1.into(),
            sources: vec!["a".into()],
            details: Vec::new(),
            status: PriceStatus::Ok,
            reason: None,
            doubtful: false,
            observed_at: NOW,
            expires_at: NOW,
        }
    }

    fn published(text: &str) -> PublishedPrice {
        PublishedPrice {
            price: price(text),
            announced_at: NOW,
        }
    }

    fn rules(bps: u32, heartbeat_ms: u64, min_interval_ms: u64) -> PublishRules {
        PublishRules {
            bps,
            heartbeat_ms,
            min_interval_ms,
        }
    }

    #[test]
    fn zero_threshold_announces_every_change() {
        let rules = rules(0, 0, 0);
        let decide = |price: &Price| decide(&rules, &published("100"), price, NOW);
        assert_eq!(decide(&price("100.0")), PublishDecision::Unchanged);
        assert_eq!(
            decide(&price("100.000000000000000001")),
            PublishDecision::Announce
        );
        let surer = Price {
            confidence: 0.into(),
            ..price("100")
        };
        assert_eq!(decide(&surer), PublishDecision::Announce);
    }

    #[test]
    fn announces_change_from_exact_threshold() {
        let rules = rules(50, 0, 0);
        let decide = |price: &Price| decide(&rules, &published("200"), price, NOW);
        for unchanged in ["200", "200.999999999999999999", "199.000000000000000001"] {
            assert_eq!(
                decide(&price(unchanged)),
                PublishDecision::Unchanged,
                "{unchanged}"
            );
        }
        for changed in ["201", "199", "500"] {
            assert_eq!(
                decide(&price(changed)),
                PublishDecision::Announce,
                "{changed}"
            );
        }
        let fewer = Price {
            status: PriceStatus::Degraded,
            ..price("200")
        };
        assert_eq!(decide(&fewer), PublishDecision::Announce);
        let others = Price {
            sources: vec!["b".into()],
            ..price("200")
        };
        assert_eq!(decide(&others), PublishDecision::Announce);
    }

    #[test]
    fn announces_new_reason_of_degraded_but_not_of_stale() {
        for (status, expected) in [
            (PriceStatus::Degraded, PublishDecision::Announce),
            (PriceStatus::Stale, PublishDecision::Unchanged),
        ] {
            let because = |reason| Price {
                status,
                reason: Some(reason),
                ..price("200")
            };
            let published = PublishedPrice {
                price: because(PriceReason::NodeDown),
                announced_at: NOW,
            };
            let decide = |price: &Price| decide(&rules(50, 0, 0), &published, price, NOW);
            assert_eq!(
                decide(&because(PriceReason::NodeDown)),
                PublishDecision::Unchanged
            );
            assert_eq!(decide(&because(PriceReason::Old)), expected);
        }
    }

    #[test]
    fn announces_degraded_price_when_doubt_ends() {
        let because_of_a_rate = |doubtful| Price {
            status: PriceStatus::Degraded,
            reason: Some(PriceReason::Rate),
            doubtful,
            ..price("200")
        };
        for doubtful in [true, false] {
            let published = PublishedPrice {
                price: because_of_a_rate(doubtful),
                announced_at: NOW,
            };
            let decide = |price: &Price| decide(&rules(50, 0, 0), &published, price, NOW);
            assert_eq!(
                decide(&because_of_a_rate(doubtful)),
                PublishDecision::Unchanged
            );
            assert_eq!(
                decide(&because_of_a_rate(!doubtful)),
                PublishDecision::Announce
            );
        }
    }

    #[test]
    fn change_within_min_interval_is_deferred() {
        let rules = rules(0, 0, 250);
        let at = |now| decide(&rules, &published("100"), &price("101"), now);
        assert_eq!(at(NOW), PublishDecision::Defer(NOW + 250));
        assert_eq!(at(NOW + 249), PublishDecision::Defer(NOW + 250));
        assert_eq!(at(NOW + 250), PublishDecision::Announce);
        // The clock was set back.
        assert_eq!(at(NOW - 60_000), PublishDecision::Announce);
        assert_eq!(
            decide(&rules, &published("100"), &price("100"), NOW),
            PublishDecision::Unchanged
        );
    }

    #[test]
    fn heartbeat_announces_unchanged_price_unless_stale() {
        let rules = rules(50, 1_000, 0);
        let at = |now| decide(&rules, &published("100"), &price("100"), now);
        assert_eq!(at(NOW + 999), PublishDecision::Unchanged);
        assert_eq!(at(NOW + 1_000), PublishDecision::Announce);
        let mut stale = published("100");
        stale.price.status = PriceStatus::Stale;
        let later = NOW + 9_000;
        assert_eq!(
            decide(&rules, &stale, &stale.price, later),
            PublishDecision::Unchanged
        );
        assert_eq!(heartbeat_at(&rules, &stale), None);
    }
}
