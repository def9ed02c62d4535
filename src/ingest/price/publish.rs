//! When a price is announced: as soon as it is news, but not too often, and now and then although it is none.

use bigdecimal::BigDecimal;

use crate::{
    model::{Price, PriceStatus},
    source::price::PublishRules,
};

/// The price of a token that was announced last. Later ticks that say the same move the times in it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Said {
    pub(super) price: Price,
    /// In ms since the Unix epoch.
    pub(super) announced_at: i64,
}

/// What becomes of a price.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Announce,
    /// It is news, but too soon: to be looked at again then, in ms since the Unix epoch.
    Wait(i64),
    /// Nothing to say, but that it is as it was.
    Keep,
}

/// What becomes of `price` when `said` was announced last.
pub(super) fn verdict(rules: &PublishRules, said: &Said, price: &Price, now_ms: i64) -> Verdict {
    if !is_news(rules, &said.price, price) && !is_due(rules, said, price, now_ms) {
        return Verdict::Keep;
    }
    let since = now_ms.saturating_sub(said.announced_at);
    let least = rules.min_interval_ms.cast_signed();
    // A clock that was set back must not keep a token silent.
    if (0..least).contains(&since) {
        Verdict::Wait(said.announced_at.saturating_add(least))
    } else {
        Verdict::Announce
    }
}

/// When it is announced again although it is the same, in ms since the Unix epoch.
pub(super) fn heartbeat_at(rules: &PublishRules, said: &Said) -> Option<i64> {
    let beats = rules.heartbeat_ms > 0 && said.price.status != PriceStatus::Stale;
    beats.then(|| {
        said.announced_at
            .saturating_add(rules.heartbeat_ms.cast_signed())
    })
}

fn is_due(rules: &PublishRules, said: &Said, price: &Price, now_ms: i64) -> bool {
    price.status != PriceStatus::Stale
        && heartbeat_at(rules, said).is_some_and(|beat| now_ms >= beat)
}

fn is_news(rules: &PublishRules, said: &Price, price: &Price) -> bool {
    if price.status != said.status || price.sources != said.sources {
        return true;
    }
    // A stale price stays what it is, whatever else would make it stale by now. One reason may put the number in doubt or
    // not: a rate of too few venues may also have jumped.
    if price.status == PriceStatus::Degraded
        && (price.reason != said.reason || price.doubtful != said.doubtful)
    {
        return true;
    }
    if rules.bps == 0 {
        return price.price != said.price || price.confidence != said.confidence;
    }
    let change = (&price.price - &said.price).abs();
    change * BigDecimal::from(10_000) >= &said.price * BigDecimal::from(rules.bps)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::PriceReason;

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

    fn said(text: &str) -> Said {
        Said {
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
    fn without_a_threshold_every_change_of_price_or_confidence_is_announced() {
        let rules = rules(0, 0, 0);
        let verdict = |price: &Price| verdict(&rules, &said("100"), price, NOW);
        assert_eq!(verdict(&price("100.0")), Verdict::Keep);
        assert_eq!(verdict(&price("100.000000000000000001")), Verdict::Announce);
        let surer = Price {
            confidence: 0.into(),
            ..price("100")
        };
        assert_eq!(verdict(&surer), Verdict::Announce);
    }

    #[test]
    fn a_change_is_announced_from_exactly_the_configured_basis_points_on() {
        let rules = rules(50, 0, 0);
        let verdict = |price: &Price| verdict(&rules, &said("200"), price, NOW);
        for quiet in ["200", "200.999999999999999999", "199.000000000000000001"] {
            assert_eq!(verdict(&price(quiet)), Verdict::Keep, "{quiet}");
        }
        for news in ["201", "199", "500"] {
            assert_eq!(verdict(&price(news)), Verdict::Announce, "{news}");
        }
        let fewer = Price {
            status: PriceStatus::Degraded,
            ..price("200")
        };
        assert_eq!(verdict(&fewer), Verdict::Announce);
        let others = Price {
            sources: vec!["b".into()],
            ..price("200")
        };
        assert_eq!(verdict(&others), Verdict::Announce);
    }

    #[test]
    fn another_reason_to_be_degraded_is_news_and_to_be_stale_is_not() {
        for (status, expected) in [
            (PriceStatus::Degraded, Verdict::Announce),
            (PriceStatus::Stale, Verdict::Keep),
        ] {
            let because = |reason| Price {
                status,
                reason: Some(reason),
                ..price("200")
            };
            let said = Said {
                price: because(PriceReason::NodeDown),
                announced_at: NOW,
            };
            let verdict = |price: &Price| verdict(&rules(50, 0, 0), &said, price, NOW);
            assert_eq!(verdict(&because(PriceReason::NodeDown)), Verdict::Keep);
            assert_eq!(verdict(&because(PriceReason::Old)), expected);
        }
    }

    #[test]
    fn a_degraded_price_whose_doubt_ends_is_news() {
        let because_of_a_rate = |doubtful| Price {
            status: PriceStatus::Degraded,
            reason: Some(PriceReason::Rate),
            doubtful,
            ..price("200")
        };
        for doubtful in [true, false] {
            let said = Said {
                price: because_of_a_rate(doubtful),
                announced_at: NOW,
            };
            let verdict = |price: &Price| verdict(&rules(50, 0, 0), &said, price, NOW);
            assert_eq!(verdict(&because_of_a_rate(doubtful)), Verdict::Keep);
            assert_eq!(verdict(&because_of_a_rate(!doubtful)), Verdict::Announce);
        }
    }

    #[test]
    fn news_within_the_interval_waits_for_its_end() {
        let rules = rules(0, 0, 250);
        let at = |now| verdict(&rules, &said("100"), &price("101"), now);
        assert_eq!(at(NOW), Verdict::Wait(NOW + 250));
        assert_eq!(at(NOW + 249), Verdict::Wait(NOW + 250));
        assert_eq!(at(NOW + 250), Verdict::Announce);
        // The clock was set back.
        assert_eq!(at(NOW - 60_000), Verdict::Announce);
        assert_eq!(
            verdict(&rules, &said("100"), &price("100"), NOW),
            Verdict::Keep
        );
    }

    #[test]
    fn an_unchanged_price_is_announced_at_its_heartbeat_unless_it_is_stale() {
        let rules = rules(50, 1_000, 0);
        let at = |now| verdict(&rules, &said("100"), &price("100"), now);
        assert_eq!(at(NOW + 999), Verdict::Keep);
        assert_eq!(at(NOW + 1_000), Verdict::Announce);
        let mut stale = said("100");
        stale.price.status = PriceStatus::Stale;
        let later = NOW + 9_000;
        assert_eq!(verdict(&rules, &stale, &stale.price, later), Verdict::Keep);
        assert_eq!(heartbeat_at(&rules, &stale), None);
    }
}
