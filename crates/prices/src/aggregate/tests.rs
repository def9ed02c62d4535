use super::*;
use chaincast_model::LogOrigin;
use chaincast_protocol::B256;

pub(super) const NOW: i64 = 1_700_000_000_000;
pub(super) const MAX_AGE: u64 = 60_000;
pub(in super::super) const RULES: AggregateRules = AggregateRules {
    min_sources: 2,
    outlier_mads: 5,
    outlier_floor_bps: 100,
    max_confidence_bps: 500,
    max_jump_bps: 0,
    jump_hold_ms: 30_000,
};

pub(super) fn token() -> Token {
    "ETH".parse().unwrap()
}

pub(super) fn tick(source: &str, quote: &str, price: &str, age_ms: i64) -> Tick {
    Tick {
        token: token(),
        source: source.into(),
        quote: quote.into(),
        price: price.parse().unwrap(),
        confidence: None,
        observed_at: NOW - age_ms,
        origin: None,
    }
}

/// A fresh tick in USD with a confidence.
pub(super) fn tick_with_confidence(source: &str, price: &str, confidence: &str) -> Tick {
    Tick {
        confidence: Some(decimal(confidence)),
        ..tick(source, "USD", price, 0)
    }
}

pub(super) fn with_age(ticks: &[Tick]) -> Vec<SourceTick<'_>> {
    // Each at its own venue.
    let ticks = ticks.iter().enumerate();
    ticks
        .map(|(venue, tick)| SourceTick {
            tick,
            max_age_ms: MAX_AGE,
            is_usable: true,
            venue,
            feed: false,
        })
        .collect()
}

pub(super) fn price_of(ticks: &[Tick], rates: &UsdRates, last: Option<&Price>) -> Option<Price> {
    aggregated(&with_age(ticks), rates, &RULES, last)
}

