use std::collections::BTreeMap;

use rand::{Rng, SeedableRng, rngs::StdRng, seq::SliceRandom};

use super::*;

const NOON: i64 = 1_769_860_800_000;

fn decimal(text: &str) -> BigDecimal {
    text.parse().unwrap()
}

/// Builds candles from points, in the given order.
fn candles(points: &[(i64, BigDecimal)], interval: CandleInterval) -> Vec<Candle> {
    let mut made = BTreeMap::<i64, Candle>::new();
    for (at, price) in points {
        made.entry(interval.start_of(*at))
            .and_modify(|candle| candle.add(*at, price))
            .or_insert_with(|| Candle::from_price(interval, *at, price));
    }
    made.into_values().collect()
}

/// Points at distinct times over about two days.
fn any_points(random: &mut StdRng) -> Vec<(i64, BigDecimal)> {
    let mut points = BTreeMap::new();
    for _ in 0..random.random_range(1..200) {
        let at = NOON + random.random_range(0..172_800_000);
        let digits: u64 = random.random_range(1..u64::MAX);
        let scale: i64 = random.random_range(-20..40);
        points.insert(at, BigDecimal::new(digits.into(), scale));
    }
    points.into_iter().collect()
}

#[test]
fn candles_ignore_order_of_arrival() {
    let mut random = StdRng::seed_from_u64(11);
    for _ in 0..200 {
        let mut points = any_points(&mut random);
        let in_order = CandleInterval::ALL.map(|interval| candles(&points, interval));
        for _ in 0..4 {
            points.shuffle(&mut random);
            assert_eq!(
                CandleInterval::ALL.map(|interval| candles(&points, interval)),
                in_order
            );
        }
    }
}

#[test]
fn long_candles_equal_merged_short_ones() {
    let mut random = StdRng::seed_from_u64(12);
    for _ in 0..200 {
        let points = any_points(&mut random);
        for larger in CandleInterval::ALL {
            let whole = candles(&points, larger);
            for smaller in CandleInterval::ALL
                .into_iter()
                .filter(|smaller| *smaller < larger)
            {
                let parts = candles(&points, smaller);
                assert_eq!(fold_candles(&parts, larger), whole, "{larger} of {smaller}");
                // Synthetic candles do not count.
                let first = parts[0].start;
                let filled = fill_gaps(parts, smaller, first, None, None, 5_000);
                assert_eq!(
                    fold_candles(&filled, larger),
                    whole,
                    "{larger} of {smaller}, filled"
                );
            }
        }
    }
}

#[test]
fn candle_spans_prices_within_interval() {
    let mut random = StdRng::seed_from_u64(13);
    for _ in 0..200 {
        let points = any_points(&mut random);
        for interval in CandleInterval::ALL {
            let made = candles(&points, interval);
            let count: u64 = made.iter().map(|candle| candle.count).sum();
            assert_eq!(count, points.len() as u64);
            for candle in made {
                let end = candle.start + interval.millis();
                let own: Vec<_> = points
                    .iter()
                    .filter(|(at, _)| (candle.start..end).contains(at))
                    .map(|(_, price)| price)
                    .collect();
                assert_eq!(candle.start % interval.millis(), 0);
                assert_eq!(Some(&&candle.open), own.first());
                assert_eq!(Some(&&candle.close), own.last());
                assert_eq!(Some(&&candle.high), own.iter().max());
                assert_eq!(Some(&&candle.low), own.iter().min());
            }
        }
    }
}

#[test]
fn border_time_starts_next_candle() {
    let minute = CandleInterval::Minute;
    assert_eq!(minute.start_of(NOON), NOON);
    assert_eq!(minute.start_of(NOON - 1), NOON - 60_000);
    assert_eq!(minute.start_of(-1), -60_000);
    assert_eq!(CandleInterval::Day.start_of(NOON), NOON - 12 * 3_600_000);
    assert_eq!(CandleInterval::FourHours.start_of(NOON + 1), NOON);
}

#[test]
fn fills_only_inner_gaps_with_previous_close() {
    let minute = CandleInterval::Minute;
    let of = |n: i64, price: &str| Candle::from_price(minute, NOON + n * 60_000, &decimal(price));
    let rows = |filled: Vec<Candle>| -> Vec<(i64, String, u64)> {
        let row = |candle: Candle| {
            let n = (candle.start - NOON) / 60_000;
            (n, candle.close.to_string(), candle.count)
        };
        filled.into_iter().map(row).collect()
    };
    let row = |n: i64, close: &str, count: u64| (n, close.to_owned(), count);
    let two = vec![of(1, "5"), of(4, "7")];

    // Nothing is filled before the first or after the last.
    let filled = fill_gaps(two.clone(), minute, NOON, None, None, 100);
    let inner = [
        row(1, "5", 1),
        row(2, "5", 0),
        row(3, "5", 0),
        row(4, "7", 1),
    ];
    assert_eq!(rows(filled), inner);

    // A page that starts and ends in a gap.
    let page = fill_gaps(
        two.clone(),
        minute,
        NOON,
        Some(decimal("3")),
        Some(NOON + 6 * 60_000),
        100,
    );
    let mut whole = vec![row(0, "3", 0)];
    whole.extend(inner.clone());
    whole.push(row(5, "7", 0));
    assert_eq!(rows(page), whole);

    // A smaller limit returns a prefix.
    for limit in 1..=whole.len() {
        let cut = fill_gaps(
            two.clone(),
            minute,
            NOON,
            Some(decimal("3")),
            Some(NOON + 6 * 60_000),
            limit,
        );
        assert_eq!(rows(cut), whole[..limit]);
    }
    let none = fill_gaps(Vec::new(), minute, NOON, None, Some(NOON + 60_000), 10);
    assert!(none.is_empty());
}

#[test]
fn parses_intervals_in_any_case() {
    for interval in CandleInterval::ALL {
        let upper = interval.name().to_ascii_uppercase();
        assert_eq!(upper.parse::<CandleInterval>(), Ok(interval));
        assert_eq!(
            CandleInterval::from_seconds(interval.seconds()),
            Some(interval)
        );
    }
    assert_eq!(CandleInterval::Minute.smaller(), None);
    assert_eq!(
        CandleInterval::Day.smaller(),
        Some(CandleInterval::FourHours)
    );
    for bad in ["", "1", "2m", "60", "1w", "1m "] {
        assert!(bad.parse::<CandleInterval>().is_err(), "{bad:?}");
    }
}
