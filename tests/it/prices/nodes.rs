//! Prices of a chain whose node does not answer, over several writers.

use chaincast_protocol::ChainLimits;
use serde_json::Value;

use super::{LONG, config, feed, price};
use crate::support::{PriceFixture, PriceWriter};

impl PriceFixture {
    fn writer_with_limit(&self, down_after_ms: u64) -> PriceWriter {
        let limits = ChainLimits {
            chain_id: Self::CHAIN,
            down_after_ms,
            lagging_blocks: 1,
            head_age_ms: 0,
        };
        self.writer_watching(config(LONG), vec![limits])
    }

    async fn node_answered(&self, ago: &str) {
        sqlx::query("UPDATE chains SET node_seen_at = now() - $1::interval")
            .bind(ago)
            .execute(self.store.pool())
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn new_writer_keeps_price_stale_until_node_answers() {
    let mut fixture = PriceFixture::new().await;
    fixture.index(&[feed("BTC", "60000", 1)]).await;
    fixture.node_answered("2 h").await;
    // The database may have been unreachable rather than the node: a price that was not stale stays fresh.
    let writer = fixture.writer_with_limit(LONG);
    let ok = |seq| price("price:BTC", seq, "60000", "ok");
    assert_eq!(fixture.next_price().await, ok(1));
    writer.end().await;

    let writer = fixture.writer_with_limit(1);
    let (update, data) = fixture.next().await;
    assert_eq!((update.seq, &data["status"]), (2, &Value::from("stale")));
    assert_eq!(data["reason"], "node_down");
    writer.end().await;

    // Neither at its start nor later.
    let writer = fixture.writer_with_limit(LONG);
    fixture.expect_only_eth_update("3000", 2, 1).await;
    assert_eq!(fixture.newest_seq("BTC").await, 2);
    fixture.node_answered("0").await;
    assert_eq!(fixture.next_price().await, ok(3));
    writer.end().await;
}
