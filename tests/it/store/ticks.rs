//! Ticks by day: their partitions, and that the newest tick is found in any of them.

use std::collections::BTreeMap;

use bigdecimal::BigDecimal;
use chaincast_model::{LogOrigin, Tick};
use chaincast_protocol::{B256, now_ms};
use chaincast_store::{Store, read::TickKey, ticks};

use super::store;

pub const DAY: i64 = 24 * 3_600_000;

pub fn tick(price: &str, observed_at: i64, block_number: Option<u64>) -> Tick {
    Tick {
        token: "ETH".parse().unwrap(),
        source: "feed".into(),
        quote: "USD".into(),
        price: price.parse().unwrap(),
        confidence: None,
        observed_at,
        origin: block_number.map(|block_number| LogOrigin {
            chain_id: 1,
            block_number,
            block_hash: B256::repeat_byte(block_number as u8),
            log_index: 0,
        }),
    }
}

/// The partitions with their numbers of ticks.
pub async fn partitions(store: &Store) -> BTreeMap<String, i64> {
    let rows: Vec<(String, i64)> = sqlx::query_as(
        "SELECT tableoid::regclass::text, count(*) FROM ticks GROUP BY 1 ORDER BY 1",
    )
    .fetch_all(store.pool())
    .await
    .unwrap();
    rows.into_iter().collect()
}

pub async fn insert(store: &Store, given: &[Tick]) {
    let mut connection = store.pool().acquire().await.unwrap();
    ticks::insert(&mut connection, given).await.unwrap();
}

pub fn day_of(at: i64) -> String {
    let day = chrono::DateTime::from_timestamp_millis(at).unwrap();
    day.format("ticks_%Y%m%d").to_string()
}

#[tokio::test]
async fn ticks_are_partitioned_by_day_and_expire_by_day() {
    let (store, _) = store().await;
    let now = now_ms();
    // Of today, of 40 days ago, and in the future: every insert has a partition.
    let times = [now, now - 40 * DAY, now - 50 * DAY, now + 100 * DAY];
    let given: Vec<Tick> = times.iter().map(|at| tick("5", *at, None)).collect();
    insert(&store, &given).await;
    let found = partitions(&store).await;
    assert_eq!(found[&day_of(now)], 1);
    assert_eq!(found["ticks_rest"], 3);

    // A partition that is created later takes its ticks from the default partition.
    let made: bool = sqlx::query_scalar(
        "SELECT add_ticks_day((to_timestamp($1::bigint / 1000) AT TIME ZONE 'UTC')::date)",
    )
    .bind(now - 40 * DAY)
    .fetch_one(store.pool())
    .await
    .unwrap();
    assert!(made);
    let found = partitions(&store).await;
    assert_eq!(found[&day_of(now - 40 * DAY)], 1);
    assert_eq!(found["ticks_rest"], 2);
    // The migration created those ahead; midnight may have passed since.
    assert!(store.add_tick_days().await.unwrap() <= 1);
    assert_eq!(store.add_tick_days().await.unwrap(), 0);

    assert_eq!(store.drop_tick_days(41).await.unwrap(), 0);
    assert_eq!(store.drop_tick_days(30).await.unwrap(), 1);
    assert_eq!(store.prune_ticks(30, 100).await.unwrap(), 1);
    assert_eq!(store.prune_ticks(30, 100).await.unwrap(), 0);
    let found = partitions(&store).await;
    assert_eq!(found.values().sum::<i64>(), 2);
    assert_eq!((found[&day_of(now)], found["ticks_rest"]), (1, 1));
}

#[tokio::test]
async fn block_tick_is_stored_once_and_newest_found_in_any_day() {
    let (store, _) = store().await;
    sqlx::raw_sql(
        "INSERT INTO tokens (symbol, name, position) VALUES ('ETH', 'Ether', 0);
         INSERT INTO price_sources (token, source, quote, chain_id, max_age_ms)
         VALUES ('ETH', 'feed', 'USD', 1, 86400000)",
    )
    .execute(store.pool())
    .await
    .unwrap();
    let now = now_ms();
    // The last tick in chain order states an earlier day than the one before it.
    let given = [
        tick("1", now - 60 * DAY, Some(1)),
        tick("3", now, Some(2)),
        tick("2", now - DAY, Some(3)),
    ];
    insert(&store, &given).await;
    insert(&store, &given).await;
    assert_eq!(partitions(&store).await.values().sum::<i64>(), 3);
    let mut connection = store.pool().acquire().await.unwrap();
    let newest = ticks::latest_per_source(&mut connection).await.unwrap();
    assert_eq!(newest, [given[2].clone()]);
    let sources = store.read_sources(10).await.unwrap();
    assert_eq!(sources[0].last, Some((BigDecimal::from(2), now - DAY)));

    // Pages of history span all days.
    let token = "ETH".parse().unwrap();
    let (mut before, mut times) = (None::<TickKey>, Vec::new());
    loop {
        let page = store.read_ticks(&token, (0, now + DAY), before, 1);
        let Some(row) = page.await.unwrap().pop() else {
            break;
        };
        before = Some(row.key);
        times.push(row.observed_at);
    }
    assert_eq!(times, [now, now - DAY, now - 60 * DAY]);
}
