//! Candles: from the price writer to REST and to the channel, on a real PostgreSQL.

use std::collections::BTreeMap;

use bigdecimal::BigDecimal;
use chaincast_ingest::PriceSignal;
use chaincast_model::Tick;
use chaincast_prices::PriceConfig;
use chaincast_protocol::{Candle, CandleInterval, Channel, Update, now_ms};
use serde_json::Value;

use crate::support::{PriceFixture, price_tick};

const DAY: i64 = 24 * 3_600_000;
const MINUTE: CandleInterval = CandleInterval::Minute;

/// One token with one source. A late price counts at its own time: these tests may take long.
const CONFIG: &str = "max_jump_bps = 0\nmax_confidence_bps = 0\ncandle_grace_ms = 3600000\ncandle_publish_ms = 10\n[[tokens]]\nsymbol = 'ETH'\n\
    [[sources]]\nkind = 'chainlink'\ntoken = 'ETH'\nname = 'feed'\n\
    address = '0x0000000000000000000000000000000000000001'\ndecimals = 8\nmax_age_ms = 86400000\n\
    [[sources]]\nkind = 'http'\ntoken = 'ETH'\nname = 'venue'\nurl = 'http://127.0.0.1:1/'\npointer = '/price'\n\
    quote = 'USD'\nmax_age_ms = 86400000\n";

fn config() -> PriceConfig {
    toml::from_str(CONFIG).unwrap()
}

/// A tick of the on-chain feed, or of the venue.
fn tick(price: &str, observed_at: i64, block_number: Option<u64>) -> Tick {
    let source = block_number.map_or("venue", |_| "feed");
    Tick {
        observed_at,
        ..price_tick("ETH", source, "USD", price, block_number)
    }
}

impl PriceFixture {
    /// The next commit with an update of the price, whose value is checked.
    async fn next_price_commit(&mut self, expected: &str) -> Vec<Update> {
        loop {
            let commit = self.published().await;
            let price = commit.iter().find(|update| update.event == "price-update");
            if let Some(price) = price {
                // As text, which keeps every digit.
                let output = format!("\"price\":{expected},");
                assert!(price.data.contains(&output), "{expected}: {}", price.data);
                return commit;
            }
        }
    }

    /// The updates of an interval's channel after a seq.
    async fn channel_updates(&self, interval: CandleInterval, since: u64) -> Vec<Value> {
        let channel = Channel::Candle("ETH".parse().unwrap(), interval);
        let updates = self
            .store
            .updates_between(&channel, since, u64::MAX, 1_000)
            .await
            .unwrap();
        updates
            .iter()
            .map(|update| {
                assert_eq!(update.event, "candle-update");
                serde_json::from_str(&update.data).unwrap()
            })
            .collect()
    }

    /// Stored candles within a time range.
    async fn candles(&self, interval: CandleInterval, from: i64, to: i64) -> Vec<Candle> {
        let token = "ETH".parse().unwrap();
        let range = (interval.start_of(from), to);
        let read = self.store.read_candles(&token, interval, range, 1_000);
        read.await.unwrap().candles
    }
}

#[tokio::test]
async fn price_and_candles_are_one_commit() {
    const PRICE: &str = "100.000000000000000001";
    let mut fixture = PriceFixture::new().await;
    let writer = fixture.writer(config());
    let at = now_ms();
    writer.send_tick(tick(PRICE, at, None)).await;
    let commit = fixture.next_price_commit(PRICE).await;
    assert_eq!(commit[0].event, "price-update", "the price first");
    // A candle may close in the same commit if a minute ends here.
    assert!(commit.len() >= 7, "{commit:?}");
    for (update, interval) in commit[1..].iter().zip(CandleInterval::ALL) {
        assert_eq!(update.event, "candle-update");
        assert_eq!(update.channel.to_string(), format!("candle:ETH:{interval}"));
        let start = interval.start_of(at);
        let expected = format!(
            "{{\"token\":\"ETH\",\"interval\":\"{interval}\",\"timestamp\":{start},\"open\":{PRICE},\"high\":{PRICE},\
             \"low\":{PRICE},\"close\":{PRICE},\"count\":1,\"closed\":"
        );
        assert!(update.data.starts_with(&expected), "{}", update.data);
        assert!(update.data.ends_with(",\"synthetic\":false}"));
        let stored = fixture.candles(interval, at, at + 1).await;
        let close: BigDecimal = PRICE.parse().unwrap();
        assert_eq!((stored.len(), &stored[0].close), (1, &close));
    }
    writer.end().await;
}

