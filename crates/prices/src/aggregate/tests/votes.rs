//! Votes, outliers and confidence.

use super::*;

#[test]
fn price_without_confidence_is_median() {
    let odd = fresh_price(&[
        tick("c", "USD", "100.6", 5),
        tick("a", "USD", "100.5", 9),
        tick("b", "USD", "100", 7),
    ]);
    // The larger distance to a quartile is the one below.
    assert_eq!(numbers(&odd), (decimal("100.5"), decimal("0.5")));
    assert_eq!(odd.sources, ["a", "b", "c"].map(Arc::from));
    assert_eq!(odd.observed_at, NOW - 5);
    assert_eq!(odd.status, PriceStatus::Ok);

    let even = fresh_price(&[
        tick("a", "USD", "0.000000000000000001", 0),
        tick("b", "USD", "0.000000000000000002", 0),
    ]);
    // Half the distance between the two.
    let expected = ("0.0000000000000000015", "0.0000000000000000005");
    assert_eq!(numbers(&even), (decimal(expected.0), decimal(expected.1)));
}

#[test]
fn narrower_confidence_weighs_more() {
    // The example of Pyth's proposal: 101 ± 1 and 110 ± 10; votes 100 100 101 102 110 120.
    let price = fresh_price(&[
        tick_with_confidence("a", "101", "1"),
        tick_with_confidence("b", "110", "10"),
    ]);
    assert_eq!(numbers(&price), (decimal("101.5"), decimal("8.5")));
    // Without intervals: the mean.
    let price = fresh_price(&[
        tick_with_confidence("a", "101", "0"),
        tick_with_confidence("b", "110", "0"),
    ]);
    assert_eq!(numbers(&price), (decimal("105.5"), decimal("4.5")));
    // A single source keeps its own confidence.
    let price = fresh_price(&[tick_with_confidence("a", "101", "1")]);
    assert_eq!(numbers(&price), (decimal("101"), decimal("1")));
}

#[test]
fn drops_outlier_of_three_with_detail() {
    let price = fresh_price(&[
        tick("a", "USD", "100", 1),
        tick("liar", "USD", "102", 0),
        tick("b", "USD", "100.2", 2),
    ]);
    // Median 100.2, deviation 0.2; five deviations are 1, the floor is 1.002.
    assert_eq!(price.price, decimal("100.1"));
    assert_eq!(price.sources, ["a", "b"].map(Arc::from));
    let details: Vec<(&str, i64, bool)> = price
        .details
        .iter()
        .map(|detail| (&*detail.source, NOW - detail.observed_at, detail.outlier))
        .collect();
    let expected = [("a", 1, false), ("b", 2, false), ("liar", 0, true)];
    assert_eq!(details, expected);
    // An unused tick does not affect the time.
    assert_eq!(price.observed_at, NOW - 1);
}

#[test]
fn keeps_ticks_within_floor_or_spread() {
    let used = |prices: [&str; 3]| {
        let ticks: Vec<Tick> = prices
            .iter()
            .zip(["a", "b", "c"])
            .map(|(price, source)| tick(source, "USD", price, 0))
            .collect();
        fresh_price(&ticks).sources.len()
    };
    // Two are equal: without the floor the third would always be an outlier.
    assert_eq!(used(["100", "100", "101"]), 3);
    assert_eq!(used(["100", "100", "101.0000001"]), 2);
    // Far apart, like the others from each other.
    assert_eq!(used(["98", "100", "110"]), 3);
    assert_eq!(used(["98", "100", "110.0000001"]), 2);
}

#[test]
fn outliers_do_not_count_for_min_sources() {
    let rules = AggregateRules {
        min_sources: 3,
        ..RULES
    };
    let ticks = [
        tick("a", "USD", "100", 0),
        tick("b", "USD", "100", 0),
        tick("liar", "USD", "900", 0),
    ];
    let rates = UsdRates::new();
    let price = aggregated(&with_age(&ticks), &rates, &rules, None).unwrap();
    assert_eq!(price.status, PriceStatus::Degraded);
}

#[test]
fn too_few_venues_degrade() {
    let price = fresh_price(&[
        tick("a", "USD", "100", 0),
        tick("b", "USD", "200", MAX_AGE as i64 + 1),
    ]);
    assert_eq!(price.status, PriceStatus::Degraded);
    assert_eq!(numbers(&price), (decimal("100"), decimal("0")));
    assert_eq!(price.sources, ["a"].map(Arc::from));
    assert_eq!(price.details.len(), 1);
}

#[test]
fn wide_confidence_degrades() {
    let status = |ticks: &[Tick]| {
        let price = fresh_price(ticks);
        (price.status, price.doubtful)
    };
    let usd = |source, price| tick(source, "USD", price, 0);
    let price = fresh_price(&[usd("a", "3000"), usd("b", "30")]);
    assert_eq!(numbers(&price), (decimal("1515"), decimal("1485")));
    assert_eq!(
        (price.status, price.doubtful),
        (PriceStatus::Degraded, true)
    );
    // 5 % of 100 is exactly the limit.
    let (ok, doubt) = ((PriceStatus::Ok, false), (PriceStatus::Degraded, true));
    assert_eq!(status(&[usd("a", "95"), usd("b", "105")]), ok);
    assert_eq!(status(&[usd("a", "95"), usd("b", "105.000000001")]), doubt);
    assert_eq!(
        status(&[
            tick_with_confidence("a", "100", "5"),
            tick_with_confidence("b", "100", "5")
        ]),
        ok
    );
    assert_eq!(
        status(&[
            tick_with_confidence("a", "100", "6"),
            tick_with_confidence("b", "100", "6")
        ]),
        doubt
    );
    // A narrow confidence is not doubtful; too few venues are another reason.
    assert_eq!(status(&[usd("a", "100")]), (PriceStatus::Degraded, false));
    assert_eq!(status(&[tick_with_confidence("a", "100", "6")]), doubt);
}

