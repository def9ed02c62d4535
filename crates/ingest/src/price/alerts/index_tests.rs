use rand::{Rng, SeedableRng, rngs::StdRng};

use super::*;

fn decimal(text: &str) -> BigDecimal {
    text.parse().unwrap()
}

fn token(symbol: &str) -> Token {
    symbol.parse().unwrap()
}

fn alert(
    id: i64,
    condition: AlertCondition,
    threshold: &str,
    hysteresis: Option<&str>,
) -> WatchedAlert {
    WatchedAlert {
        id,
        token: token("ETH"),
        condition,
        threshold: decimal(threshold),
        hysteresis: hysteresis.map(decimal),
        fire_on_degraded: false,
        armed: true,
    }
}

/// Applies a price as the writer does; returns the ids that fired and those that were armed.
fn put(index: &mut AlertIndex, price: &str) -> (Vec<i64>, Vec<i64>) {
    let matches = index.matches(&token("ETH"), &decimal(price), false);
    for id in &matches.fire {
        index.fired(*id);
    }
    for id in &matches.arm {
        index.armed(*id);
    }
    (matches.fire, matches.arm)
}

#[test]
fn threshold_triggers_both_sides() {
    let mut index = AlertIndex::default();
    index.insert(alert(1, AlertCondition::Above, "4000", None));
    index.insert(alert(2, AlertCondition::Below, "4000.0", None));
    assert_eq!(put(&mut index, "4000.00"), (vec![1, 2], vec![]));
    assert_eq!(index.len(), 0);
    assert_eq!(index.tokens().count(), 0);
}

#[test]
fn one_time_alert_leaves_index_when_fired() {
    let mut index = AlertIndex::default();
    index.insert(alert(1, AlertCondition::Above, "10", None));
    index.insert(WatchedAlert {
        token: token("BTC"),
        ..alert(2, AlertCondition::Above, "10", None)
    });
    assert_eq!(put(&mut index, "9.999999999999999999"), (vec![], vec![]));
    assert_eq!(put(&mut index, "10"), (vec![1], vec![]));
    assert_eq!(put(&mut index, "11"), (vec![], vec![]));
    assert_eq!(index.len(), 1);
}

#[test]
fn repeating_alert_rearms_after_hysteresis() {
    let mut index = AlertIndex::default();
    index.insert(alert(1, AlertCondition::Above, "100", Some("5")));
    index.insert(alert(2, AlertCondition::Below, "50", Some("2.5")));
    for (price, fired, armed) in [
        ("100", vec![1], vec![]),
        ("99", vec![], vec![]),
        ("101", vec![], vec![]),
        ("95.01", vec![], vec![]),
        ("95", vec![], vec![1]),
        ("100", vec![1], vec![]),
        // One jump arms one alert and fires the other.
        ("40", vec![2], vec![1]),
        ("52.49", vec![], vec![]),
        ("52.5", vec![], vec![2]),
        ("50", vec![2], vec![]),
        ("200", vec![1], vec![2]),
    ] {
        assert_eq!(put(&mut index, price), (fired, armed), "{price}");
    }
}

#[test]
fn degraded_price_triggers_only_alerts_that_allow_it() {
    let mut index = AlertIndex::default();
    index.insert(alert(1, AlertCondition::Above, "10", Some("1")));
    index.insert(WatchedAlert {
        fire_on_degraded: true,
        ..alert(2, AlertCondition::Above, "10", Some("1"))
    });
    let matches = |index: &AlertIndex, price: &str, degraded| {
        let matches = index.matches(&token("ETH"), &decimal(price), degraded);
        (matches.fire, matches.arm)
    };
    assert_eq!(matches(&index, "10", true), (vec![2], vec![]));
    assert_eq!(matches(&index, "10", false), (vec![1, 2], vec![]));
    index.fired(1);
    index.fired(2);
    assert_eq!(matches(&index, "9", true), (vec![], vec![2]));
    assert_eq!(matches(&index, "9", false), (vec![], vec![1, 2]));
}

