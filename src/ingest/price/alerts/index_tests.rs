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

/// Puts a price to the index as the writer does; the ids that fired and those that were armed.
fn put(index: &mut AlertIndex, price: &str) -> (Vec<i64>, Vec<i64>) {
    let met = index.met(&token("ETH"), &decimal(price), false);
    for id in &met.fire {
        index.fired(*id);
    }
    for id in &met.arm {
        index.armed(*id);
    }
    (met.fire, met.arm)
}

#[test]
fn a_threshold_belongs_to_both_sides() {
    let mut index = AlertIndex::default();
    index.insert(alert(1, AlertCondition::Above, "4000", None));
    index.insert(alert(2, AlertCondition::Below, "4000.0", None));
    assert_eq!(put(&mut index, "4000.00"), (vec![1, 2], vec![]));
    assert_eq!(index.len(), 0);
    assert_eq!(index.tokens().count(), 0);
}

#[test]
fn an_alert_that_fires_once_is_gone_and_one_of_another_token_is_not_met() {
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
fn a_repeating_alert_waits_until_the_price_went_back_by_the_hysteresis() {
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
        // One leap arms the one and fires the other.
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
fn a_degraded_price_fires_and_arms_only_what_asks_for_it() {
    let mut index = AlertIndex::default();
    index.insert(alert(1, AlertCondition::Above, "10", Some("1")));
    index.insert(WatchedAlert {
        fire_on_degraded: true,
        ..alert(2, AlertCondition::Above, "10", Some("1"))
    });
    let met = |index: &AlertIndex, price: &str, degraded| {
        let met = index.met(&token("ETH"), &decimal(price), degraded);
        (met.fire, met.arm)
    };
    assert_eq!(met(&index, "10", true), (vec![2], vec![]));
    assert_eq!(met(&index, "10", false), (vec![1, 2], vec![]));
    index.fired(1);
    index.fired(2);
    assert_eq!(met(&index, "9", true), (vec![], vec![2]));
    assert_eq!(met(&index, "9", false), (vec![], vec![1, 2]));
}

#[test]
fn an_alert_that_is_changed_or_removed_is_met_as_it_is_now() {
    let mut index = AlertIndex::default();
    index.insert(alert(1, AlertCondition::Above, "10", None));
    index.insert(alert(1, AlertCondition::Above, "20", None));
    assert_eq!(put(&mut index, "15"), (vec![], vec![]));
    index.remove(1);
    index.remove(1);
    assert_eq!(put(&mut index, "25"), (vec![], vec![]));
    // What the store no longer has is no longer noted either.
    index.fired(1);
    index.armed(1);
    assert_eq!(index.len(), 0);
}

/// What an alert is worth to a price when every alert is looked at.
fn naive(alerts: &[WatchedAlert], token: &Token, price: &BigDecimal, degraded: bool) -> Met {
    let mut met = Met::default();
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
            met.fire.push(alert.id);
        }
        if !alert.armed && is_back {
            met.arm.push(alert.id);
        }
    }
    met.fire.sort_unstable();
    met.arm.sort_unstable();
    met
}

#[test]
fn the_index_meets_what_looking_at_every_alert_meets() {
    let mut random = StdRng::seed_from_u64(17);
    let tokens = [token("ETH"), token("BTC")];
    let (mut fired, mut armed) = (0, 0);
    for _ in 0..200 {
        let (mut index, mut all) = (AlertIndex::default(), Vec::<WatchedAlert>::new());
        for step in 0..200_i64 {
            let which = tokens[random.random_range(0..2)].clone();
            // Few values, so that prices stand on thresholds often; of different scales, so that equal is not alike.
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
                    let met = index.met(&which, &price, degraded);
                    let expected = naive(&all, &which, &price, degraded);
                    assert_eq!(met, expected, "{price} of {all:?}");
                    for id in &met.fire {
                        index.fired(*id);
                    }
                    for id in &met.arm {
                        index.armed(*id);
                    }
                    all.retain(|alert| !met.fire.contains(&alert.id) || alert.hysteresis.is_some());
                    for alert in &mut all {
                        alert.armed = !met.fire.contains(&alert.id)
                            && (alert.armed || met.arm.contains(&alert.id));
                    }
                    fired += met.fire.len();
                    armed += met.arm.len();
                }
            }
            assert_eq!(index.len(), all.len());
        }
    }
    assert!(fired > 1_000 && armed > 300, "{fired} fired, {armed} armed");
}