#[test]
fn max_confidence_zero_disables_limit() {
    let ticks = [tick("a", "USD", "3000", 0), tick("b", "USD", "30", 0)];
    for (bps, status) in [
        (0, PriceStatus::Ok),
        (9_801, PriceStatus::Degraded),
        (9_802, PriceStatus::Ok),
    ] {
        let rules = AggregateRules {
            max_confidence_bps: bps,
            ..RULES
        };
        let price = aggregated(&with_age(&ticks), &UsdRates::new(), &rules, None).unwrap();
        assert_eq!(price.status, status, "{bps}");
    }
}

#[test]
fn rounds_only_calculated_numbers() {
    let digits = "3456.120000000000000000245";
    let price = fresh_price(&[tick("a", "USD", digits, 0)]);
    assert_eq!(price.price.to_plain_string(), digits);
    let price = fresh_price(&[tick("a", "USD", digits, 0), tick("b", "USD", "3456.12", 0)]);
    assert_eq!(price.price.to_plain_string(), "3456.1200000000000000001225");
    // A pool in a token with a divided rate.
    let pool = [tick("pool", "BTC", "0.0576019999999999999", 0)];
    let price = price_of(&pool, &rates("60000.0000000000000001", "0", 0), None).unwrap();
    assert_eq!(price.price.to_plain_string(), "3456.11999999999999");
    let pool = [tick("pool", "BTC", "0.05760200000000000001", 0)];
    let price = price_of(&pool, &rates("60000", "0.000000000000000000001", 0), None).unwrap();
    assert_eq!(price.price.to_plain_string(), "3456.12");
    assert_eq!(price.confidence, decimal("0"));
}

#[test]
fn price_not_ok_has_reason() {
    use PriceReason::{Disagreement, FewVenues, Old, Rate};
    fn usd(source: &str, price: &str) -> Tick {
        tick(source, "USD", price, 0)
    }
    let pool = |age_ms| tick("pool", "BTC", "0.05", age_ms);
    let trusted = |trust| {
        let mut rates = rates("60000", "0", 0);
        rates.values_mut().for_each(|rate| rate.trust = trust);
        rates
    };
    let old = MAX_AGE as i64 + 1;
    let last = fresh_price(&[tick("a", "USD", "3000", 0)]);
    for (ticks, trust, reason) in [
        (vec![usd("a", "3000"), usd("b", "3000")], Trust::Full, None),
        (vec![usd("a", "3000")], Trust::Full, Some(FewVenues)),
        (
            vec![usd("a", "3000"), usd("b", "30")],
            Trust::Full,
            Some(Disagreement),
        ),
        (vec![usd("a", "3000"), pool(0)], Trust::Full, None),
        (vec![usd("a", "3000"), pool(0)], Trust::Few, Some(Rate)),
        (vec![usd("a", "3000"), pool(0)], Trust::Doubtful, Some(Rate)),
        // Of several reasons, the strongest.
        (vec![pool(0)], Trust::Few, Some(FewVenues)),
        (vec![pool(0)], Trust::Doubtful, Some(Rate)),
        (
            vec![usd("a", "30"), pool(0)],
            Trust::Doubtful,
            Some(Disagreement),
        ),
        (vec![tick("a", "USD", "3000", old)], Trust::Full, Some(Old)),
        (vec![pool(old)], Trust::Full, Some(Old)),
        (vec![], Trust::Full, Some(Old)),
    ] {
        let price = price_of(&ticks, &trusted(trust), Some(&last)).unwrap();
        assert_eq!(price.reason, reason, "{ticks:?} {trust:?}");
        assert_eq!(price.reason.is_none(), price.status == PriceStatus::Ok);
    }
    let unconverted = price_of(&[pool(0)], &UsdRates::new(), Some(&last)).unwrap();
    assert_eq!(
        (unconverted.status, unconverted.reason),
        (PriceStatus::Stale, Some(Rate))
    );

    // A single venue that jumps.
    let rules = AggregateRules {
        min_sources: 1,
        max_jump_bps: 1_000,
        ..RULES
    };
    let mut jump_guard = JumpGuard::default();
    let mut alone = |price: &str| {
        let ticks = [usd("a", price)];
        let (ticks, rates) = (with_age(&ticks), UsdRates::new());
        let price = aggregate(&token(), &ticks, &rates, &rules, &mut jump_guard, None, NOW);
        price.unwrap().reason
    };
    assert_eq!(alone("3000"), None);
    assert_eq!(alone("30"), Some(PriceReason::Jump));
    assert_eq!(alone("3000"), None);
}