#[tokio::test]
async fn late_price_corrects_closed_candle_with_one_update() {
    let mut fixture = PriceFixture::new().await;
    let writer = fixture.writer(config());
    let border = MINUTE.start_of(now_ms());
    // A price of the minute that has ended.
    writer.send_tick(tick("100", border - 3_000, None)).await;
    fixture.next_price_commit("100").await;
    writer.send_tick(tick("103", border - 2_000, None)).await;
    fixture.next_price_commit("103").await;
    writer.send_tick(tick("102", border - 1_000, None)).await;
    fixture.next_price_commit("102").await;
    // A price of a later minute closes it for good; a later writer has nothing to add.
    writer.send_tick(tick("104", now_ms(), None)).await;
    fixture.next_price_commit("104").await;
    writer.end().await;
    let writer = fixture.writer(config());
    writer.send_tick(tick("105", now_ms(), None)).await;
    fixture.next_price_commit("105").await;

    let output = fixture.channel_updates(MINUTE, 0).await;
    let of_it: Vec<_> = output
        .iter()
        .filter(|data| data["timestamp"] == border - 60_000)
        .map(|data| {
            let number = |key: &str| data[key].as_u64().unwrap();
            let candles_by_time = ["open", "high", "low", "close", "count"].map(number);
            (candles_by_time, data["closed"].as_bool().unwrap())
        })
        .collect();
    assert_eq!(
        of_it,
        [
            ([100, 100, 100, 100, 1], true),
            ([100, 103, 100, 103, 2], true),
            ([100, 103, 100, 102, 3], true),
        ]
    );
    let stored = fixture.candles(MINUTE, border - 60_000, border).await;
    assert_eq!((stored.len(), stored[0].count), (1, 3));
    writer.end().await;
}

#[tokio::test]
async fn open_candle_closes_at_its_end_without_a_price() {
    let mut fixture = PriceFixture::new().await;
    // The state that a writer leaves when it is stopped before the end of the minute.
    let start = MINUTE.start_of(now_ms() - 120_000);
    sqlx::query(
        "INSERT INTO candles (token, seconds, start, open, high, low, close, count, first_at, last_at, told)
         SELECT 'ETH', 60, at, 5, 6, 4, 5, 4, at, at, 3 FROM (SELECT to_timestamp($1::bigint / 1000) AS at) t",
    )
    .bind(start)
    .execute(fixture.store.pool())
    .await
    .unwrap();
    let writer = fixture.writer(config());
    writer.send_tick(tick("7", now_ms(), None)).await;
    fixture.next_price_commit("7").await;
    let output = fixture.channel_updates(MINUTE, 0).await;
    assert_eq!(output[0]["timestamp"], start);
    assert_eq!(output[0]["closed"], true);
    assert_eq!(output[0]["count"], 4);
    let again = output[1..].iter().filter(|data| data["timestamp"] == start);
    assert_eq!(again.count(), 0);
    writer.end().await;
}

#[tokio::test]
async fn longer_candles_are_completed_from_minute_candles() {
    let mut fixture = PriceFixture::new().await;
    // The minute candles are complete; the writer ended before it published the longer ones.
    let now = now_ms();
    let minute = MINUTE.start_of(now);
    for interval in CandleInterval::ALL {
        let is_minute = interval == MINUTE;
        sqlx::query(
            "INSERT INTO candles (token, seconds, start, open, high, low, close, count, first_at, last_at, told)
             SELECT 'ETH', $1, to_timestamp($2::bigint / 1000), 5, $3, 4, 5, $4, at, at, 1
             FROM (SELECT to_timestamp($5::bigint / 1000) AS at) t",
        )
        .bind(interval.seconds())
        .bind(interval.start_of(now))
        .bind(if is_minute { 9 } else { 6 })
        .bind(if is_minute { 8_i64 } else { 3 })
        .bind(minute)
        .execute(fixture.store.pool())
        .await
        .unwrap();
    }
    let writer = fixture.writer(config());
    writer.send_tick(tick("5", now_ms(), None)).await;
    fixture.next_price_commit("5").await;
    for interval in CandleInterval::ALL {
        // The price may fall into the next minute; the candle is complete in either case.
        let first = &fixture.channel_updates(interval, 0).await[0];
        assert_eq!(first["high"], 9, "{first}");
        assert!(first["count"].as_u64().unwrap() >= 8, "{first}");
    }
    writer.end().await;
}