#[test]
fn changed_or_removed_alert_matches_its_new_state() {
    let mut index = AlertIndex::default();
    index.insert(alert(1, AlertCondition::Above, "10", None));
    index.insert(alert(1, AlertCondition::Above, "20", None));
    assert_eq!(put(&mut index, "15"), (vec![], vec![]));
    index.remove(1);
    index.remove(1);
    assert_eq!(put(&mut index, "25"), (vec![], vec![]));
    // Removed alerts ignore later changes.
    index.fired(1);
    index.armed(1);
    assert_eq!(index.len(), 0);
}

/// The reference implementation: checks every alert.
fn naive(alerts: &[WatchedAlert], token: &Token, price: &BigDecimal, degraded: bool) -> Matches {
    let mut matches = Matches::default();
    let counts = |alert: &&WatchedAlert| alert.fire_on_degraded || !degraded;
    let of_token = alerts.iter().filter(|alert| alert.token == *token);
    for alert in of_token.filter(counts) {
        let back = alert.hysteresis.clone().unwrap_or_default();
        let (holds, is_back) = match alert.condition {
            AlertCondition::Above => (
                *price >= alert.threshold,
                *price <= &alert.threshold - &back,
            ),
            AlertCondition::Below => (
                *price <= alert.threshold,
                *price >= &alert.threshold + &back,
            ),
        };
        if alert.armed && holds {
            matches.fire.push(alert.id);
        }
        if !alert.armed && is_back {
            matches.arm.push(alert.id);
        }
    }
    matches.fire.sort_unstable();
    matches.arm.sort_unstable();
    matches
}

#[test]
fn index_matches_naive_scan() {
    let mut random = StdRng::seed_from_u64(17);
    let tokens = [token("ETH"), token("BTC")];
    let (mut fired, mut armed) = (0, 0);
    for _ in 0..200 {
        let (mut index, mut all) = (AlertIndex::default(), Vec::<WatchedAlert>::new());
        for step in 0..200_i64 {
            let which = tokens[random.random_range(0..2)].clone();
            // Few values, so that prices often equal thresholds; of different scales, so that equal numbers differ in form.
            let value = |random: &mut StdRng| {
                let units = random.random_range(20..60_i64);
                BigDecimal::new(units.into(), 1).with_scale(random.random_range(1..4))
            };
            match random.random_range(0..10) {
                0..4 => {
                    let alert = WatchedAlert {
                        id: step,
                        token: which,
                        condition: match random.random_bool(0.5) {
                            true => AlertCondition::Above,
                            false => AlertCondition::Below,
                        },
                        threshold: value(&mut random),
                        hysteresis: random
                            .random_bool(0.6)
                            .then(|| BigDecimal::new(random.random_range(1..15_i64).into(), 1)),
                        fire_on_degraded: random.random_bool(0.5),
                        armed: true,
                    };
                    index.insert(alert.clone());
                    all.push(alert);
                }
                4 if !all.is_empty() => {
                    let gone = all.swap_remove(random.random_range(0..all.len()));
                    index.remove(gone.id);
                }
                _ => {
                    let price = value(&mut random);
                    let degraded = random.random_bool(0.3);
                    let matches = index.matches(&which, &price, degraded);
                    let expected = naive(&all, &which, &price, degraded);
                    assert_eq!(matches, expected, "{price} of {all:?}");
                    for id in &matches.fire {
                        index.fired(*id);
                    }
                    for id in &matches.arm {
                        index.armed(*id);
                    }
                    all.retain(|alert| {
                        !matches.fire.contains(&alert.id) || alert.hysteresis.is_some()
                    });
                    for alert in &mut all {
                        alert.armed = !matches.fire.contains(&alert.id)
                            && (alert.armed || matches.arm.contains(&alert.id));
                    }
                    fired += matches.fire.len();
                    armed += matches.arm.len();
                }
            }
            assert_eq!(index.len(), all.len());
        }
    }
    assert!(fired > 1_000 && armed > 300, "{fired} fired, {armed} armed");
}
