//! The price writer and its alerts, with a real PostgreSQL and the bus.

use bigdecimal::BigDecimal;
use chaincast_ingest::PriceSignal;
use chaincast_model::Tick;
use chaincast_prices::PriceConfig;
use chaincast_protocol::{AlertCondition, PriceStatus, Token};
use chaincast_store::{
    alerts::{AlertLimits, Creation, NewAlert},
    read::AlertRow,
};

use crate::support::{PriceFixture, PriceWriter, eventually, price_tick};

const LIMITS: AlertLimits = AlertLimits {
    per_user: 10_000,
    total: 10_000,
    creations: 10_000,
    window_ms: 60_000,
};
const LONG: u64 = 3_600_000;

/// ETH and BTC have one feed each; ticks of BTC go stale after `btc_max_age_ms`.
fn source(token: &str, name: &str, address: u8, max_age_ms: u64) -> String {
    format!(
        "[[sources]]\nkind = 'chainlink'\ntoken = '{token}'\nname = '{name}'\naddress = '0x{address:040x}'\n\
         max_age_ms = {max_age_ms}\ndecimals = 8\n"
    )
}

fn config(btc_max_age_ms: u64, more: &str) -> PriceConfig {
    let text = [
        "max_jump_bps = 0\n".to_owned(),
        more.to_owned(),
        "[[tokens]]\nsymbol = 'ETH'\n[[tokens]]\nsymbol = 'BTC'\n".to_owned(),
        source("ETH", "feed", 1, LONG),
        source("BTC", "feed", 2, btc_max_age_ms),
    ];
    toml::from_str(&text.concat()).unwrap()
}

fn decimal(text: &str) -> BigDecimal {
    text.parse().unwrap()
}

fn token(symbol: &str) -> Token {
    symbol.parse().unwrap()
}

impl PriceFixture {
    /// Stores a tick as a chain writer does.
    async fn store_tick(&self, symbol: &str, price: &str, block_number: u64) -> Tick {
        let tick = price_tick(symbol, "feed", "USD", price, Some(block_number));
        self.index(std::slice::from_ref(&tick)).await;
        tick
    }

    /// Stores a tick and waits until its price is published.
    async fn publish_price(
        &self,
        writer: &PriceWriter,
        symbol: &str,
        price: &str,
        block_number: u64,
    ) {
        let tick = self.store_tick(symbol, price, block_number).await;
        writer.signals.send(PriceSignal::Ticks(vec![tick]));
        let (symbol, price) = (token(symbol), decimal(price));
        eventually("the price is published", || async {
            let row = self.store.read_price(&symbol).await.unwrap()?;
            (row.price == price && row.status != PriceStatus::Stale).then_some(())
        })
        .await;
    }

    async fn create_alert_above(
        &self,
        symbol: &str,
        threshold: &str,
        hysteresis: Option<&str>,
    ) -> i64 {
        self.create_alert_with(symbol, threshold, hysteresis, false)
            .await
    }

    async fn create_alert_with(
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
            Creation::Created(row) => row.id,
            other => panic!("{other:?}"),
        }
    }

    async fn stored_alert(&self, id: i64) -> AlertRow {
        self.store.read_alert("alice", id).await.unwrap().unwrap()
    }

    async fn wait_until_fired(&self, id: i64, times: u64) {
        eventually("the alert fires", || async {
            (self.stored_alert(id).await.fired == times).then_some(())
        })
        .await;
    }

    /// Price and status of every delivery, oldest first.
    async fn fired_deliveries(&self) -> Vec<(i64, BigDecimal, PriceStatus)> {
        let all = self.store.read_deliveries("alice", None, 10_000).await;
        let all = all.unwrap().into_iter().rev();
        all.map(|one| (one.alert_id, one.price.0, one.status))
            .collect()
    }
}

#[tokio::test]
async fn stale_price_never_fires_degraded_fires_on_request() {
    let fixture = PriceFixture::new().await;
    let few = "min_sources = 2\n";
    let writer = fixture.writer(config(LONG, few));
    fixture.publish_price(&writer, "ETH", "3000", 1).await;
    fixture.publish_price(&writer, "BTC", "60000", 2).await;
    writer.end().await;
    // The tick that was fresh above is stale for this writer.
    let writer = fixture.writer(config(1, few));
    let btc = token("BTC");
    eventually("BTC is stale", || async {
        let row = fixture.store.read_price(&btc).await.unwrap()?;
        (row.status == PriceStatus::Stale).then_some(())
    })
    .await;
    let stale = fixture.create_alert_with("BTC", "50000", None, true).await;
    let quiet = fixture.create_alert_above("ETH", "2000", None).await;
    // Created later: once this alert is read, the others are read too.
    let other = fixture.create_alert_with("ETH", "2000", None, true).await;
    fixture.wait_until_fired(other, 1).await;
    assert_eq!(fixture.stored_alert(stale).await.fired, 0);
    writer.end().await;

    // Fresh again for the next writer.
    let writer = fixture.writer(config(LONG, few));
    fixture.publish_price(&writer, "BTC", "61000", 3).await;
    fixture.wait_until_fired(stale, 1).await;
    let degraded = PriceStatus::Degraded;
    let fired = fixture.fired_deliveries().await;
    assert_eq!(fired[0], (other, decimal("3000"), degraded));
    assert_eq!(fired.len(), 2);
    assert_eq!((fired[1].0, fired[1].2), (stale, degraded));
    assert_eq!(fixture.stored_alert(quiet).await.fired, 0);
    writer.end().await;

    // The crossing is not lost: the first `ok` price fires it.
    let writer = fixture.writer(config(LONG, ""));
    fixture.wait_until_fired(quiet, 1).await;
    let last = fixture.fired_deliveries().await.pop().unwrap();
    assert_eq!(last, (quiet, decimal("3000"), PriceStatus::Ok));
    writer.end().await;
}