#[tokio::test]
async fn reorg_keeps_candle_range_and_updates_its_close() {
    let mut fixture = PriceFixture::new().await;
    let writer = fixture.writer(config());
    let at = now_ms();
    let (kept, dropped) = (tick("100", at - 2, Some(1)), tick("200", at - 1, Some(2)));
    fixture.index(std::slice::from_ref(&kept)).await;
    writer.signals.send(PriceSignal::Ticks(vec![kept]));
    fixture.next_price_commit("100").await;
    fixture.index(std::slice::from_ref(&dropped)).await;
    writer.signals.send(PriceSignal::Ticks(vec![dropped]));
    fixture.next_price_commit("200").await;

    fixture.reorg(&writer, 1).await;
    fixture.next_price_commit("100").await;

    // Midnight may lie between them: then two day candles share the prices.
    let days = fixture
        .candles(CandleInterval::Day, at - 2, now_ms() + 1)
        .await;
    let count: u64 = days.iter().map(|candle| candle.count).sum();
    assert_eq!(count, 3, "{days:?}");
    assert_eq!(days.last().unwrap().close, BigDecimal::from(100));
    let high = days.iter().map(|candle| &candle.high).max();
    assert_eq!(high, Some(&BigDecimal::from(200)), "it was published");
    writer.end().await;
}

#[tokio::test]
async fn candles_at_seq_plus_updates_equal_later_candles() {
    let mut fixture = PriceFixture::new().await;
    let writer = fixture.writer(config());
    let started = now_ms();
    let channel = Channel::Candle("ETH".parse().unwrap(), MINUTE);
    for price in 1..=20_u32 {
        writer
            .send_tick(tick(&price.to_string(), now_ms(), None))
            .await;
        fixture.next_price_commit(&price.to_string()).await;
    }
    // As REST does: the seq first.
    let since = fixture.store.channel_extent(&channel).await.unwrap().newest;
    let page = fixture.candles(MINUTE, started, started + DAY).await;
    let mut candles_by_time: BTreeMap<i64, (u64, String)> = page
        .iter()
        .filter(|candle| !candle.is_synthetic())
        .map(|candle| (candle.start, (candle.count, text(&candle.close))))
        .collect();
    for price in 21..=40_u32 {
        writer
            .send_tick(tick(&price.to_string(), now_ms(), None))
            .await;
        fixture.next_price_commit(&price.to_string()).await;
    }
    // An update that was still pending is published by the next writer.
    writer.end().await;
    let writer = fixture.writer(config());
    writer.send_tick(tick("41", now_ms(), None)).await;
    fixture.next_price_commit("41").await;
    for data in fixture.channel_updates(MINUTE, since).await {
        let count = data["count"].as_u64().unwrap();
        let close = data["close"].to_string();
        candles_by_time.insert(data["timestamp"].as_i64().unwrap(), (count, close));
    }
    let later = fixture.candles(MINUTE, started, started + DAY).await;
    let later: BTreeMap<i64, (u64, String)> = later
        .iter()
        .filter(|candle| !candle.is_synthetic())
        .map(|candle| (candle.start, (candle.count, text(&candle.close))))
        .collect();
    let counted: u64 = later.values().map(|(count, _)| count).sum();
    assert_eq!(counted, 41);
    // The last price may not be processed yet.
    let mut later = later;
    candles_by_time.pop_last();
    later.pop_last();
    assert_eq!(candles_by_time, later);
    writer.end().await;
}

/// The number as it is sent to clients.
fn text(price: &BigDecimal) -> String {
    price.normalized().to_plain_string()
}
