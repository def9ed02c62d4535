use rand::{Rng, SeedableRng, rngs::StdRng};

use super::*;
use crate::model::fold_candles;

const NOON: i64 = 1_769_860_800_000;
const MINUTE: i64 = 60_000;
const RULES: CandleRules = CandleRules {
    grace_ms: 30_000,
    publish_ms: 250,
};

fn eth() -> Token {
    "ETH".parse().unwrap()
}

fn price(price: &str, observed_at: i64) -> Price {
    Price {
        token: eth(),
        price: price.parse().unwrap(),
        confidence: 0.into(),
        sources: Vec::new(),
        details: Vec::new(),
        status: PriceStatus::Ok,
        reason: None,
        doubtful: false,
        observed_at,
        expires_at: observed_at,
    }
}

fn candles(stored: Vec<StoredCandle>) -> Candles {
    Candles::new(RULES, vec![eth()], stored, [].iter())
}

/// What is said of the minutes: (minutes since noon, open, high, low, close, count, closed).
type Said = (i64, String, String, String, String, u64, bool);

fn minutes(news: &CandleNews) -> Vec<Said> {
    let updates = news.updates.iter().filter_map(|update| {
        let Event::CandleUpdate(said) = &update.event else {
            panic!("{update:?}")
        };
        assert_eq!(
            update.channel,
            Channel::Candle(said.token.clone(), said.interval)
        );
        (said.interval == CandleInterval::Minute).then(|| {
            (
                (said.timestamp - NOON) / MINUTE,
                said.open.0.to_string(),
                said.high.0.to_string(),
                said.low.0.to_string(),
                said.close.0.to_string(),
                said.count,
                said.closed,
            )
        })
    });
    updates.collect()
}

fn said(minute: i64, prices: [&str; 4], count: u64, closed: bool) -> Said {
    let [open, high, low, close] = prices.map(str::to_owned);
    (minute, open, high, low, close, count, closed)
}

#[test]
fn the_first_price_opens_and_announces_all_intervals() {
    let mut candles = candles(Vec::new());
    assert_eq!(candles.next_due(), None);
    let news = candles.advance(&[price("5", NOON)], NOON + 10);
    assert_eq!((news.updates.len(), news.rows.len(), news.late), (6, 6, 0));
    assert!(news.rows.iter().all(|row| row.told == 1 && !row.closed));
    assert_eq!(minutes(&news), [said(0, ["5"; 4], 1, false)]);
    assert_eq!(candles.next_due(), Some(NOON + MINUTE));
}

#[test]
fn an_open_candle_is_stored_with_each_price_and_announced_now_and_then() {
    let mut candles = candles(Vec::new());
    candles.advance(&[price("5", NOON)], NOON);
    for (offset, text) in [(10, "6"), (20, "4"), (30, "5.5")] {
        let news = candles.advance(&[price(text, NOON + offset)], NOON + offset);
        assert!(news.updates.is_empty());
        let rows: Vec<_> = news.rows.iter().map(|row| row.interval).collect();
        assert_eq!(rows, [CandleInterval::Minute]);
    }
    assert_eq!(candles.next_due(), Some(NOON + 250));
    let news = candles.advance(&[], NOON + 250);
    assert_eq!(minutes(&news), [said(0, ["5", "6", "4", "5.5"], 4, false)]);
    assert_eq!(news.updates.len(), 1, "longer ones wait longer");
    assert_eq!(candles.next_due(), Some(NOON + 5_000));
    let news = candles.advance(&[], NOON + 5_000);
    assert_eq!(news.updates.len(), 5);
    assert!(news.rows.iter().all(|row| row.candle.count == 4));
    assert_eq!(candles.next_due(), Some(NOON + MINUTE));
}

#[test]
fn the_close_is_announced_once_and_again_only_when_it_is_put_right() {
    let mut candles = candles(Vec::new());
    candles.advance(&[price("5", NOON + 1_000)], NOON + 1_000);
    let news = candles.advance(&[], NOON + MINUTE);
    assert_eq!(minutes(&news), [said(0, ["5"; 4], 1, true)]);
    assert_eq!(news.updates.len(), 1, "the others go on");
    assert!(candles.advance(&[], NOON + MINUTE + 1).updates.is_empty());

    // Of that minute, and within the grace.
    let late = price("7", NOON + 59_000);
    let news = candles.advance(&[late], NOON + MINUTE + 20_000);
    assert_eq!(minutes(&news), [said(0, ["5", "7", "5", "7"], 2, true)]);
    assert_eq!(news.late, 0);

    // Of that minute too, and too late: it is what is known now.
    let too_late = price("8", NOON + 59_500);
    let news = candles.advance(&[too_late], NOON + 2 * MINUTE - 1);
    assert_eq!(minutes(&news), [said(1, ["8"; 4], 1, false)]);
    assert_eq!(news.late, 1);
}

#[test]
fn a_price_of_the_next_minute_closes_the_one_before_with_it() {
    let mut candles = candles(Vec::new());
    candles.advance(&[price("5", NOON)], NOON);
    let news = candles.advance(&[price("6", NOON + 3 * MINUTE)], NOON + 3 * MINUTE);
    assert_eq!(
        minutes(&news),
        [said(0, ["5"; 4], 1, true), said(3, ["6"; 4], 1, false)]
    );
    let keys: BTreeSet<_> = news
        .rows
        .iter()
        .map(|row| (row.interval, row.candle.start))
        .collect();
    assert_eq!(keys.len(), news.rows.len(), "no row twice in one statement");
}

