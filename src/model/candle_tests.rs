use std::collections::BTreeMap;

use rand::{Rng, SeedableRng, rngs::StdRng, seq::SliceRandom};

use super::*;

const NOON: i64 = 1_769_860_800_000;

fn decimal(text: &str) -> BigDecimal {
    text.parse().unwrap()
}

/// Candles of points, in the order in which they are given.
fn candles(points: &[(i64, BigDecimal)], interval: CandleInterval) -> Vec<Candle> {
    let mut made = BTreeMap::<i64, Candle>::new();
    for (at, price) in points {
        made.entry(interval.start_of(*at))
            .and_modify(|candle| candle.add(*at, price))
            .or_insert_with(|| Candle::of(interval, *at, price));
    }
    made.into_values().collect()
}

/// Points at times that differ, over about two days.
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
fn any_order_of_prices_gives_the_same_candles() {
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
fn candles_of_a_larger_interval_are_the_fold_of_smaller_ones() {
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
                // What is filled in between is not of the market.
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
fn a_candle_spans_its_prices_and_lies_in_its_interval() {
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
fn a_time_on_the_border_begins_the_next_candle() {
    let minute = CandleInterval::Minute;
    assert_eq!(minute.start_of(NOON), NOON);
    assert_eq!(minute.start_of(NOON - 1), NOON - 60_000);
    assert_eq!(minute.start_of(-1), -60_000);
    assert_eq!(CandleInterval::Day.start_of(NOON), NOON - 12 * 3_600_000);
    assert_eq!(CandleInterval::FourHours.start_of(NOON + 1), NOON);
}

#[test]
fn gaps_between_two_candles_are_filled_with_the_close_and_no_others() {
    let minute = CandleInterval::Minute;
    let of = |n: i64, price: &str| Candle::of(minute, NOON + n * 60_000, &decimal(price));
    let shown = |filled: Vec<Candle>| -> Vec<(i64, String, u64)> {
        let row = |candle: Candle| {
            let n = (candle.start - NOON) / 60_000;
            (n, candle.close.to_string(), candle.count)
        };
        filled.into_iter().map(row).collect()
    };
    let row = |n: i64, close: &str, count: u64| (n, close.to_owned(), count);
    let two = vec![of(1, "5"), of(4, "7")];

    // Nothing ahead of the first, nothing behind the last.
    let filled = fill_gaps(two.clone(), minute, NOON, None, None, 100);
    let inner = [
        row(1, "5", 1),
        row(2, "5", 0),
        row(3, "5", 0),
        row(4, "7", 1),
    ];
    assert_eq!(shown(filled), inner);

    // A page that begins and ends in a gap.
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
    assert_eq!(shown(page), whole);

    // Cut anywhere, the pages are the whole.
    for limit in 1..=whole.len() {
        let cut = fill_gaps(
            two.clone(),
            minute,
            NOON,
            Some(decimal("3")),
            Some(NOON + 6 * 60_000),
            limit,
        );
        assert_eq!(shown(cut), whole[..limit]);
    }
    let none = fill_gaps(Vec::new(), minute, NOON, None, Some(NOON + 60_000), 10);
    assert!(none.is_empty());
}

#[test]
fn an_interval_is_read_in_any_case_and_others_are_refused() {
    for interval in CandleInterval::ALL {
        let upper = interval.name().to_ascii_uppercase();
        assert_eq!(upper.parse::<CandleInterval>(), Ok(interval));
        assert_eq!(
            CandleInterval::of_seconds(interval.seconds()),
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
