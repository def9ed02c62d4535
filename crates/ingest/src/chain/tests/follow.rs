//! Catching up, following the head, reorgs and finality.

use std::time::Duration;

use alloy::primitives::U256;
use rand::{Rng, SeedableRng, rngs::StdRng};
use serde_json::json;

use super::anvil_fixture::{AnvilFixture, data, eventually, restart_anvil};
use crate::{IngestError, PriceSignal, chain::ReorgLimit};
use chaincast_dev::{AnvilOptions, Market, deploy_or_load};

#[tokio::test(flavor = "multi_thread")]
async fn catches_up_and_follows_new_blocks() {
    let mut fixture = AnvilFixture::new().await;
    let deployment = deploy_or_load(
        &format!("http://127.0.0.1:{}", fixture.anvil_options.port),
        fixture.dir.path(),
    )
    .await
    .unwrap();
    fixture.control.mine(30).await.unwrap();
    let mut running = fixture.ingest(fixture.config()).await.unwrap();
    let head = fixture.caught_up().await;
    assert!(head.number > 30);
    fixture.assert_equals_node().await;
    for number in 0..=head.number {
        assert_eq!(fixture.next_block().await["number"], number);
    }
    // Everything that the contracts emitted during deployment.
    assert!(fixture.count("SELECT count(*) FROM transfers").await > 10);
    let unlinked = "SELECT count(*) FROM transactions t LEFT JOIN blocks b
        ON b.number = t.block_number WHERE b.number IS NULL OR t.status <> 1";
    assert_eq!(fixture.count(unlinked).await, 0);
    let miscounted = "SELECT count(*) FROM blocks b WHERE
        transaction_count <> (SELECT count(*) FROM transactions t WHERE t.block_number = b.number) OR
        log_count <> (SELECT count(*) FROM logs l WHERE l.block_number = b.number)";
    assert_eq!(fixture.count(miscounted).await, 0);
    assert!(
        matches!(running.queue.next().await, Some(PriceSignal::Ticks(ticks)) if !ticks.is_empty())
    );
    assert_eq!(fixture.state().await.verified_through, Some(head.number));

    let market = Market::new(
        &format!("http://127.0.0.1:{}", fixture.anvil_options.port),
        &deployment,
        Some(1),
    )
    .await
    .unwrap();
    let (from, to) = (market.holders()[0], market.holders()[1]);
    let before = fixture.count("SELECT count(*) FROM transfers").await;
    let sent = market
        .transfer("LINK", from, to, U256::from(77))
        .await
        .unwrap();
    let block = fixture.next_block().await;
    assert_eq!(
        (&block["number"], &block["transactions"]),
        (&json!(head.number + 1), &json!(1))
    );
    fixture.caught_up().await;
    assert_eq!(
        fixture.count("SELECT count(*) FROM transfers").await,
        before + 1
    );
    let amount: String = sqlx::query_scalar(
        "SELECT r.amount::text FROM transfers r JOIN transactions t USING (chain_id, block_number, transaction_index)
         WHERE t.hash = $1",
    )
    .bind(sent.as_slice())
    .fetch_one(&mut *fixture.connection().await)
    .await
    .unwrap();
    assert_eq!(amount, "77");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn polls_head_without_new_heads() {
    let mut fixture = AnvilFixture::new().await;
    let config = chaincast_evm::chain::ChainConfig {
        ws_url: None,
        ..fixture.config()
    };
    let running = fixture.ingest(config).await.unwrap();
    fixture.control.mine(3).await.unwrap();
    fixture.caught_up().await;
    assert_eq!(fixture.received(4).await.len(), 4);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn subscription_works_again_after_node_restart() {
    let mut fixture = AnvilFixture::new().await;
    let config = chaincast_evm::chain::ChainConfig {
        poll_interval_ms: 3_600_000,
        ..fixture.config()
    };
    let running = fixture.ingest(config).await.unwrap();
    fixture.caught_up().await;
    for restarted in [false, true] {
        if restarted {
            fixture.anvil.take().unwrap().stop().await.unwrap();
            fixture.anvil = Some(restart_anvil(&fixture.anvil_options).await);
        }
        // The subscription may be active only after the first of them. The delay keeps a slow writer from falling
        // behind.
        eventually("an announced block", async || {
            fixture.control.mine(1).await.unwrap();
            let (number, _) = fixture.control.head().await.unwrap();
            for _ in 0..100 {
                if fixture.state().await.head?.number >= number {
                    return Some(());
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            None
        })
        .await;
    }
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn announces_only_newest_blocks_of_history() {
    let mut fixture = AnvilFixture::new().await;
    fixture.control.mine(20).await.unwrap();
    let config = chaincast_evm::chain::ChainConfig {
        announce_blocks: 5,
        ..fixture.config()
    };
    let running = fixture.ingest(config).await.unwrap();
    fixture.caught_up().await;
    let received = fixture.received(5).await;
    assert_eq!(received[0].seq, 1);
    assert_eq!(data(&received[0])["number"], 16);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn reorg_is_one_update_and_keeps_dropped_blocks() {
    let mut fixture = AnvilFixture::new().await;
    fixture.control.mine(6).await.unwrap();
    let mut running = fixture.ingest(fixture.config()).await.unwrap();
    let old = fixture.caught_up().await;
    fixture.received(7).await;

    fixture.control.reorg(2).await.unwrap();
    fixture.control.mine(1).await.unwrap();
    let received = fixture.received(4).await;
    let reorg = data(&received[0]);
    assert_eq!(received[0].event, "reorg");
    assert_eq!(
        (&reorg["depth"], &reorg["chainId"]),
        (&json!(2), &json!(31_337))
    );
    assert_eq!(reorg["commonAncestor"]["number"], 4);
    assert_eq!(
        reorg["dropped"][0],
        json!({ "number": old.number, "hash": old.hash })
    );
    let numbers: Vec<_> = received[1..]
        .iter()
        .map(|update| data(update)["number"].clone())
        .collect();
    assert_eq!(numbers, [5, 6, 7]);
    fixture.caught_up().await;
    fixture.assert_equals_node().await;
    assert_eq!(
        fixture.count("SELECT count(*) FROM dropped_blocks").await,
        2
    );
    assert_eq!(
        running.queue.next().await,
        Some(PriceSignal::Reorged { chain_id: 31_337 })
    );
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lower_head_is_lag_until_hash_differs() {
    let mut fixture = AnvilFixture::new().await;
    fixture.control.mine(8).await.unwrap();
    let running = fixture.ingest(fixture.config()).await.unwrap();
    let head = fixture.caught_up().await;
    fixture.received(9).await;

    fixture.control.rollback(3).await.unwrap();
    eventually("the lower head to be seen", async || {
        (fixture.state().await.node_head == Some(5)).then_some(())
    })
    .await;
    assert_eq!(fixture.state().await.head, Some(head));

    // A shorter branch is a reorg too, once a known height has another hash.
    fixture
        .node
        .request::<_, serde_json::Value>("evm_increaseTime", (1_000,))
        .await
        .unwrap();
    fixture.control.mine(1).await.unwrap();
    let received = fixture.received(2).await;
    assert_eq!(data(&received[0])["depth"], 3);
    assert_eq!(data(&received[1])["number"], 6);
    fixture.caught_up().await;
    fixture.assert_equals_node().await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn too_deep_reorg_ends_writer_without_changes() {
    let fixture = AnvilFixture::new().await;
    fixture.control.mine(6).await.unwrap();
    let config = chaincast_evm::chain::ChainConfig {
        max_reorg_depth: 2,
        ..fixture.config()
    };
    let running = fixture.ingest(config).await.unwrap();
    let head = fixture.caught_up().await;
    fixture.control.reorg(3).await.unwrap();
    let error = running.failed().await;
    assert!(
        matches!(
            error,
            IngestError::ReorgTooDeep {
                below: 4,
                limit: ReorgLimit::Depth(2),
                ..
            }
        ),
        "{error}"
    );
    assert_eq!(fixture.state().await.head, Some(head));
    assert_eq!(
        fixture.count("SELECT count(*) FROM dropped_blocks").await,
        0
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn finality_is_announced_and_limits_reorgs() {
    let mut fixture = AnvilFixture::with(AnvilOptions {
        slots_in_an_epoch: 2,
        ..Default::default()
    })
    .await;
    let running = fixture.ingest(fixture.config()).await.unwrap();
    fixture.caught_up().await;
    fixture.received(1).await;
    fixture.control.mine(10).await.unwrap();
    let mut finalized = 0;
    while finalized < 6 {
        for update in fixture.received(1).await {
            if update.event == "block-finalized" {
                let number = data(&update)["number"].as_u64().unwrap();
                assert!(number > finalized);
                finalized = number;
            }
        }
    }
    let state = fixture.state().await;
    assert_eq!(
        (state.finalized.unwrap().number, state.safe_number),
        (6, Some(8))
    );
    fixture.control.reorg(5).await.unwrap();
    let error = running.failed().await;
    assert!(
        matches!(
            error,
            IngestError::ReorgTooDeep {
                limit: ReorgLimit::Finalized(6),
                ..
            }
        ),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn safe_block_is_recorded_after_reorg_below_it() {
    let fixture = AnvilFixture::with(AnvilOptions {
        slots_in_an_epoch: 2,
        ..Default::default()
    })
    .await;
    let running = fixture.ingest(fixture.config()).await.unwrap();
    fixture.control.mine(10).await.unwrap();
    let recorded = |what| {
        eventually(what, async || {
            let state = fixture.state().await;
            let heads = (state.node_head, state.head.map(|head| head.number));
            (heads == (Some(10), Some(10)) && state.safe_number == Some(8)).then_some(())
        })
    };
    fixture.caught_up().await;
    recorded("the safe block").await;
    // Back to block 7, and up to the same heights again.
    fixture.control.reorg(3).await.unwrap();
    fixture.caught_up().await;
    recorded("the safe block after the reorg").await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn updates_rebuild_nodes_chain() {
    let mut fixture = AnvilFixture::new().await;
    let seed: u64 = rand::random();
    let mut random = StdRng::seed_from_u64(seed);
    // Enough blocks that no series of rollbacks reaches the first one.
    fixture.control.mine(60).await.unwrap();
    let running = fixture.ingest(fixture.config()).await.unwrap();
    fixture.caught_up().await;
    for _ in 0..25 {
        // With a different time, a block that is mined again has another hash.
        let seconds = random.random_range(1..1_000);
        fixture
            .node
            .request::<_, serde_json::Value>("evm_increaseTime", (seconds,))
            .await
            .unwrap();
        match random.random_range(0..4) {
            0 => fixture
                .control
                .reorg(random.random_range(1..5))
                .await
                .unwrap(),
            1 => fixture
                .control
                .rollback(random.random_range(1..3))
                .await
                .unwrap(),
            _ => fixture
                .control
                .mine(random.random_range(1..4))
                .await
                .unwrap(),
        }
        if random.random() {
            tokio::task::yield_now().await;
        } else {
            eventually("the head to be seen", async || {
                let (number, _) = fixture.control.head().await.ok()?;
                (fixture.state().await.node_head? == number).then_some(())
            })
            .await;
        }
    }
    // A rollback is distinguished from a lag once the chain grows past the known head.
    fixture.control.mine(5).await.unwrap();
    let head = fixture.caught_up().await;
    fixture.assert_equals_node().await;
    running.stop().await;

    let mut chain = Vec::<(u64, serde_json::Value)>::new();
    while chain
        .last()
        .is_none_or(|(_, hash)| *hash != json!(head.hash))
    {
        let update = &fixture.received(1).await;
        for update in update {
            let block = data(update);
            match update.event.as_str() {
                "new-block" => {
                    if let Some((number, hash)) = chain.last() {
                        assert_eq!(
                            (number + 1, hash),
                            (block["number"].as_u64().unwrap(), &block["parentHash"]),
                            "seed {seed}"
                        );
                    }
                    chain.push((block["number"].as_u64().unwrap(), block["hash"].clone()));
                }
                "reorg" => {
                    for dropped in block["dropped"].as_array().unwrap() {
                        let (number, hash) = chain.pop().unwrap();
                        assert_eq!(
                            dropped,
                            &json!({ "number": number, "hash": hash }),
                            "seed {seed}"
                        );
                    }
                    let (number, hash) = chain.last().unwrap();
                    assert_eq!(
                        block["commonAncestor"],
                        json!({ "number": number, "hash": hash }),
                        "seed {seed}"
                    );
                }
                _ => {}
            }
        }
    }
    assert_eq!(chain.len() as u64, head.number + 1);
}
