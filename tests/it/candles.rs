//! Candles: from the price writer to readers and to the channel, on a real PostgreSQL.

use std::collections::BTreeMap;

use bigdecimal::BigDecimal;
use chaincast::{
    ingest::PriceSignal,
    model::{Candle, CandleInterval, Channel, Tick, Update, now_ms},
    source::price::PriceConfig,
};
use serde_json::Value;

use crate::support::{PriceStage, price_tick};

const DAY: i64 = 24 * 3_600_000;
const MINUTE: CandleInterval = CandleInterval::Minute;

/// One token with one source. A price counts at its own time however late it comes: these tests may take long.
const CONFIG: &str = "max_jump_bps = 0\nmax_confidence_bps = 0\ncandle_grace_ms = 3600000\ncandle_publish_ms = 10\n[[tokens]]\nsymbol = 'ETH'\n\
    [[sources]]\nkind = 'chainlink'\ntoken = 'ETH'\nname = 'feed'\n\
    address = '0x0000000000000000000000000000000000000001'\ndecimals = 8\nmax_age_ms = 86400000\n\
    [[sources]]\nkind = 'http'\ntoken = 'ETH'\nname = 'venue'\nurl = 'http://127.0.0.1:1/'\npointer = '/price'\n\
    quote = 'USD'\nmax_age_ms = 86400000\n";

fn config() -> PriceConfig {
    toml::from_str(CONFIG).unwrap()
}

/// Of the feed on the chain, or of the venue.
fn tick(price: &str, observed_at: i64, block_number: Option<u64>) -> Tick {
    let source = block_number.map_or("venue", |_| "feed");
    Tick {
        observed_at,
        ..price_tick("ETH", source, "USD", price, block_number)
    }
}

impl PriceStage {
    /// The next commit with an update of the price, which says this.
    async fn priced(&mut self, expected: &str) -> Vec<Update> {
        loop {
            let commit = self.published().await;
            let price = commit
                .iter()
                .find(|update| *update.event == *"price-update");
            if let Some(price) = price {
                // As text, which keeps every digit.
                let said = format!("\"price\":{expected},");
                assert!(price.data.contains(&said), "{expected}: {}", price.data);
                return commit;
            }
        }
    }

    /// What the channel of an interval says after a seq.
    async fn said(&self, interval: CandleInterval, since: u64) -> Vec<Value> {
        let channel = Channel::Candle("ETH".parse().unwrap(), interval);
        let updates = self
            .store
            .updates_between(&channel, since, u64::MAX, 1_000)
            .await
            .unwrap();
        updates
            .iter()
            .map(|update| {
                assert_eq!(&*update.event, "candle-update");
                serde_json::from_str(&update.data).unwrap()
            })
            .collect()
    }

    /// Stored candles around these times.
    async fn candles(&self, interval: CandleInterval, from: i64, to: i64) -> Vec<Candle> {
        let token = "ETH".parse().unwrap();
        let range = (interval.start_of(from), to);
        let read = self.store.read_candles(&token, interval, range, 1_000);
        read.await.unwrap().candles
    }
}

#[tokio::test]
async fn a_price_its_row_and_its_candles_are_one_commit() {
    const PRICE: &str = "100.000000000000000001";
    let mut stage = PriceStage::new().await;
    let writer = stage.writer(config());
    let at = now_ms();
    writer.hears(tick(PRICE, at, None)).await;
    let commit = stage.priced(PRICE).await;
    assert_eq!(&*commit[0].event, "price-update", "the price first");
    // The next commit may have come with it, should a minute end here.
    assert!(commit.len() >= 7, "{commit:?}");
    for (update, interval) in commit[1..].iter().zip(CandleInterval::ALL) {
        assert_eq!(&*update.event, "candle-update");
        assert_eq!(update.channel.to_string(), format!("candle:ETH:{interval}"));
        let start = interval.start_of(at);
        let expected = format!(
            "{{\"token\":\"ETH\",\"interval\":\"{interval}\",\"timestamp\":{start},\"open\":{PRICE},\"high\":{PRICE},\
             \"low\":{PRICE},\"close\":{PRICE},\"count\":1,\"closed\":"
        );
        assert!(update.data.starts_with(&expected), "{}", update.data);
        assert!(update.data.ends_with(",\"synthetic\":false}"));
        let stored = stage.candles(interval, at, at + 1).await;
        let close: BigDecimal = PRICE.parse().unwrap();
        assert_eq!((stored.len(), &stored[0].close), (1, &close));
    }
    writer.end().await;
}