#[tokio::test]
async fn wrong_venue_price_fires_only_after_its_hold() {
    let fixture = PriceFixture::new().await;
    let held = |hold_ms: u64| {
        let mut config = config(LONG, "");
        config.max_jump_bps = 1_000;
        config.jump_hold_ms = hold_ms;
        config
    };
    let writer = fixture.writer(held(3_600_000));
    fixture.publish_price(&writer, "ETH", "3000", 1).await;
    let id = fixture.create_alert_above("ETH", "4000", None).await;
    let eager = fixture.create_alert_with("ETH", "4000", None, true).await;
    fixture.publish_price(&writer, "ETH", "5000", 2).await;
    fixture.wait_until_fired(eager, 1).await;
    assert_eq!(fixture.stored_alert(id).await.fired, 0);
    let row = fixture.store.read_price(&token("ETH")).await.unwrap();
    assert_eq!(row.unwrap().status, PriceStatus::Degraded);
    writer.end().await;
    // Another writer holds it back as well, but for no longer than the hold.
    let writer = fixture.writer(held(1));
    fixture.wait_until_fired(id, 1).await;
    writer.end().await;
}

#[tokio::test]
async fn disagreeing_sources_fire_nothing() {
    let fixture = PriceFixture::new().await;
    let mut config = config(LONG, "");
    config.max_confidence_bps = PriceConfig::default().max_confidence_bps;
    let other: PriceConfig = toml::from_str(&source("ETH", "other", 9, LONG)).unwrap();
    config.sources.extend(other.sources);
    let writer = fixture.writer(config);
    fixture.publish_price(&writer, "ETH", "3000", 1).await;
    let id = fixture
        .create_alert_with("ETH", "1000", Some("5"), false)
        .await;
    fixture.wait_until_fired(id, 1).await;
    let lie = price_tick("ETH", "other", "USD", "30", Some(2));
    fixture.index(std::slice::from_ref(&lie)).await;
    writer.signals.send(PriceSignal::Ticks(vec![lie]));
    let row = eventually("the price is in doubt", || async {
        let row = fixture.store.read_price(&token("ETH")).await.unwrap()?;
        (row.price == decimal("1515")).then_some(row)
    })
    .await;
    assert_eq!(row.status, PriceStatus::Degraded);
    let below = fixture.create_alert_with("ETH", "1", None, false).await;
    let eager = fixture.create_alert_with("ETH", "1", None, true).await;
    fixture.wait_until_fired(eager, 1).await;
    assert_eq!(fixture.stored_alert(below).await.fired, 0);
    let honest = price_tick("ETH", "other", "USD", "3001", Some(3));
    fixture.index(std::slice::from_ref(&honest)).await;
    writer.signals.send(PriceSignal::Ticks(vec![honest]));
    fixture.wait_until_fired(below, 1).await;
    assert_eq!(fixture.stored_alert(id).await.fired, 1);
    writer.end().await;
}

#[tokio::test]
async fn armed_state_outlives_the_writer() {
    let fixture = PriceFixture::new().await;
    let id = fixture.create_alert_above("ETH", "100", Some("10")).await;
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
        let writer = fixture.writer(config(LONG, ""));
        fixture.publish_price(&writer, "ETH", price, block).await;
        let alert = fixture.stored_alert(id).await;
        assert_eq!((alert.fired, alert.armed), (fired, armed), "{price}");
        writer.end().await;
    }
}

#[tokio::test]
async fn writer_fires_overdue_alerts_before_the_next_price() {
    let fixture = PriceFixture::new().await;
    let writer = fixture.writer(config(LONG, ""));
    fixture.publish_price(&writer, "ETH", "100", 1).await;
    writer.end().await;
    // The state after a writer was killed between committing the price and firing the last of many alerts.
    let id = fixture.create_alert_above("ETH", "90", None).await;
    fixture.store_tick("ETH", "50", 2).await;
    let writer = fixture.writer(config(LONG, ""));
    fixture.wait_until_fired(id, 1).await;
    assert_eq!(
        fixture.fired_deliveries().await,
        [(id, decimal("100"), PriceStatus::Ok)]
    );
    writer.end().await;
}

#[tokio::test]
async fn many_alerts_of_one_price_fire_in_several_commits() {
    const MANY: i64 = 2_300;
    let fixture = PriceFixture::new().await;
    sqlx::query(
        "INSERT INTO alerts (subject, token, condition, threshold, revision)
         SELECT 'alice', 'ETH', 'above', n, n FROM generate_series(1, $1::bigint) n",
    )
    .bind(MANY)
    .execute(fixture.store.pool())
    .await
    .unwrap();
    let writer = fixture.writer(config(LONG, ""));
    // All but one are due.
    fixture
        .publish_price(&writer, "ETH", &(MANY - 1).to_string(), 1)
        .await;
    eventually("all have fired", || async {
        let fired: i64 = sqlx::query_scalar("SELECT count(*) FROM alerts WHERE state = 'done'")
            .fetch_one(fixture.store.pool())
            .await
            .unwrap();
        (fired == MANY - 1).then_some(())
    })
    .await;
    let (deliveries, alerts, newest, transactions): (i64, i64, i64, i64) = sqlx::query_as(
        "SELECT count(*), count(DISTINCT alert_id), max(seq), count(DISTINCT xmin::text) FROM alert_deliveries",
    )
    .fetch_one(fixture.store.pool())
    .await
    .unwrap();
    assert_eq!((deliveries, alerts, newest), (MANY - 1, MANY - 1, MANY - 1));
    assert_eq!(transactions, 3);
    writer.end().await;
}
