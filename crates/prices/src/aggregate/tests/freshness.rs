//! Fresh, stale and dropped ticks, and rates.

use super::*;

#[test]
fn tick_is_fresh_up_to_max_age_or_ahead() {
    let at = |age| price_of(&[tick("a", "USD", "1", age)], &UsdRates::new(), None);
    assert!(at(MAX_AGE as i64).is_some());
    assert!(at(MAX_AGE as i64 + 1).is_none());
    assert!(at(-5_000).is_some());
}

#[test]
fn keeps_last_price_as_stale() {
    let last = fresh_price(&[
        tick("a", "USD", "100", 30_000),
        tick("b", "USD", "102", 40_000),
    ]);
    let old = [
        tick("a", "USD", "100", 70_000),
        tick("b", "USD", "102", 80_000),
    ];
    let last = Price {
        observed_at: NOW - 70_000,
        ..last
    };
    let stale = price_of(&old, &UsdRates::new(), Some(&last)).unwrap();
    assert_eq!(stale.status, PriceStatus::Stale);
    let expected = Price {
        status: PriceStatus::Stale,
        reason: Some(PriceReason::Old),
        ..last.clone()
    };
    assert_eq!(stale, expected);
    // Without any tick the last price stays.
    let stale = price_of(&[], &UsdRates::new(), Some(&last)).unwrap();
    assert_eq!(stale, expected);
    assert_eq!(price_of(&old, &UsdRates::new(), None), None);
}

#[test]
fn remaining_ticks_replace_dropped_price() {
    let dropped = fresh_price(&[tick("a", "USD", "500", 0)]);
    let remaining = [tick("a", "USD", "100", 70_000)];
    let stale = price_of(&remaining, &UsdRates::new(), Some(&dropped)).unwrap();
    assert_eq!(
        (stale.price, stale.status),
        (decimal("100"), PriceStatus::Stale)
    );
    assert_eq!(stale.observed_at, NOW - 70_000);
}

#[test]
fn price_without_tick_or_rate_stays_stale() {
    let last = fresh_price(&[tick("a", "USD", "500", 0)]);
    let without_a_rate = [tick("pool", "BTC", "0.05", 0)];
    for (remaining, reason) in [
        (&[][..], PriceReason::Old),
        (&without_a_rate, PriceReason::Rate),
    ] {
        let price = price_of(remaining, &UsdRates::new(), Some(&last)).unwrap();
        let status = PriceStatus::Stale;
        assert_eq!(
            price,
            Price {
                status,
                reason: Some(reason),
                ..last.clone()
            }
        );
    }
}

#[test]
fn conversion_combines_age_and_confidence() {
    let pool = [tick("pool", "BTC", "0.05", 3_000)];
    assert_eq!(price_of(&pool, &UsdRates::new(), None), None);
    let price = price_of(&pool, &rates("68400.10", "0", 9_000), None).unwrap();
    assert_eq!(numbers(&price), (decimal("3420.005"), decimal("0")));
    assert_eq!(price.observed_at, NOW - 9_000);

    let pool = [Tick {
        confidence: Some(decimal("0.001")),
        ..pool[0].clone()
    }];
    let price = price_of(&pool, &rates("60000", "20", 0), None).unwrap();
    // 0.05 × 20 + 0.001 × 60000
    assert_eq!(numbers(&price), (decimal("3000"), decimal("61")));
    assert_eq!(price.observed_at, NOW - 3_000);
}

#[test]
fn degraded_rate_degrades_price() {
    let ticks = [
        tick("a", "USD", "3000", 0),
        tick("b", "USD", "3000", 0),
        tick("pool", "BTC", "0.05", 0),
    ];
    for (trust, status, doubtful) in [
        (Trust::Full, PriceStatus::Ok, false),
        (Trust::Few, PriceStatus::Degraded, false),
        (Trust::Doubtful, PriceStatus::Degraded, true),
    ] {
        let mut rates = rates("60000", "0", 0);
        rates.values_mut().for_each(|rate| rate.trust = trust);
        let price = price_of(&ticks, &rates, None).unwrap();
        assert_eq!(
            (price.status, price.doubtful),
            (status, doubtful),
            "{trust:?}"
        );
        assert_eq!(price.sources.len(), 3);
        // A rate made of it is degraded too.
        assert_eq!(rate_of(&ticks, &rates).unwrap().trust, trust);
        // An unused rate has no effect.
        rates
            .values_mut()
            .for_each(|rate| rate.price = decimal("90000"));
        let price = price_of(&ticks, &rates, None).unwrap();
        assert_eq!((price.status, price.sources.len()), (PriceStatus::Ok, 2));
    }
}

#[test]
fn unusable_tick_is_not_fresh() {
    for age_ms in [0, 9, -30_000] {
        let ticks = [tick("a", "USD", "100", age_ms)];
        let mut sources = with_age(&ticks);
        sources[0].is_usable = false;
        let aggregated = |last| aggregated(&sources, &UsdRates::new(), &RULES, last);
        assert_eq!(aggregated(None), None, "{age_ms}");
        let last = fresh_price(&ticks);
        assert_eq!(aggregated(Some(&last)).unwrap().status, PriceStatus::Stale);
    }
}

#[test]
fn price_expires_with_last_tick_or_rate() {
    let max_age = MAX_AGE as i64;
    let usd = [
        tick("a", "USD", "3000", 5_000),
        tick("b", "USD", "3000", 2_000),
    ];
    assert_eq!(fresh_price(&usd).expires_at, NOW - 2_000 + max_age);
    // A pool's tick expires with the earlier of the tick and its rate.
    let pool = [tick("pool", "BTC", "0.05", 50_000)];
    for (rate_age, left) in [(1_000, 10_000), (55_000, 5_000)] {
        let rates = rates("60000", "0", rate_age);
        let price = price_of(&pool, &rates, None).unwrap();
        assert_eq!(price.expires_at, NOW + left, "{rate_age}");
        assert_eq!(rate_of(&pool, &rates).unwrap().expires_at, NOW + left);
    }
    // Each source has its own maximum age; an outlier does not count.
    let three = ["3000", "3001", "9000"].map(|price| tick(price, "USD", price, 0));
    let mut sources = with_age(&three);
    for (source, max_age_ms) in sources.iter_mut().zip([1_000, 2_000, 9_000]) {
        source.max_age_ms = max_age_ms;
    }
    let price = aggregated(&sources, &UsdRates::new(), &RULES, None).unwrap();
    assert_eq!(price.expires_at, NOW + 2_000);
    // Fresh at the end of its time, and not after.
    sources.pop();
    let at = |now| {
        let jump_guard = &mut JumpGuard::default();
        aggregate(
            &token(),
            &sources,
            &UsdRates::new(),
            &RULES,
            jump_guard,
            None,
            now,
        )
    };
    assert!(at(price.expires_at).is_some());
    assert_eq!(at(price.expires_at + 1), None);
}

#[test]
fn rate_uses_fresh_ticks_only() {
    let ticks = [
        tick("feed", "USD", "100", 0),
        tick("old", "USD", "900", MAX_AGE as i64 + 1),
    ];
    let none = UsdRates::new();
    let rate = rate_of(&ticks, &none).unwrap();
    assert_eq!(rate.price, decimal("100"));
    let rate = rate_of(&ticks[1..], &none);
    assert_eq!(rate, None);
}
