//! One vote for each venue, and a venue alone.

use super::*;

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