#[test]
fn what_a_reorg_left_counts_as_of_its_announcement_and_takes_nothing_back() {
    let mut candles = candles(Vec::new());
    candles.advance(&[price("5", NOON)], NOON);
    candles.advance(&[price("9", NOON + 12_000)], NOON + 12_000);
    // The block of the second is gone; the first stands in for it.
    let news = candles.advance(&[price("5", NOON)], NOON + 20_000);
    assert_eq!(minutes(&news), [said(0, ["5", "9", "5", "5"], 3, false)]);
    // Its own block came again with an earlier time than that.
    let news = candles.advance(&[price("9.5", NOON + 13_000)], NOON + 21_000);
    assert_eq!(
        minutes(&news),
        [said(0, ["5", "9.5", "5", "9.5"], 4, false)]
    );
}

#[test]
fn a_price_that_is_said_again_after_its_grace_counts_as_of_then_and_is_not_late() {
    let mut candles = candles(Vec::new());
    candles.advance(&[price("5", NOON)], NOON);
    let news = candles.advance(&[price("5", NOON)], NOON + 10 * MINUTE);
    assert_eq!(
        minutes(&news),
        [said(0, ["5"; 4], 1, true), said(10, ["5"; 4], 1, false)]
    );
    assert_eq!(news.late, 0);
}

#[test]
fn stale_prices_make_no_candle() {
    let mut candles = candles(Vec::new());
    let stale = Price {
        status: PriceStatus::Stale,
        ..price("5", NOON)
    };
    let news = candles.advance(&[stale], NOON);
    assert!(news.updates.is_empty() && news.rows.is_empty());
    assert_eq!(candles.next_due(), None);
}

#[test]
fn a_price_in_doubt_makes_no_candle_and_one_of_few_venues_does() {
    let mut candles = candles(Vec::new());
    let degraded = |text, doubtful| Price {
        status: PriceStatus::Degraded,
        doubtful,
        ..price(text, NOON)
    };
    let news = candles.advance(&[degraded("30", true)], NOON);
    assert!(news.updates.is_empty() && news.rows.is_empty());
    let news = candles.advance(&[degraded("3000", false)], NOON);
    assert_eq!(minutes(&news), [said(0, ["3000"; 4], 1, false)]);
}

#[test]
fn a_time_ahead_of_the_clock_counts_as_now() {
    let mut candles = candles(Vec::new());
    let news = candles.advance(&[price("5", NOON + 10 * MINUTE)], NOON);
    assert_eq!(minutes(&news), [said(0, ["5"; 4], 1, false)]);
}

#[test]
fn a_writer_goes_on_where_the_last_one_ended() {
    let mut before = candles(Vec::new());
    let mut stored = before.advance(&[price("5", NOON)], NOON).rows;
    let untold = before.advance(&[price("6", NOON + 10)], NOON + 10).rows;
    stored.retain(|row| row.interval != CandleInterval::Minute);
    stored.extend(untold);

    let mut after = candles(stored.clone());
    // What was stored and not announced is announced now.
    let news = after.advance(&[], NOON + 100);
    assert_eq!(minutes(&news), [said(0, ["5", "6", "5", "6"], 2, false)]);
    assert_eq!(news.updates.len(), 1);
    // And what ended meanwhile is closed.
    let mut late = candles(stored);
    let news = late.advance(&[], NOON + 24 * 60 * MINUTE);
    assert_eq!(news.updates.len(), 6);
    assert!(news.rows.iter().all(|row| row.closed));
    assert_eq!(late.next_due(), None);
}

#[test]
fn whatever_comes_the_closed_candles_of_larger_intervals_are_folds_of_the_minutes() {
    let mut random = StdRng::seed_from_u64(21);
    for _ in 0..30 {
        let mut candles = candles(Vec::new());
        let mut rows = std::collections::BTreeMap::new();
        let mut now = NOON;
        let mut counted = 0;
        for _ in 0..400 {
            now += random.random_range(1..60_000);
            let digits: u32 = random.random_range(1..10_000);
            let came = price(
                &digits.to_string(),
                now - random.random_range(-1_000..60_000),
            );
            let news = match random.random_bool(0.8) {
                true => {
                    counted += 1;
                    candles.advance(&[came], now)
                }
                false => candles.advance(&[], now),
            };
            let mut keys = BTreeSet::new();
            for row in news.rows {
                assert!(keys.insert((row.interval, row.candle.start)), "{row:?}");
                rows.insert((row.interval, row.candle.start), row);
            }
        }
        let end = candles.advance(&[], now + 48 * 60 * MINUTE);
        rows.extend(
            end.rows
                .into_iter()
                .map(|row| ((row.interval, row.candle.start), row)),
        );
        assert!(
            rows.values()
                .all(|row| row.closed && row.told == row.candle.count)
        );
        let of = |interval| -> Vec<Candle> {
            let own = rows.values().filter(|row| row.interval == interval);
            own.map(|row| row.candle.clone()).collect()
        };
        let minutes = of(CandleInterval::Minute);
        assert_eq!(
            minutes.iter().map(|candle| candle.count).sum::<u64>(),
            counted
        );
        for interval in CandleInterval::ALL {
            assert_eq!(fold_candles(&minutes, interval), of(interval), "{interval}");
        }
    }
}
