//! Holds back jumps of a price that only one venue reports.
//!
//! Several venues check each other. A single venue is checked against its own history: a price that leaves the settled
//! level by more than `max_jump_bps` is held until the new level has lasted for `jump_hold_ms`, or until another venue
//! agrees. The price of a contract lasts until its next one; that of another venue only as long as the venue keeps
//! reporting it. The settled level follows the price at most once per `jump_hold_ms`, so that many small steps within
//! that time count as one jump. Pure, apart from its state.

use bigdecimal::BigDecimal;

use super::{AggregateRules, policy::BPS_PLACES};
use chaincast_model::Price;

/// The state of a token's price while a single venue reports it.
#[derive(Debug, Clone, Default)]
pub struct JumpGuard {
    settled: Option<PriceLevel>,
    /// The newest price that was not held.
    trusted: Option<BigDecimal>,
    /// The level of a held price.
    pending: Option<PriceLevel>,
}

/// A price level, and its start in ms since the Unix epoch.
#[derive(Debug, Clone)]
struct PriceLevel {
    price: BigDecimal,
    since: i64,
}

/// The agreement of the venues behind a price.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum VenueAgreement {
    /// A single venue.
    Single {
        /// Event time in ms since the Unix epoch; `None` for a contract, whose price holds until its next one.
        observed_at: Option<i64>,
    },
    /// Several venues that agree.
    Agree,
    /// Several venues that disagree.
    Disagree,
}

impl JumpGuard {
    /// Restores the state from a published price. A doubtful price may have been held, even if it went stale since.
    pub fn restored(price: &Price, published_at: i64) -> Self {
        let level = PriceLevel {
            price: price.price.clone(),
            since: published_at,
        };
        if price.doubtful {
            Self {
                pending: Some(level),
                ..Self::default()
            }
        } else {
            Self {
                trusted: Some(level.price.clone()),
                settled: Some(level),
                pending: None,
            }
        }
    }

    /// Processes a price; returns whether it is held.
    pub(super) fn holds(
        &mut self,
        price: &BigDecimal,
        agreement: VenueAgreement,
        rules: &AggregateRules,
        now_ms: i64,
    ) -> bool {
        if rules.max_jump_bps == 0 || rules.jump_hold_ms == 0 {
            *self = Self::default();
            return false;
        }
        match agreement {
            VenueAgreement::Single { observed_at } => {
                self.holds_single(price, observed_at, rules, now_ms)
            }
            VenueAgreement::Agree => {
                self.settle(price, now_ms);
                false
            }
            VenueAgreement::Disagree => {
                // A disputed level does not settle.
                self.restart_pending(now_ms);
                false
            }
        }
    }

    fn holds_single(
        &mut self,
        price: &BigDecimal,
        observed_at: Option<i64>,
        rules: &AggregateRules,
        now_ms: i64,
    ) -> bool {
        let lasted_until = |level: &mut PriceLevel, until: i64| {
            // A clock set back restarts the time.
            level.since = level.since.min(now_ms);
            let lasted = until.saturating_sub(level.since);
            u64::try_from(lasted).is_ok_and(|lasted| lasted >= rules.jump_hold_ms)
        };
        if let Some(settled) = &mut self.settled {
            if lasted_until(settled, now_ms)
                && let Some(trusted) = self.trusted.clone()
            {
                *settled = PriceLevel {
                    price: trusted,
                    since: now_ms,
                };
            }
            if is_near(price, &settled.price, rules) {
                self.trusted = Some(price.clone());
                self.pending = None;
                return false;
            }
        } else if self.pending.is_none() {
            self.settle(price, now_ms);
            return false;
        }
        match &mut self.pending {
            Some(pending) if is_near(price, &pending.price, rules) => {
                // A venue that went silent after one bad price confirms nothing.
                if lasted_until(pending, observed_at.unwrap_or(now_ms).min(now_ms)) {
                    self.settle(price, now_ms);
                    return false;
                }
            }
            pending => {
                *pending = Some(PriceLevel {
                    price: price.clone(),
                    since: now_ms,
                });
            }
        }
        true
    }

    fn settle(&mut self, price: &BigDecimal, now_ms: i64) {
        self.trusted = Some(price.clone());
        self.settled = Some(PriceLevel {
            price: price.clone(),
            since: now_ms,
        });
        self.pending = None;
    }

