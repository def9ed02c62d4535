//! The price writer and its alerts alone, between a real PostgreSQL and the bus.

use bigdecimal::BigDecimal;
use chaincast::{
    ingest::PriceSignal,
    model::{Address, AlertCondition, PriceStatus, Tick, Token},
    source::price::{PriceConfig, SourceKind},
    store::{
        alerts::{AlertLimits, Creation, NewAlert},
        read::AlertRow,
    },
};

use crate::support::{PriceStage, PriceWriter, eventually, price_tick};

const LIMITS: AlertLimits = AlertLimits {
    per_user: 10_000,
    total: 10_000,
    creations: 10_000,
    window_ms: 60_000,
};
const LONG: u64 = 3_600_000;

/// ETH and BTC have a feed each; BTC's ticks get old after so long.
fn config(btc_max_age_ms: u64, more: &str) -> PriceConfig {
    let source = |token: &str, address: u8, max_age_ms: u64| {
        format!(
            "[[sources]]\nkind = 'chainlink'\ntoken = '{token}'\nname = 'feed'\naddress = '0x{address:040x}'\n\
             max_age_ms = {max_age_ms}\ndecimals = 8\n"
        )
    };
    let text = [
        "max_jump_bps = 0\n".to_owned(),
        more.to_owned(),
        "[[tokens]]\nsymbol = 'ETH'\n[[tokens]]\nsymbol = 'BTC'\n".to_owned(),
        source("ETH", 1, LONG),
        source("BTC", 2, btc_max_age_ms),
    ];
    toml::from_str(&text.concat()).unwrap()
}

fn decimal(text: &str) -> BigDecimal {
    text.parse().unwrap()
}

fn token(symbol: &str) -> Token {
    symbol.parse().unwrap()
}

impl PriceStage {
    /// Stores a tick as a chain's writer does.
    async fn store_tick(&self, symbol: &str, price: &str, block_number: u64) -> Tick {
        let tick = price_tick(symbol, "feed", "USD", price, Some(block_number));
        self.index(std::slice::from_ref(&tick)).await;
        tick
    }

    /// Has a price announced.
    async fn price(&self, writer: &PriceWriter, symbol: &str, price: &str, block_number: u64) {
        let tick = self.store_tick(symbol, price, block_number).await;
        writer.signals.send(PriceSignal::Ticks(vec![tick]));
        let (symbol, price) = (token(symbol), decimal(price));
        eventually("the price is announced", || async {
            let row = self.store.read_price(&symbol).await.unwrap()?;
            (row.price == price && row.status != PriceStatus::Stale).then_some(())
        })
        .await;
    }

    async fn above(&self, symbol: &str, threshold: &str, hysteresis: Option<&str>) -> i64 {
        self.alert_above(symbol, threshold, hysteresis, false).await
    }

    async fn alert_above(
        &self,
        symbol: &str,
        threshold: &str,
        hysteresis: Option<&str>,
        fire_on_degraded: bool,
    ) -> i64 {
        let new = NewAlert {
            subject: "alice".to_owned(),
            token: token(symbol),
            condition: AlertCondition::Above,
            threshold: decimal(threshold),
            hysteresis: hysteresis.map(decimal),
            fire_on_degraded,
            note: None,
            key: None,
        };
        match self.store.create_alert(&new, &LIMITS).await.unwrap() {
            Creation::Made(row) => row.id,
            other => panic!("{other:?}"),
        }
    }

    async fn alert(&self, id: i64) -> AlertRow {
        self.store.read_alert("alice", id).await.unwrap().unwrap()
    }

    async fn fires(&self, id: i64, times: u64) {
        eventually("the alert fires", || async {
            (self.alert(id).await.fired == times).then_some(())
        })
        .await;
    }

