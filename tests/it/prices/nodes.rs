//! Prices of a chain whose node does not answer, over several writers.

use chaincast::model::ChainLimits;
use serde_json::Value;

use super::{LONG, config, feed, price};
use crate::support::{PriceStage, PriceWriter};

impl PriceStage {
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
async fn a_new_writer_waits_for_the_node_that_left_a_price_stale() {
    let mut stage = PriceStage::new().await;
    stage.index(&[feed("BTC", "60000", 1)]).await;
    stage.node_answered("2 h").await;
    // The store may have been away, and not the node: what was not stale before is not now.
    let writer = stage.writer_with_limit(LONG);
    let ok = |seq| price("price:BTC", seq, "60000", "ok");
    assert_eq!(stage.next_price().await, ok(1));
    writer.end().await;

    let writer = stage.writer_with_limit(1);
    let (update, data) = stage.next().await;
    assert_eq!((update.seq, &data["status"]), (2, &Value::from("stale")));
    assert_eq!(data["reason"], "node_down");
    writer.end().await;

    // Neither at its start nor later.
    let writer = stage.writer_with_limit(LONG);
    stage.nothing_but_eth_is_news("3000", 2, 1).await;
    assert_eq!(stage.newest_seq("BTC").await, 2);
    stage.node_answered("0").await;
    assert_eq!(stage.next_price().await, ok(3));
    writer.end().await;
}
