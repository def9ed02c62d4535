//! Whether a price that stands on one venue alone jumped, by what it was before.
//!
//! Where several venues agree, each is checked by the others. One alone is checked by its own past: a price that leaves
//! the settled level by more than `max_jump_bps` is held until the new level lasted for `jump_hold_ms`, or until another
//! venue agrees with it. A price of a contract lasts until the contract says another one; one of a venue elsewhere only
//! as long as the venue goes on to say it. The settled level follows the price at most once in `jump_hold_ms`, so many
//! small steps within that time are a jump as one large step is. Pure but for what it remembers.

use bigdecimal::BigDecimal;

use super::{AggregateRules, aggregate::BPS_PLACES};
use crate::model::Price;

/// What the price of a token is compared with while one venue alone gives it.
#[derive(Debug, Clone, Default)]
pub struct Level {
    settled: Option<Mark>,
    /// The newest price that was not held.
    trusted: Option<BigDecimal>,
    /// The level of a price that is held.
    awaited: Option<Mark>,
}

/// A price, and since when it counts, in ms since the Unix epoch.
#[derive(Debug, Clone)]
struct Mark {
    price: BigDecimal,
    since: i64,
}

/// What a price stands on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Footing {
    /// One venue alone.
    Alone {
        /// When the venue said it, in ms since the Unix epoch; `None` of a contract, whose price holds until its next.
        said_at: Option<i64>,
    },
    /// Several that agree.
    Agreed,
    /// Several that do not.
    Disputed,
}

impl Level {
    /// As a price that was announced earlier leaves it. One that was in doubt may have been held, also when it went stale
    /// since.
    pub fn recalled(price: &Price, announced_at: i64) -> Self {
        let mark = Mark {
            price: price.price.clone(),
            since: announced_at,
        };
        if price.doubtful {
            Self {
                awaited: Some(mark),
                ..Self::default()
            }
        } else {
            Self {
                trusted: Some(mark.price.clone()),
                settled: Some(mark),
                awaited: None,
            }
        }
    }

    /// Takes in a price; whether it is held.
    pub(super) fn holds(
        &mut self,
        price: &BigDecimal,
        footing: Footing,
        rules: &AggregateRules,
        now_ms: i64,
    ) -> bool {
        if rules.max_jump_bps == 0 || rules.jump_hold_ms == 0 {
            *self = Self::default();
            return false;
        }
        match footing {
            Footing::Alone { said_at } => self.alone(price, said_at, rules, now_ms),
            Footing::Agreed => {
                self.settle(price, now_ms);
                false
            }
            Footing::Disputed => {
                // What is disputed does not last.
                self.restart(now_ms);
                false
            }
        }
    }

    fn alone(
        &mut self,
        price: &BigDecimal,
        said_at: Option<i64>,
        rules: &AggregateRules,
        now_ms: i64,
    ) -> bool {
        let lasted_until = |mark: &mut Mark, until: i64| {
            // A clock that was set back begins the time again.
            mark.since = mark.since.min(now_ms);
            let lasted = until.saturating_sub(mark.since);
            u64::try_from(lasted).is_ok_and(|lasted| lasted >= rules.jump_hold_ms)
        };
        if let Some(settled) = &mut self.settled {
            if lasted_until(settled, now_ms)
                && let Some(trusted) = self.trusted.clone()
            {
                *settled = Mark {
                    price: trusted,
                    since: now_ms,
                };
            }
            if is_near(price, &settled.price, rules) {
                self.trusted = Some(price.clone());
                self.awaited = None;
                return false;
            }
        } else if self.awaited.is_none() {
            self.settle(price, now_ms);
            return false;
        }
        match &mut self.awaited {
            Some(awaited) if is_near(price, &awaited.price, rules) => {
                // A venue that fell silent after one bad price confirms nothing.
                if lasted_until(awaited, said_at.unwrap_or(now_ms).min(now_ms)) {
                    self.settle(price, now_ms);
                    return false;
                }
            }
            awaited => {
                *awaited = Some(Mark {
                    price: price.clone(),
                    since: now_ms,
                });
            }
        }
        true
    }