    fn restart_pending(&mut self, now_ms: i64) {
        if let Some(pending) = &mut self.pending {
            pending.since = now_ms;
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
    use chaincast_protocol::PriceStatus;

    const NOW: i64 = 1_700_000_000_000;
    const HOLD: i64 = 30_000;

    fn rules() -> AggregateRules {
        AggregateRules {
            max_jump_bps: 1_000,
            jump_hold_ms: HOLD.unsigned_abs(),
            ..RULES
        }
    }

    const CONTRACT: VenueAgreement = VenueAgreement::Single { observed_at: None };

    /// Whether the price of a contract is held `after` ms.
    fn holds_single(level: &mut JumpGuard, price: &str, after: i64) -> bool {
        level.holds(&price.parse().unwrap(), CONTRACT, &rules(), NOW + after)
    }

    #[test]
    fn silent_venue_does_not_end_hold() {
        let mut level = JumpGuard::default();
        let mut held = |price: &str, event: i64, after: i64| {
            let agreement = VenueAgreement::Single {
                observed_at: Some(NOW + event),
            };
            level.holds(&price.parse().unwrap(), agreement, &rules(), NOW + after)
        };
        assert!(!held("3000", 0, 0));
        assert!(held("30", 900, 1_000));
        // The same tick at a later time; and another one too early.
        assert!(held("30", 900, 31_000));
        assert!(held("30", 900, 3_600_000));
        assert!(held("30", 30_999, 3_600_000));
        assert!(!held("30", 31_000, 3_600_000));
    }

    #[test]
    fn holds_jump_for_hold_time() {
        let mut level = JumpGuard::default();
        assert!(!holds_single(&mut level, "3000", 0));
        assert!(holds_single(&mut level, "30", 1_000));
        assert!(holds_single(&mut level, "31", 30_999));
        assert!(!holds_single(&mut level, "31", 31_000));
        // A jump back is a jump too.
        assert!(holds_single(&mut level, "3000", 32_000));
    }

    #[test]
    fn return_to_settled_level_ends_hold() {
        let mut level = JumpGuard::default();
        assert!(!holds_single(&mut level, "3000", 0));
        assert!(holds_single(&mut level, "30", 1_000));
        assert!(!holds_single(&mut level, "3001", 2_000));
        // Earlier time at the level does not count.
        assert!(holds_single(&mut level, "30", 40_000));
    }

    #[test]
    fn moving_level_restarts_hold_time() {
        let mut level = JumpGuard::default();
        assert!(!holds_single(&mut level, "3000", 0));
        assert!(holds_single(&mut level, "30", 1_000));
        assert!(holds_single(&mut level, "40", 30_000));
        assert!(holds_single(&mut level, "40", 59_999));
        assert!(!holds_single(&mut level, "40", 60_000));
    }

    #[test]
    fn change_at_limit_is_not_held() {
        for (price, held) in [
            ("110", false),
            ("110.000000000000000001", true),
            ("90", false),
            ("89.999999999999999999", true),
        ] {
            let mut level = JumpGuard::default();
            assert!(!holds_single(&mut level, "100", 0));
            assert_eq!(holds_single(&mut level, price, 1), held, "{price}");
        }
    }

    #[test]
    fn holds_small_steps_within_hold_time() {
        let mut level = JumpGuard::default();
        assert!(!holds_single(&mut level, "100", 0));
        assert!(!holds_single(&mut level, "91", 100));
        assert!(holds_single(&mut level, "83", 200));
        // Over a longer time they are normal movement.
        let mut level = JumpGuard::default();
        for (price, after) in [("100", 0), ("92", 40_000), ("85", 80_000), ("79", 120_000)] {
            assert!(!holds_single(&mut level, price, after), "{price}");
        }
    }

    #[test]
    fn only_agreement_ends_hold() {
        let at = |level: &mut JumpGuard, price: &str, agreement, after| {
            level.holds(&price.parse().unwrap(), agreement, &rules(), NOW + after)
        };
        let mut level = JumpGuard::default();
        assert!(!holds_single(&mut level, "3000", 0));
        assert!(holds_single(&mut level, "30", 1_000));
        assert!(!at(&mut level, "1515", VenueAgreement::Disagree, 20_000));
        // Time in dispute does not count.
        assert!(holds_single(&mut level, "30", 40_000));
        assert!(!at(&mut level, "30", VenueAgreement::Agree, 40_001));
        assert!(!holds_single(&mut level, "30", 40_002));
    }

    #[test]
    fn restored_state_keeps_hold() {
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
        // It may have gone stale while held.
        for status in [PriceStatus::Degraded, PriceStatus::Stale] {
            let mut level = JumpGuard::restored(&price(status, true), NOW);
            assert!(holds_single(&mut level, "30", 29_999), "{status:?}");
            assert!(!holds_single(&mut level, "30", 30_000), "{status:?}");
            let mut level = JumpGuard::restored(&price(status, true), NOW);
            assert!(holds_single(&mut level, "3000", 40_000), "{status:?}");
        }
        // Too few venues alone do not cause a hold.
        for status in [PriceStatus::Ok, PriceStatus::Degraded, PriceStatus::Stale] {
            let mut level = JumpGuard::restored(&price(status, false), NOW);
            assert!(!holds_single(&mut level, "30", 1), "{status:?}");
            assert!(holds_single(&mut level, "3000", 2), "{status:?}");
        }
    }

    #[test]
    fn clock_set_back_does_not_prolong_hold() {
        let mut level = JumpGuard::default();
        assert!(!holds_single(&mut level, "3000", 0));
        assert!(holds_single(&mut level, "30", 1_000));
        assert!(holds_single(&mut level, "30", -3_600_000));
        assert!(!holds_single(&mut level, "30", -3_600_000 + HOLD));
    }

    #[test]
    fn zero_disables_hold() {
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
            let mut level = JumpGuard::default();
            for price in ["3000", "30", "3000"] {
                let price = price.parse().unwrap();
                assert!(!level.holds(&price, CONTRACT, &rules, NOW));
            }
        }
    }

    #[test]
    fn unheld_price_is_near_earlier_unheld_price() {
        let mut random = StdRng::seed_from_u64(17);
        let rules = rules();
        for _ in 0..300 {
            let (mut level, mut now) = (JumpGuard::default(), NOW);
            let mut price = BigDecimal::from(1_000_000);
            // Prices that were not held, with their times.
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
