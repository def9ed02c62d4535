//! Catching up, following the head, reorgs and finality.

use std::time::Duration;

use alloy::primitives::U256;
use rand::{Rng, SeedableRng, rngs::StdRng};
use serde_json::json;

use super::stage::{Stage, anvil_again, data, eventually};
use crate::{
    dev::{AnvilOptions, Market, deploy_or_load},
    ingest::{IngestError, PriceSignal, chain::ReorgLimit},
};

#[tokio::test(flavor = "multi_thread")]
async fn history_is_caught_up_whole_and_each_new_block_follows() {
    let mut stage = Stage::new().await;
    let deployment = deploy_or_load(
        &format!("http://127.0.0.1:{}", stage.anvil_options.port),
        stage.dir.path(),
    )
    .await
    .unwrap();
    stage.control.mine(30).await.unwrap();
    let mut running = stage.ingest(stage.config()).await.unwrap();
    let head = stage.caught_up().await;
    assert!(head.number > 30);
    stage.assert_equals_node().await;
    for number in 0..=head.number {
        assert_eq!(stage.next_block().await["number"], number);
    }
    // Everything that the contracts emitted while they were deployed.
    assert!(stage.count("SELECT count(*) FROM transfers").await > 10);
    let unlinked = "SELECT count(*) FROM transactions t LEFT JOIN blocks b
        ON b.number = t.block_number WHERE b.number IS NULL OR t.status <> 1";
    assert_eq!(stage.count(unlinked).await, 0);
    let miscounted = "SELECT count(*) FROM blocks b WHERE
        transaction_count <> (SELECT count(*) FROM transactions t WHERE t.block_number = b.number) OR
        log_count <> (SELECT count(*) FROM logs l WHERE l.block_number = b.number)";
    assert_eq!(stage.count(miscounted).await, 0);
    assert!(
        matches!(running.queue.next().await, Some(PriceSignal::Ticks(ticks)) if !ticks.is_empty())
    );
    assert_eq!(stage.state().await.verified_through, Some(head.number));

    let market = Market::new(
        &format!("http://127.0.0.1:{}", stage.anvil_options.port),
        &deployment,
        Some(1),
    )
    .await
    .unwrap();
    let (from, to) = (market.holders()[0], market.holders()[1]);
    let before = stage.count("SELECT count(*) FROM transfers").await;
    let sent = market
        .transfer("LINK", from, to, U256::from(77))
        .await
        .unwrap();
    let block = stage.next_block().await;
    assert_eq!(
        (&block["number"], &block["transactions"]),
        (&json!(head.number + 1), &json!(1))
    );
    stage.caught_up().await;
    assert_eq!(
        stage.count("SELECT count(*) FROM transfers").await,
        before + 1
    );
    let amount: String = sqlx::query_scalar(
        "SELECT r.amount::text FROM transfers r JOIN transactions t USING (chain_id, block_number, transaction_index)
         WHERE t.hash = $1",
    )
    .bind(sent.as_slice())
    .fetch_one(&mut *stage.connection().await)
    .await
    .unwrap();
    assert_eq!(amount, "77");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_without_newheads_is_polled() {
    let mut stage = Stage::new().await;
    let config = crate::source::chain::ChainConfig {
        ws_url: None,
        ..stage.config()
    };
    let running = stage.ingest(config).await.unwrap();
    stage.control.mine(3).await.unwrap();
    stage.caught_up().await;
    assert_eq!(stage.heard(4).await.len(), 4);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_is_heard_of_without_a_poll_also_after_the_node_came_back() {
    let mut stage = Stage::new().await;
    let config = crate::source::chain::ChainConfig {
        poll_interval_ms: 3_600_000,
        ..stage.config()
    };
    let running = stage.ingest(config).await.unwrap();
    stage.caught_up().await;
    for restarted in [false, true] {
        if restarted {
            stage.anvil.take().unwrap().stop().await.unwrap();
            stage.anvil = Some(anvil_again(&stage.anvil_options).await);
        }
        // The subscription may stand only after the first of them. Each is given a while, so that a slow writer is not
        // outrun.
        eventually("a block that was heard of", async || {
            stage.control.mine(1).await.unwrap();
            let (number, _) = stage.control.head().await.unwrap();
            for _ in 0..100 {
                if stage.state().await.head?.number >= number {
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
async fn only_the_newest_blocks_of_history_are_announced() {
    let mut stage = Stage::new().await;
    stage.control.mine(20).await.unwrap();
    let config = crate::source::chain::ChainConfig {
        announce_blocks: 5,
        ..stage.config()
    };
    let running = stage.ingest(config).await.unwrap();
    stage.caught_up().await;
    let heard = stage.heard(5).await;
    assert_eq!(heard[0].seq, 1);
    assert_eq!(data(&heard[0])["number"], 16);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reorg_is_one_update_and_keeps_what_it_dropped() {
    let mut stage = Stage::new().await;
    stage.control.mine(6).await.unwrap();
    let mut running = stage.ingest(stage.config()).await.unwrap();
    let old = stage.caught_up().await;
    stage.heard(7).await;

    stage.control.reorg(2).await.unwrap();
    stage.control.mine(1).await.unwrap();
    let heard = stage.heard(4).await;
    let reorg = data(&heard[0]);
    assert_eq!(&*heard[0].event, "reorg");
    assert_eq!(
        (&reorg["depth"], &reorg["chainId"]),
        (&json!(2), &json!(31_337))
    );
    assert_eq!(reorg["commonAncestor"]["number"], 4);
    assert_eq!(
        reorg["dropped"][0],
        json!({ "number": old.number, "hash": old.hash })
    );
    let numbers: Vec<_> = heard[1..]
        .iter()
        .map(|update| data(update)["number"].clone())
        .collect();
    assert_eq!(numbers, [5, 6, 7]);
    stage.caught_up().await;
    stage.assert_equals_node().await;
    assert_eq!(stage.count("SELECT count(*) FROM dropped_blocks").await, 2);
    assert_eq!(
        running.queue.next().await,
        Some(PriceSignal::Reorged { chain_id: 31_337 })
    );
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_lost_its_newest_blocks_lags_until_another_hash_proves_a_reorg() {
    let mut stage = Stage::new().await;
    stage.control.mine(8).await.unwrap();
    let running = stage.ingest(stage.config()).await.unwrap();
    let head = stage.caught_up().await;
    stage.heard(9).await;

    stage.control.rollback(3).await.unwrap();
    eventually("the lower head to be seen", async || {
        (stage.state().await.node_head == Some(5)).then_some(())
    })
    .await;
    assert_eq!(stage.state().await.head, Some(head));

    // A shorter branch is another chain all the same, once a known height has another hash.
    stage
        .node
        .request::<_, serde_json::Value>("evm_increaseTime", (1_000,))
        .await
        .unwrap();
    stage.control.mine(1).await.unwrap();
    let heard = stage.heard(2).await;
    assert_eq!(data(&heard[0])["depth"], 3);
    assert_eq!(data(&heard[1])["number"], 6);
    stage.caught_up().await;
    stage.assert_equals_node().await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reorg_deeper_than_allowed_stops_the_writer_and_changes_nothing() {
    let stage = Stage::new().await;
    stage.control.mine(6).await.unwrap();
    let config = crate::source::chain::ChainConfig {
        max_reorg_depth: 2,
        ..stage.config()
    };
    let running = stage.ingest(config).await.unwrap();
    let head = stage.caught_up().await;
    stage.control.reorg(3).await.unwrap();
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
    assert_eq!(stage.state().await.head, Some(head));
    assert_eq!(stage.count("SELECT count(*) FROM dropped_blocks").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn finality_is_announced_as_it_advances_and_forbids_to_go_below() {
    let mut stage = Stage::with(AnvilOptions {
        slots_in_an_epoch: 2,
        ..Default::default()
    })
    .await;
    let running = stage.ingest(stage.config()).await.unwrap();
    stage.caught_up().await;
    stage.heard(1).await;
    stage.control.mine(10).await.unwrap();
    let mut finalized = 0;
    while finalized < 6 {
        for update in stage.heard(1).await {
            if &*update.event == "block-finalized" {
                let number = data(&update)["number"].as_u64().unwrap();
                assert!(number > finalized);
                finalized = number;
            }
        }
    }
    let state = stage.state().await;
    assert_eq!(
        (state.finalized.unwrap().number, state.safe_number),
        (6, Some(8))
    );
    stage.control.reorg(5).await.unwrap();
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
async fn the_safe_block_is_recorded_again_after_a_reorg_below_it() {
    let stage = Stage::with(AnvilOptions {
        slots_in_an_epoch: 2,
        ..Default::default()
    })
    .await;
    let running = stage.ingest(stage.config()).await.unwrap();
    stage.control.mine(10).await.unwrap();
    let recorded = |what| {
        eventually(what, async || {
            let state = stage.state().await;
            let heads = (state.node_head, state.head.map(|head| head.number));
            (heads == (Some(10), Some(10)) && state.safe_number == Some(8)).then_some(())
        })
    };
    stage.caught_up().await;
    recorded("the safe block").await;
    // To block 7, and up to the same heights again.
    stage.control.reorg(3).await.unwrap();
    stage.caught_up().await;
    recorded("the safe block after the reorg").await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_follows_the_updates_has_the_nodes_chain_whatever_happened() {
    let mut stage = Stage::new().await;
    let seed: u64 = rand::random();
    let mut random = StdRng::seed_from_u64(seed);
    // Enough that no series of rollbacks reaches the first block.
    stage.control.mine(60).await.unwrap();
    let running = stage.ingest(stage.config()).await.unwrap();
    stage.caught_up().await;
    for _ in 0..25 {
        // A different time gives a block that was mined again another hash.
        let seconds = random.random_range(1..1_000);
        stage
            .node
            .request::<_, serde_json::Value>("evm_increaseTime", (seconds,))
            .await
            .unwrap();
        match random.random_range(0..4) {
            0 => stage
                .control
                .reorg(random.random_range(1..5))
                .await
                .unwrap(),
            1 => stage
                .control
                .rollback(random.random_range(1..3))
                .await
                .unwrap(),
            _ => stage.control.mine(random.random_range(1..4)).await.unwrap(),
        }
        if random.random() {
            tokio::task::yield_now().await;
        } else {
            eventually("the head to be seen", async || {
                let (number, _) = stage.control.head().await.ok()?;
                (stage.state().await.node_head? == number).then_some(())
            })
            .await;
        }
    }
    // A chain that only went back is told from a lag once it grows past what was known.
    stage.control.mine(5).await.unwrap();
    let head = stage.caught_up().await;
    stage.assert_equals_node().await;
    running.stop().await;

    let mut chain = Vec::<(u64, serde_json::Value)>::new();
    while chain
        .last()
        .is_none_or(|(_, hash)| *hash != json!(head.hash))
    {
        let update = &stage.heard(1).await;
        for update in update {
            let block = data(update);
            match &*update.event {
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