    /// Price and status of what fired, oldest first.
    async fn fired(&self) -> Vec<(i64, BigDecimal, PriceStatus)> {
        let all = self.store.read_deliveries("alice", None, 10_000).await;
        let all = all.unwrap().into_iter().rev();
        all.map(|one| (one.alert_id, one.price.0, one.status))
            .collect()
    }
}

#[tokio::test]
async fn a_stale_price_fires_nothing_and_a_degraded_one_fires_on_request() {
    let stage = PriceStage::new().await;
    let few = "min_sources = 2\n";
    let writer = stage.writer(config(LONG, few));
    stage.price(&writer, "ETH", "3000", 1).await;
    stage.price(&writer, "BTC", "60000", 2).await;
    writer.end().await;
    // What was fresh then is old for this one.
    let writer = stage.writer(config(1, few));
    let btc = token("BTC");
    eventually("BTC is stale", || async {
        let row = stage.store.read_price(&btc).await.unwrap()?;
        (row.status == PriceStatus::Stale).then_some(())
    })
    .await;
    let stale = stage.alert_above("BTC", "50000", None, true).await;
    let quiet = stage.above("ETH", "2000", None).await;
    // Made later, so whoever has seen it has seen the others.
    let other = stage.alert_above("ETH", "2000", None, true).await;
    stage.fires(other, 1).await;
    assert_eq!(stage.alert(stale).await.fired, 0);
    writer.end().await;

    // And fresh for the next.
    let writer = stage.writer(config(LONG, few));
    stage.price(&writer, "BTC", "61000", 3).await;
    stage.fires(stale, 1).await;
    let degraded = PriceStatus::Degraded;
    let fired = stage.fired().await;
    assert_eq!(fired[0], (other, decimal("3000"), degraded));
    assert_eq!(fired.len(), 2);
    assert_eq!((fired[1].0, fired[1].2), (stale, degraded));
    assert_eq!(stage.alert(quiet).await.fired, 0);
    writer.end().await;

    // It is not lost: the first price that is ok fires it.
    let writer = stage.writer(config(LONG, ""));
    stage.fires(quiet, 1).await;
    let last = stage.fired().await.pop().unwrap();
    assert_eq!(last, (quiet, decimal("3000"), PriceStatus::Ok));
    writer.end().await;
}

#[tokio::test]
async fn a_venue_that_lies_fires_nothing_until_its_level_lasted() {
    let stage = PriceStage::new().await;
    let held = |hold_ms: u64| {
        let mut config = config(LONG, "");
        config.max_jump_bps = Some(1_000);
        config.jump_hold_ms = Some(hold_ms);
        config
    };
    let writer = stage.writer(held(3_600_000));
    stage.price(&writer, "ETH", "3000", 1).await;
    let id = stage.above("ETH", "4000", None).await;
    let eager = stage.alert_above("ETH", "4000", None, true).await;
    stage.price(&writer, "ETH", "5000", 2).await;
    stage.fires(eager, 1).await;
    assert_eq!(stage.alert(id).await.fired, 0);
    let row = stage.store.read_price(&token("ETH")).await.unwrap();
    assert_eq!(row.unwrap().status, PriceStatus::Degraded);
    writer.end().await;
    // Another writer does not believe it either, but waits no longer than the time.
    let writer = stage.writer(held(1));
    stage.fires(id, 1).await;
    writer.end().await;
}