#[tokio::test]
async fn a_late_price_puts_a_closed_candle_right_and_its_close_is_said_no_more_than_that() {
    let mut stage = PriceStage::new().await;
    let writer = stage.writer(config());
    let border = MINUTE.start_of(now_ms());
    // Of the minute that is over.
    writer.hears(tick("100", border - 3_000, None)).await;
    stage.priced("100").await;
    writer.hears(tick("103", border - 2_000, None)).await;
    stage.priced("103").await;
    writer.hears(tick("102", border - 1_000, None)).await;
    stage.priced("102").await;
    // A price of a later one closes it for good, and a writer that comes after has nothing to add.
    writer.hears(tick("104", now_ms(), None)).await;
    stage.priced("104").await;
    writer.end().await;
    let writer = stage.writer(config());
    writer.hears(tick("105", now_ms(), None)).await;
    stage.priced("105").await;

    let said = stage.said(MINUTE, 0).await;
    let of_it: Vec<_> = said
        .iter()
        .filter(|data| data["timestamp"] == border - 60_000)
        .map(|data| {
            let number = |key: &str| data[key].as_u64().unwrap();
            let shown = ["open", "high", "low", "close", "count"].map(number);
            (shown, data["closed"].as_bool().unwrap())
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
    let stored = stage.candles(MINUTE, border - 60_000, border).await;
    assert_eq!((stored.len(), stored[0].count), (1, 3));
    writer.end().await;
}

#[tokio::test]
async fn an_open_candle_is_closed_when_the_clock_passes_its_end_even_if_no_price_comes() {
    let mut stage = PriceStage::new().await;
    // As a writer left it that was stopped before the end of the minute.
    let start = MINUTE.start_of(now_ms() - 120_000);
    sqlx::query(
        "INSERT INTO candles (token, seconds, start, open, high, low, close, count, first_at, last_at, told)
         SELECT 'ETH', 60, at, 5, 6, 4, 5, 4, at, at, 3 FROM (SELECT to_timestamp($1::bigint / 1000) AS at) t",
    )
    .bind(start)
    .execute(stage.store.pool())
    .await
    .unwrap();
    let writer = stage.writer(config());
    writer.hears(tick("7", now_ms(), None)).await;
    stage.priced("7").await;
    let said = stage.said(MINUTE, 0).await;
    assert_eq!(said[0]["timestamp"], start);
    assert_eq!(said[0]["closed"], true);
    assert_eq!(said[0]["count"], 4);
    let again = said[1..].iter().filter(|data| data["timestamp"] == start);
    assert_eq!(again.count(), 0);
    writer.end().await;
}

#[tokio::test]
async fn what_a_longer_candle_lacks_is_taken_from_the_shorter_ones() {
    let mut stage = PriceStage::new().await;
    // The minutes have it all; a writer ended before it announced the longer ones again.
    let now = now_ms();
    let minute = MINUTE.start_of(now);
    for interval in CandleInterval::ALL {
        let whole = interval == MINUTE;
        sqlx::query(
            "INSERT INTO candles (token, seconds, start, open, high, low, close, count, first_at, last_at, told)
             SELECT 'ETH', $1, to_timestamp($2::bigint / 1000), 5, $3, 4, 5, $4, at, at, 1
             FROM (SELECT to_timestamp($5::bigint / 1000) AS at) t",
        )
        .bind(interval.seconds())
        .bind(interval.start_of(now))
        .bind(if whole { 9 } else { 6 })
        .bind(if whole { 8_i64 } else { 3 })
        .bind(minute)
        .execute(stage.store.pool())
        .await
        .unwrap();
    }
    let writer = stage.writer(config());
    writer.hears(tick("5", now_ms(), None)).await;
    stage.priced("5").await;
    for interval in CandleInterval::ALL {
        // The price may be of the next minute; the candle that was behind is whole in any case.
        let first = &stage.said(interval, 0).await[0];
        assert_eq!(first["high"], 9, "{first}");
        assert!(first["count"].as_u64().unwrap() >= 8, "{first}");
    }
    writer.end().await;
}

#[tokio::test]
async fn a_reorg_takes_nothing_out_of_a_candle_and_closes_it_at_what_is_left() {
    let mut stage = PriceStage::new().await;
    let writer = stage.writer(config());
    let at = now_ms();
    let (kept, dropped) = (tick("100", at - 2, Some(1)), tick("200", at - 1, Some(2)));
    stage.index(std::slice::from_ref(&kept)).await;
    writer.signals.send(PriceSignal::Ticks(vec![kept]));
    stage.priced("100").await;
    stage.index(std::slice::from_ref(&dropped)).await;
    writer.signals.send(PriceSignal::Ticks(vec![dropped]));
    stage.priced("200").await;

    stage.reorg(&writer, 1).await;
    stage.priced("100").await;

    // Midnight may lie between them: a day's candle has all of it, or two have.
    let days = stage
        .candles(CandleInterval::Day, at - 2, now_ms() + 1)
        .await;
    let count: u64 = days.iter().map(|candle| candle.count).sum();
    assert_eq!(count, 3, "{days:?}");
    assert_eq!(days.last().unwrap().close, BigDecimal::from(100));
    let high = days.iter().map(|candle| &candle.high).max();
    assert_eq!(high, Some(&BigDecimal::from(200)), "it was announced");
    writer.end().await;
}

#[tokio::test]
async fn candles_read_at_a_seq_and_the_updates_behind_it_are_the_candles_read_later() {
    let mut stage = PriceStage::new().await;
    let writer = stage.writer(config());
    let begun = now_ms();
    let channel = Channel::Candle("ETH".parse().unwrap(), MINUTE);
    for price in 1..=20_u32 {
        writer.hears(tick(&price.to_string(), now_ms(), None)).await;
        stage.priced(&price.to_string()).await;
    }
    // As REST does it: the seq first.
    let since = stage.store.channel_extent(&channel).await.unwrap().newest;
    let page = stage.candles(MINUTE, begun, begun + DAY).await;
    let mut shown: BTreeMap<i64, (u64, String)> = page
        .iter()
        .filter(|candle| !candle.is_synthetic())
        .map(|candle| (candle.start, (candle.count, text(&candle.close))))
        .collect();
    for price in 21..=40_u32 {
        writer.hears(tick(&price.to_string(), now_ms(), None)).await;
        stage.priced(&price.to_string()).await;
    }
    // What still waited to be announced is announced by the next writer at the latest.
    writer.end().await;
    let writer = stage.writer(config());
    writer.hears(tick("41", now_ms(), None)).await;
    stage.priced("41").await;
    for data in stage.said(MINUTE, since).await {
        let count = data["count"].as_u64().unwrap();
        let close = data["close"].to_string();
        shown.insert(data["timestamp"].as_i64().unwrap(), (count, close));
    }
    let later = stage.candles(MINUTE, begun, begun + DAY).await;
    let later: BTreeMap<i64, (u64, String)> = later
        .iter()
        .filter(|candle| !candle.is_synthetic())
        .map(|candle| (candle.start, (candle.count, text(&candle.close))))
        .collect();
    let counted: u64 = later.values().map(|(count, _)| count).sum();
    assert_eq!(counted, 41);
    // The last price may still wait for its turn.
    let mut later = later;
    shown.pop_last();
    later.pop_last();
    assert_eq!(shown, later);
    writer.end().await;
}

/// As the wire has it.
fn text(price: &BigDecimal) -> String {
    price.normalized().to_plain_string()
}