    fn settle(&mut self, price: &BigDecimal, now_ms: i64) {
        self.trusted = Some(price.clone());
        self.settled = Some(Mark {
            price: price.clone(),
            since: now_ms,
        });
        self.awaited = None;
    }

    fn restart(&mut self, now_ms: i64) {
        if let Some(awaited) = &mut self.awaited {
            awaited.since = now_ms;
        }
    }
}

/// Whether a price is within `max_jump_bps` of a level.
fn is_near(price: &BigDecimal, level: &BigDecimal, rules: &AggregateRules) -> bool {
    let most = level * BigDecimal::new(rules.max_jump_bps.into(), BPS_PLACES);
    (price - level).abs() <= most
}

#[cfg(test)]
mod tests {
    use rand::{Rng, SeedableRng, rngs::StdRng};

    use super::{super::aggregate::tests::RULES, *};
    use crate::model::PriceStatus;

    const NOW: i64 = 1_700_000_000_000;
    const HOLD: i64 = 30_000;

    fn rules() -> AggregateRules {
        AggregateRules {
            max_jump_bps: 1_000,
            jump_hold_ms: HOLD.unsigned_abs(),
            ..RULES
        }
    }

    const CONTRACT: Footing = Footing::Alone { said_at: None };

    /// Whether the price is held so many ms after the start.
    fn alone(level: &mut Level, price: &str, after: i64) -> bool {
        level.holds(&price.parse().unwrap(), CONTRACT, &rules(), NOW + after)
    }

    #[test]
    fn a_venue_that_falls_silent_does_not_end_its_hold() {
        let mut level = Level::default();
        let mut held = |price: &str, said: i64, after: i64| {
            let footing = Footing::Alone {
                said_at: Some(NOW + said),
            };
            level.holds(&price.parse().unwrap(), footing, &rules(), NOW + after)
        };
        assert!(!held("3000", 0, 0));
        assert!(held("30", 900, 1_000));
        // The same tick, however long ago; and another one that was too soon.
        assert!(held("30", 900, 31_000));
        assert!(held("30", 900, 3_600_000));
        assert!(held("30", 30_999, 3_600_000));
        assert!(!held("30", 31_000, 3_600_000));
    }

    #[test]
    fn holds_a_jump_until_it_lasted() {
        let mut level = Level::default();
        assert!(!alone(&mut level, "3000", 0));
        assert!(alone(&mut level, "30", 1_000));
        assert!(alone(&mut level, "31", 30_999));
        assert!(!alone(&mut level, "31", 31_000));
        // Back up is a jump too.
        assert!(alone(&mut level, "3000", 32_000));
    }

    #[test]
    fn a_return_to_the_settled_level_ends_the_hold() {
        let mut level = Level::default();
        assert!(!alone(&mut level, "3000", 0));
        assert!(alone(&mut level, "30", 1_000));
        assert!(!alone(&mut level, "3001", 2_000));
        // The time before does not count.
        assert!(alone(&mut level, "30", 40_000));
    }

    #[test]
    fn a_level_that_moves_on_begins_its_time_again() {
        let mut level = Level::default();
        assert!(!alone(&mut level, "3000", 0));
        assert!(alone(&mut level, "30", 1_000));
        assert!(alone(&mut level, "40", 30_000));
        assert!(alone(&mut level, "40", 59_999));
        assert!(!alone(&mut level, "40", 60_000));
    }

    #[test]
    fn the_limit_itself_is_no_jump() {
        for (price, held) in [
            ("110", false),
            ("110.000000000000000001", true),
            ("90", false),
            ("89.999999999999999999", true),
        ] {
            let mut level = Level::default();
            assert!(!alone(&mut level, "100", 0));
            assert_eq!(alone(&mut level, price, 1), held, "{price}");
        }
    }

    #[test]
    fn small_steps_within_the_time_are_a_jump() {
        let mut level = Level::default();
        assert!(!alone(&mut level, "100", 0));
        assert!(!alone(&mut level, "91", 100));
        assert!(alone(&mut level, "83", 200));
        // Over a longer time they are a price that moves.
        let mut level = Level::default();
        for (price, after) in [("100", 0), ("92", 40_000), ("85", 80_000), ("79", 120_000)] {
            assert!(!alone(&mut level, price, after), "{price}");
        }
    }

