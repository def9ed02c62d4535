use rand::{Rng, SeedableRng, rngs::StdRng};

use super::*;
use chaincast_protocol::fold_candles;

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

/// The updates of the minute candles: (minutes since noon, open, high, low, close, count, closed).
type MinuteUpdate = (i64, String, String, String, String, u64, bool);

fn minutes(changes: &CandleChanges) -> Vec<MinuteUpdate> {
    let updates = changes.updates.iter().filter_map(|update| {
        let Event::CandleUpdate(minute_update) = &update.event else {
            panic!("{update:?}")
        };
        assert_eq!(
            update.channel,
            Channel::Candle(minute_update.token.clone(), minute_update.interval)
        );
        (minute_update.interval == CandleInterval::Minute).then(|| {
            (
                (minute_update.timestamp - NOON) / MINUTE,
                minute_update.open.0.to_string(),
                minute_update.high.0.to_string(),
                minute_update.low.0.to_string(),
                minute_update.close.0.to_string(),
                minute_update.count,
                minute_update.closed,
            )
        })
    });
    updates.collect()
}

fn minute_update(minute: i64, prices: [&str; 4], count: u64, closed: bool) -> MinuteUpdate {
    let [open, high, low, close] = prices.map(str::to_owned);
    (minute, open, high, low, close, count, closed)
}

#[test]
fn first_price_opens_all_intervals() {
    let mut candles = candles(Vec::new());
    assert_eq!(candles.next_due(), None);
    let changes = candles.advance(&[price("5", NOON)], NOON + 10);
    assert_eq!(
        (changes.updates.len(), changes.rows.len(), changes.late),
        (6, 6, 0)
    );
    assert!(
        changes
            .rows
            .iter()
            .all(|row| row.announced_count == 1 && !row.closed)
    );
    assert_eq!(minutes(&changes), [minute_update(0, ["5"; 4], 1, false)]);
    assert_eq!(candles.next_due(), Some(NOON + MINUTE));
}

#[test]
fn open_candle_is_stored_always_and_announced_at_interval() {
    let mut candles = candles(Vec::new());
    candles.advance(&[price("5", NOON)], NOON);
    for (offset, text) in [(10, "6"), (20, "4"), (30, "5.5")] {
        let changes = candles.advance(&[price(text, NOON + offset)], NOON + offset);
        assert!(changes.updates.is_empty());
        let rows: Vec<_> = changes.rows.iter().map(|row| row.interval).collect();
        assert_eq!(rows, [CandleInterval::Minute]);
    }
    assert_eq!(candles.next_due(), Some(NOON + 250));
    let changes = candles.advance(&[], NOON + 250);
    assert_eq!(
        minutes(&changes),
        [minute_update(0, ["5", "6", "4", "5.5"], 4, false)]
    );
    assert_eq!(
        changes.updates.len(),
        1,
        "longer candles are announced less often"
    );
    assert_eq!(candles.next_due(), Some(NOON + 5_000));
    let changes = candles.advance(&[], NOON + 5_000);
    assert_eq!(changes.updates.len(), 5);
    assert!(changes.rows.iter().all(|row| row.candle.count == 4));
    assert_eq!(candles.next_due(), Some(NOON + MINUTE));
}

#[test]
fn close_is_announced_again_only_when_corrected() {
    let mut candles = candles(Vec::new());
    candles.advance(&[price("5", NOON + 1_000)], NOON + 1_000);
    let changes = candles.advance(&[], NOON + MINUTE);
    assert_eq!(minutes(&changes), [minute_update(0, ["5"; 4], 1, true)]);
    assert_eq!(changes.updates.len(), 1, "the other candles stay open");
    assert!(candles.advance(&[], NOON + MINUTE + 1).updates.is_empty());

    // Of that minute, and within the grace period.
    let late = price("7", NOON + 59_000);
    let changes = candles.advance(&[late], NOON + MINUTE + 20_000);
    assert_eq!(
        minutes(&changes),
        [minute_update(0, ["5", "7", "5", "7"], 2, true)]
    );
    assert_eq!(changes.late, 0);

    // Of that minute too, but too late: it counts at its announcement.
    let too_late = price("8", NOON + 59_500);
    let changes = candles.advance(&[too_late], NOON + 2 * MINUTE - 1);
    assert_eq!(minutes(&changes), [minute_update(1, ["8"; 4], 1, false)]);
    assert_eq!(changes.late, 1);
}