fn aggregated(
    ticks: &[SourceTick<'_>],
    rates: &UsdRates,
    rules: &AggregateRules,
    last: Option<&Price>,
) -> Option<Price> {
    let jump_guard = &mut JumpGuard::default();
    aggregate(&token(), ticks, rates, rules, jump_guard, last, NOW)
}

pub(super) fn fresh_price(ticks: &[Tick]) -> Price {
    price_of(ticks, &UsdRates::new(), None).unwrap()
}

pub(super) fn decimal(text: &str) -> BigDecimal {
    text.parse().unwrap()
}

pub(super) fn rates(price: &str, confidence: &str, age_ms: i64) -> UsdRates {
    let rate = UsdRate {
        price: decimal(price),
        confidence: decimal(confidence),
        observed_at: NOW - age_ms,
        expires_at: NOW - age_ms + MAX_AGE as i64,
        trust: Trust::Full,
    };
    UsdRates::from([("BTC".into(), rate)])
}

/// Price and confidence.
fn numbers(price: &Price) -> (BigDecimal, BigDecimal) {
    (price.price.clone(), price.confidence.clone())
}

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
fn tick_is_fresh_up_to_max_age_or_ahead() {
    let at = |age| price_of(&[tick("a", "USD", "1", age)], &UsdRates::new(), None);
    assert!(at(MAX_AGE as i64).is_some());
    assert!(at(MAX_AGE as i64 + 1).is_none());
    assert!(at(-5_000).is_some());
}

#[test]
fn detail_names_block_of_chain_tick() {
    let pool = Tick {
        origin: Some(LogOrigin {
            chain_id: 10,
            block_number: 7,
            block_hash: B256::ZERO,
            log_index: 1,
        }),
        ..tick("pool", "USD", "1", 0)
    };
    let price = fresh_price(&[tick("a", "USD", "1", 0), pool]);
    let blocks: Vec<_> = price.details.iter().map(|detail| detail.block).collect();
    let block = PriceBlock {
        chain_id: 10,
        number: 7,
    };
    assert_eq!(blocks, [None, Some(block)]);
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

fn rate_of(ticks: &[Tick], rates: &UsdRates) -> Option<UsdRate> {
    let jump_guard = &mut JumpGuard::default();
    usd_rate(&token(), &with_age(ticks), rates, &RULES, jump_guard, NOW)
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
fn first_source_of_venue_votes() {
    let ticks = [
        tick("spot", "USD", "100", 3),
        tick("twap", "USD", "90", 1),
        tick("other", "USD", "101", 2),
    ];
    let sources = |ages: [i64; 3]| {
        let mut aged = ticks.clone();
        for (tick, age) in aged.iter_mut().zip(ages) {
            tick.observed_at = NOW - age;
        }
        let venues = [7, 7, 8];
        let mut with_age = with_age(&aged);
        for (source, venue) in with_age.iter_mut().zip(venues) {
            source.venue = venue;
        }
        aggregated(&with_age, &UsdRates::new(), &RULES, None).unwrap()
    };
    let price = sources([3, 1, 2]);
    assert_eq!(numbers(&price), (decimal("100.5"), decimal("0.5")));
    assert_eq!(price.sources, ["other", "spot"].map(Arc::from));
    assert_eq!(price.status, PriceStatus::Ok);
    assert_eq!(price.observed_at, NOW - 2);
    // It appears in the details and is not an outlier.
    assert_eq!(price.details.len(), 3);
    assert!(price.details.iter().all(|detail| !detail.outlier));
    // It replaces the first source once that is too old.
    let price = sources([MAX_AGE as i64 + 1, 1, 2]);
    assert_eq!(price.sources, ["other", "twap"].map(Arc::from));
    // One venue of the required two.
    let price = sources([3, 1, MAX_AGE as i64 + 1]);
    assert_eq!(price.sources, ["spot"].map(Arc::from));
    assert_eq!(price.status, PriceStatus::Degraded);
}

#[test]
fn sources_of_one_log_are_one_venue() {
    let of_log = |source: &str, log_index| Tick {
        origin: Some(LogOrigin {
            chain_id: 1,
            block_number: 7,
            block_hash: B256::ZERO,
            log_index,
        }),
        ..tick(source, "USD", "100", 0)
    };
    let used = |ticks: [Tick; 2]| fresh_price(&ticks).sources.len();
    assert_eq!(used([of_log("proxy", 3), of_log("aggregator", 3)]), 1);
    assert_eq!(used([of_log("proxy", 3), of_log("other", 4)]), 2);
    let end = LogOrigin::END_OF_BLOCK;
    assert_eq!(used([of_log("twap", end), of_log("other", end)]), 2);
}

#[test]
fn feeds_of_one_answer_are_one_venue() {
    let of = |source: &str, price: &str, age_ms, block_number, log_index| Tick {
        origin: Some(LogOrigin {
            chain_id: 1,
            block_number,
            block_hash: B256::ZERO,
            log_index,
        }),
        ..tick(source, "USD", price, age_ms)
    };
    let used = |ticks: [Tick; 2], feeds: [bool; 2]| {
        let mut sources = with_age(&ticks);
        for (source, feed) in sources.iter_mut().zip(feeds) {
            source.feed = feed;
        }
        let price = aggregated(&sources, &UsdRates::new(), &RULES, None).unwrap();
        price.sources.len()
    };
    let end = LogOrigin::END_OF_BLOCK;
    let proxy = || of("proxy", "100.01", 9, 7, end);
    // Both by a call, or one by the log of an earlier block.
    for (block, index) in [(7, end), (8, end), (5, 3)] {
        let aggregator = || of("aggregator", "100.01", 9, block, index);
        assert_eq!(used([proxy(), aggregator()], [true; 2]), 1, "{block}");
        assert_eq!(used([proxy(), aggregator()], [true, false]), 2, "{block}");
    }
    for other in [
        of("other", "100.02", 9, 7, end),
        of("other", "100.01", 8, 7, end),
    ] {
        assert_eq!(used([proxy(), other], [true; 2]), 2);
    }
    // Two logs are two answers.
    let logs = [of("a", "100.01", 9, 7, 3), of("b", "100.01", 9, 7, 4)];
    assert_eq!(used(logs, [true; 2]), 2);
    let mut elsewhere = of("other", "100.01", 9, 7, end);
    elsewhere.origin.as_mut().unwrap().chain_id = 2;
    assert_eq!(used([proxy(), elsewhere], [true; 2]), 2);
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
fn streams_of_one_venue_share_a_vote() {
    // Two streams of a bad venue and one good venue: with one vote per stream, the bad price would be the median.
    let ticks = [
        tick("liar", "USD", "30", 0),
        tick("liar-trades", "USD", "30", 0),
        tick("honest", "USD", "3000", 0),
    ];
    let mut with_age = with_age(&ticks);
    with_age[1].venue = with_age[0].venue;
    let price = aggregated(&with_age, &UsdRates::new(), &RULES, None).unwrap();
    assert!(price.details.iter().all(|detail| !detail.outlier));
    assert_eq!(price.status, PriceStatus::Degraded);
}

#[test]
fn single_venue_jump_is_degraded() {
    let rules = AggregateRules {
        min_sources: 1,
        max_jump_bps: 1_000,
        ..RULES
    };
    let mut jump_guard = JumpGuard::default();
    let mut status = |prices: &[&str], after: i64| {
        let names = ["a", "b"].iter().zip(prices);
        let ticks: Vec<Tick> = names
            .map(|(name, price)| tick(name, "USD", price, -after))
            .collect();
        let sources = with_age(&ticks);
        let rates = UsdRates::new();
        let price = aggregate(
            &token(),
            &sources,
            &rates,
            &rules,
            &mut jump_guard,
            None,
            NOW + after,
        );
        let price = price.unwrap();
        (price.price.to_plain_string(), price.status, price.doubtful)
    };
    let ok = |price: &str| (price.to_owned(), PriceStatus::Ok, false);
    let held = |price: &str| (price.to_owned(), PriceStatus::Degraded, true);
    assert_eq!(status(&["3000"], 0), ok("3000"));
    assert_eq!(status(&["30"], 1_000), held("30"));
    assert_eq!(status(&["30", "30.1"], 2_000), ok("30.05"));
    assert_eq!(status(&["30"], 3_000), ok("30"));
    assert_eq!(status(&["3000"], 4_000), held("3000"));
    assert_eq!(status(&["3000", "30"], 5_000), held("1515"));
    assert_eq!(status(&["3000"], 6_000), held("3000"));
    assert_eq!(status(&["3000"], 34_999), held("3000"));
    assert_eq!(status(&["3000"], 36_000), ok("3000"));
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