    #[test]
    fn another_venue_that_agrees_ends_the_hold_and_a_dispute_does_not() {
        let at = |level: &mut Level, price: &str, footing, after| {
            level.holds(&price.parse().unwrap(), footing, &rules(), NOW + after)
        };
        let mut level = Level::default();
        assert!(!alone(&mut level, "3000", 0));
        assert!(alone(&mut level, "30", 1_000));
        assert!(!at(&mut level, "1515", Footing::Disputed, 20_000));
        // The dispute is not the level's time.
        assert!(alone(&mut level, "30", 40_000));
        assert!(!at(&mut level, "30", Footing::Agreed, 40_001));
        assert!(!alone(&mut level, "30", 40_002));
    }

    #[test]
    fn a_restart_ends_no_hold() {
        let price = |status, doubtful| Price {
            token: "ETH".parse().unwrap(),
            price: "30".parse().unwrap(),
            confidence: 0.into(),
            sources: Vec::new(),
            details: Vec::new(),
            status,
            reason: None,
            doubtful,
            observed_at: NOW,
            expires_at: NOW,
        };
        // It may have gone stale while it was held.
        for status in [PriceStatus::Degraded, PriceStatus::Stale] {
            let mut level = Level::recalled(&price(status, true), NOW);
            assert!(alone(&mut level, "30", 29_999), "{status:?}");
            assert!(!alone(&mut level, "30", 30_000), "{status:?}");
            let mut level = Level::recalled(&price(status, true), NOW);
            assert!(alone(&mut level, "3000", 40_000), "{status:?}");
        }
        // Too few venues alone are no hold.
        for status in [PriceStatus::Ok, PriceStatus::Degraded, PriceStatus::Stale] {
            let mut level = Level::recalled(&price(status, false), NOW);
            assert!(!alone(&mut level, "30", 1), "{status:?}");
            assert!(alone(&mut level, "3000", 2), "{status:?}");
        }
    }

    #[test]
    fn a_clock_that_is_set_back_holds_no_longer_than_the_time() {
        let mut level = Level::default();
        assert!(!alone(&mut level, "3000", 0));
        assert!(alone(&mut level, "30", 1_000));
        assert!(alone(&mut level, "30", -3_600_000));
        assert!(!alone(&mut level, "30", -3_600_000 + HOLD));
    }

    #[test]
    fn zero_switches_it_off() {
        for rules in [
            AggregateRules {
                max_jump_bps: 0,
                ..rules()
            },
            AggregateRules {
                jump_hold_ms: 0,
                ..rules()
            },
        ] {
            let mut level = Level::default();
            for price in ["3000", "30", "3000"] {
                let price = price.parse().unwrap();
                assert!(!level.holds(&price, CONTRACT, &rules, NOW));
            }
        }
    }

    #[test]
    fn what_is_not_held_is_near_what_was_not_held_in_the_time_before() {
        let mut random = StdRng::seed_from_u64(17);
        let rules = rules();
        for _ in 0..300 {
            let (mut level, mut now) = (Level::default(), NOW);
            let mut price = BigDecimal::from(1_000_000);
            // Levels that lasted, by when they did; what was said between is free.
            let mut passed: Vec<(i64, BigDecimal)> = Vec::new();
            let mut same_since = now;
            for _ in 0..60 {
                now += random.random_range(0..10_000);
                if random.random_bool(0.4) {
                    // Always a jump.
                    let bps: u64 = [
                        random.random_range(2_000..8_000),
                        random.random_range(12_500..30_000),
                    ][random.random_range(0..2)];
                    price = &price * BigDecimal::new(bps.into(), BPS_PLACES);
                    same_since = now;
                }
                if !level.holds(&price, CONTRACT, &rules, now) {
                    let lasted = now - same_since >= HOLD;
                    let near = passed
                        .iter()
                        .rev()
                        .take_while(|(at, _)| now - at <= 2 * HOLD)
                        .any(|(_, before)| is_near(&price, before, &rules))
                        || passed
                            .last()
                            .is_some_and(|(_, before)| is_near(&price, before, &rules));
                    assert!(passed.is_empty() || lasted || near, "{price} at {now}");
                    passed.push((now, price.clone()));
                }
            }
        }
    }
}