#[test]
fn price_of_next_minute_closes_previous_candle() {
    let mut candles = candles(Vec::new());
    candles.advance(&[price("5", NOON)], NOON);
    let changes = candles.advance(&[price("6", NOON + 3 * MINUTE)], NOON + 3 * MINUTE);
    assert_eq!(
        minutes(&changes),
        [
            minute_update(0, ["5"; 4], 1, true),
            minute_update(3, ["6"; 4], 1, false)
        ]
    );
    let keys: BTreeSet<_> = changes
        .rows
        .iter()
        .map(|row| (row.interval, row.candle.start))
        .collect();
    assert_eq!(
        keys.len(),
        changes.rows.len(),
        "no row twice in one statement"
    );
}

#[test]
fn price_after_reorg_counts_at_announcement() {
    let mut candles = candles(Vec::new());
    candles.advance(&[price("5", NOON)], NOON);
    candles.advance(&[price("9", NOON + 12_000)], NOON + 12_000);
    // The block of the second price was dropped; the first replaces it.
    let changes = candles.advance(&[price("5", NOON)], NOON + 20_000);
    assert_eq!(
        minutes(&changes),
        [minute_update(0, ["5", "9", "5", "5"], 3, false)]
    );
    // Its block was mined again with an earlier time.
    let changes = candles.advance(&[price("9.5", NOON + 13_000)], NOON + 21_000);
    assert_eq!(
        minutes(&changes),
        [minute_update(0, ["5", "9.5", "5", "9.5"], 4, false)]
    );
}

#[test]
fn repeated_price_counts_at_announcement_and_is_not_late() {
    let mut candles = candles(Vec::new());
    candles.advance(&[price("5", NOON)], NOON);
    let changes = candles.advance(&[price("5", NOON)], NOON + 10 * MINUTE);
    assert_eq!(
        minutes(&changes),
        [
            minute_update(0, ["5"; 4], 1, true),
            minute_update(10, ["5"; 4], 1, false)
        ]
    );
    assert_eq!(changes.late, 0);
}

#[test]
fn stale_price_makes_no_candle() {
    let mut candles = candles(Vec::new());
    let stale = Price {
        status: PriceStatus::Stale,
        ..price("5", NOON)
    };
    let changes = candles.advance(&[stale], NOON);
    assert!(changes.updates.is_empty() && changes.rows.is_empty());
    assert_eq!(candles.next_due(), None);
}

#[test]
fn doubtful_price_makes_no_candle() {
    let mut candles = candles(Vec::new());
    let degraded = |text, doubtful| Price {
        status: PriceStatus::Degraded,
        doubtful,
        ..price(text, NOON)
    };
    let changes = candles.advance(&[degraded("30", true)], NOON);
    assert!(changes.updates.is_empty() && changes.rows.is_empty());
    let changes = candles.advance(&[degraded("3000", false)], NOON);
    assert_eq!(minutes(&changes), [minute_update(0, ["3000"; 4], 1, false)]);
}

#[test]
fn future_price_counts_as_now() {
    let mut candles = candles(Vec::new());
    let changes = candles.advance(&[price("5", NOON + 10 * MINUTE)], NOON);
    assert_eq!(minutes(&changes), [minute_update(0, ["5"; 4], 1, false)]);
}

#[test]
fn new_writer_continues_stored_candles() {
    let mut before = candles(Vec::new());
    let mut stored = before.advance(&[price("5", NOON)], NOON).rows;
    let untold = before.advance(&[price("6", NOON + 10)], NOON + 10).rows;
    stored.retain(|row| row.interval != CandleInterval::Minute);
    stored.extend(untold);

    let mut after = candles(stored.clone());
    // The stored but unannounced prices are announced now.
    let changes = after.advance(&[], NOON + 100);
    assert_eq!(
        minutes(&changes),
        [minute_update(0, ["5", "6", "5", "6"], 2, false)]
    );
    assert_eq!(changes.updates.len(), 1);
    // A candle that ended meanwhile is closed.
    let mut late = candles(stored);
    let changes = late.advance(&[], NOON + 24 * 60 * MINUTE);
    assert_eq!(changes.updates.len(), 6);
    assert!(changes.rows.iter().all(|row| row.closed));
    assert_eq!(late.next_due(), None);
}

#[test]
fn larger_candles_equal_their_merged_minutes() {
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
            let changes = match random.random_bool(0.8) {
                true => {
                    counted += 1;
                    candles.advance(&[came], now)
                }
                false => candles.advance(&[], now),
            };
            let mut keys = BTreeSet::new();
            for row in changes.rows {
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
                .all(|row| row.closed && row.announced_count == row.candle.count)
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