#[tokio::test]
async fn sources_that_disagree_fire_nothing() {
    let stage = PriceStage::new().await;
    let mut config = config(LONG, "");
    config.max_confidence_bps = None;
    let mut other = config.sources[0].clone();
    other.name = Some("other".to_owned());
    if let SourceKind::Chainlink(feed) = &mut other.kind {
        feed.address = Address::repeat_byte(9);
    }
    config.sources.push(other);
    let writer = stage.writer(config);
    stage.price(&writer, "ETH", "3000", 1).await;
    let id = stage.alert_above("ETH", "1000", Some("5"), false).await;
    stage.fires(id, 1).await;
    let lie = price_tick("ETH", "other", "USD", "30", Some(2));
    stage.index(std::slice::from_ref(&lie)).await;
    writer.signals.send(PriceSignal::Ticks(vec![lie]));
    let row = eventually("the price is in doubt", || async {
        let row = stage.store.read_price(&token("ETH")).await.unwrap()?;
        (row.price == decimal("1515")).then_some(row)
    })
    .await;
    assert_eq!(row.status, PriceStatus::Degraded);
    let below = stage.alert_above("ETH", "1", None, false).await;
    let eager = stage.alert_above("ETH", "1", None, true).await;
    stage.fires(eager, 1).await;
    assert_eq!(stage.alert(below).await.fired, 0);
    let honest = price_tick("ETH", "other", "USD", "3001", Some(3));
    stage.index(std::slice::from_ref(&honest)).await;
    writer.signals.send(PriceSignal::Ticks(vec![honest]));
    stage.fires(below, 1).await;
    assert_eq!(stage.alert(id).await.fired, 1);
    writer.end().await;
}

#[tokio::test]
async fn whether_an_alert_is_armed_outlives_its_writer() {
    let stage = PriceStage::new().await;
    let id = stage.above("ETH", "100", Some("10")).await;
    let mut block = 0;
    for (price, fired, armed) in [
        ("99", 0, true),
        ("100", 1, false),
        ("95", 1, false),
        ("120", 1, false),
        ("90", 1, true),
        ("91", 1, true),
        ("150", 2, false),
    ] {
        block += 1;
        let writer = stage.writer(config(LONG, ""));
        stage.price(&writer, "ETH", price, block).await;
        let alert = stage.alert(id).await;
        assert_eq!((alert.fired, alert.armed), (fired, armed), "{price}");
        writer.end().await;
    }
}

#[tokio::test]
async fn a_writer_makes_up_for_what_the_last_price_left_before_it_announces_another() {
    let stage = PriceStage::new().await;
    let writer = stage.writer(config(LONG, ""));
    stage.price(&writer, "ETH", "100", 1).await;
    writer.end().await;
    // As when the writer is killed after the price and before the last of very many alerts.
    let id = stage.above("ETH", "90", None).await;
    stage.store_tick("ETH", "50", 2).await;
    let writer = stage.writer(config(LONG, ""));
    stage.fires(id, 1).await;
    assert_eq!(stage.fired().await, [(id, decimal("100"), PriceStatus::Ok)]);
    writer.end().await;
}

#[tokio::test]
async fn very_many_alerts_of_one_price_all_fire_once_and_in_several_transactions() {
    const MANY: i64 = 2_300;
    let stage = PriceStage::new().await;
    sqlx::query(
        "INSERT INTO alerts (subject, token, condition, threshold, revision)
         SELECT 'alice', 'ETH', 'above', n, n FROM generate_series(1, $1::bigint) n",
    )
    .bind(MANY)
    .execute(stage.store.pool())
    .await
    .unwrap();
    let writer = stage.writer(config(LONG, ""));
    // All but one are due.
    stage
        .price(&writer, "ETH", &(MANY - 1).to_string(), 1)
        .await;
    eventually("all have fired", || async {
        let fired: i64 = sqlx::query_scalar("SELECT count(*) FROM alerts WHERE state = 'done'")
            .fetch_one(stage.store.pool())
            .await
            .unwrap();
        (fired == MANY - 1).then_some(())
    })
    .await;
    let (deliveries, alerts, newest, transactions): (i64, i64, i64, i64) = sqlx::query_as(
        "SELECT count(*), count(DISTINCT alert_id), max(seq), count(DISTINCT xmin::text) FROM alert_deliveries",
    )
    .fetch_one(stage.store.pool())
    .await
    .unwrap();
    assert_eq!((deliveries, alerts, newest), (MANY - 1, MANY - 1, MANY - 1));
    assert_eq!(transactions, 3);
    writer.end().await;
}
