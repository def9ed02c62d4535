//! The store alone: indexes that are dropped during large loads and rebuilt, daily partitions of ticks, retention, and
//! the query plans of readers.

mod alerts;
#[path = "../../../examples/explain/blocks.rs"]
mod blocks;
mod channels;
mod durability;
mod indexes;
#[path = "../../../examples/explain/known.rs"]
mod known;
mod leases;
#[allow(dead_code, reason = "the example reports durations")]
#[path = "../../../examples/explain/load.rs"]
mod load;
mod messages;
#[allow(dead_code, reason = "the example reports more of each plan")]
#[path = "../../../examples/explain/plans.rs"]
mod plans;
mod pool;
mod prices;
mod reads;
mod retention;
mod ticks;

use chaincast_base::Secret;
use chaincast_store::{Store, StoreConfig, updates::ChannelLimit};

use crate::support::fresh_database;

async fn store() -> (Store, String) {
    let url = fresh_database().await;
    (connect(&url).await, url)
}

async fn connect(url: &str) -> Store {
    let config = StoreConfig {
        url: Secret::new(url),
        statement_timeout_ms: 300_000,
        ..StoreConfig::default()
    };
    Store::connect(&config).await.unwrap()
}

/// Keeps the newest updates: `subject` of a subject's channel, `other` of any other.
fn limits(subject: u32, other: u32) -> [ChannelLimit; 2] {
    [("user:%", subject), ("%", other)].map(|(pattern, keep)| ChannelLimit {
        pattern: pattern.to_owned(),
        keep,
    })
}

async fn number(store: &Store, query: &str) -> i64 {
    sqlx::query_scalar(query)
        .fetch_one(store.pool())
        .await
        .unwrap()
}
