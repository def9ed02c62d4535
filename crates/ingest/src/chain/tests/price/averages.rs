//! Averages of pools.

use super::*;

#[tokio::test]
async fn average_of_pool_follows_chain_and_reorg() {
    let fixture = AnvilFixture::new().await;
    // Token 0 is priced, so that a root of 2 is a price of 4.
    let (pool, averaged) = averaged_pool(&fixture, 60).await;
    let text = format!(
        "{averaged}\n
         [[sources]]\nkind = 'uniswap-v3'\ntoken = 'ETH'\naddress = '{pool}'\nquote = 'USD'\nmin_liquidity = 1000"
    );
    let (running, _) = ingest(&fixture, fixture.config(), &text).await;
    fixture.caught_up().await;
    let start = time_of_head(&fixture).await + 100;
    swap_at(&fixture, pool, start, 2).await;
    swap_at(&fixture, pool, start + 60, 4).await;
    mine_at(&fixture, start + 90).await;
    swap_at(&fixture, pool, start + 100, 1).await;
    mine_at(&fixture, start + 160).await;
    mine_at(&fixture, start + 170).await;
    fixture.caught_up().await;
    assert_eq!(prices(&fixture, "uniswap-v3").await, ["4", "16", "1"]);
    assert_eq!(
        prices(&fixture, "uniswap-v3-twap").await,
        ["4", "10", "12", "1"]
    );

    swap_at(&fixture, pool, start + 180, 2).await;
    mine_at(&fixture, start + 210).await;
    fixture.caught_up().await;
    until_last(&fixture, "uniswap-v3-twap", "2.5").await;
    fixture.control.reorg(2).await.unwrap();
    fixture.caught_up().await;
    assert_ticks_are_of_stored_blocks(&fixture).await;
    let all = prices(&fixture, "uniswap-v3-twap").await;
    assert_eq!(all.last().map(String::as_str), Some("1"), "{all:?}");
    assert!(!all.contains(&"2.5".to_owned()), "{all:?}");

    // After a restart the window is read from the stored logs.
    swap_at(&fixture, pool, start + 1_000, 4).await;
    fixture.caught_up().await;
    running.stop().await;
    mine_at(&fixture, start + 1_030).await;
    let (running, _) = ingest(&fixture, fixture.config(), &text).await;
    fixture.caught_up().await;
    until_last(&fixture, "uniswap-v3-twap", "8.5").await;
    running.stop().await;
}

/// Mines blocks one second apart.
async fn mine_seconds(fixture: &AnvilFixture, blocks: u64) {
    let start = time_of_head(fixture).await;
    for after in 1..=blocks {
        mine_at(fixture, start + after).await;
    }
}

/// Blocks and prices of the averages of a source, in chain order.
async fn averages_by_block(fixture: &AnvilFixture, source: &str) -> Vec<(i64, String)> {
    sqlx::query_as(
        "SELECT block_number, trim_scale(price)::text FROM ticks WHERE source = $1 AND log_index = $2
         ORDER BY block_number",
    )
    .bind(source)
    .bind(LogOrigin::END_OF_BLOCK as i32)
    .fetch_all(&mut *fixture.connection().await)
    .await
    .unwrap()
}

async fn delete_ticks(fixture: &AnvilFixture) {
    sqlx::query("DELETE FROM ticks")
        .execute(&mut *fixture.connection().await)
        .await
        .unwrap();
    assert_eq!(fixture.count("SELECT count(*) FROM ticks").await, 0);
}

/// Deploys a pool of two tokens with 18 decimals; returns it with the `[prices]` section of its average over `seconds`.
async fn averaged_pool(fixture: &AnvilFixture, seconds: u64) -> (Address, String) {
    let mut tokens = Vec::new();
    for symbol in ["AAA", "BBB"] {
        let arguments = (symbol.to_owned(), symbol.to_owned(), U256::from(18)).abi_encode_params();
        tokens.push(create(fixture, TOKEN, arguments).await);
    }
    let arguments = (tokens[0], tokens[1], root(2)).abi_encode_params();
    let pool = create(fixture, POOL, arguments).await;
    let base = tokens.iter().min().unwrap();
    let text = format!(
        "follow_interval_ms = 100\n[[tokens]]\nsymbol = 'ETH'\naddress = '{base}'\n
         [[sources]]\nkind = 'uniswap-v3'\ntoken = 'ETH'\naddress = '{pool}'\nquote = 'USD'\nprice = 'twap'\n
         twap_seconds = {seconds}"
    );
    (pool, text)
}

#[tokio::test]
async fn average_added_later_equals_one_from_the_start() {
    const SOURCE: &str = "uniswap-v3-twap";
    let fixture = AnvilFixture::new().await;
    let (pool, text) = averaged_pool(&fixture, 60).await;
    let start = time_of_head(&fixture).await + 100;
    swap_at(&fixture, pool, start, 2).await;
    let middle = start + 60;
    swap_at(&fixture, pool, middle, 4).await;
    let (running, _) = ingest(&fixture, fixture.config(), &text).await;
    mine_seconds(&fixture, 30).await;
    swap_at(&fixture, pool, middle + 31, 1).await;
    mine_seconds(&fixture, 20).await;
    swap_at(&fixture, pool, middle + 52, 3).await;
    // More than the 1,000 blocks of one step: the seam between two steps lies where the average changes.
    mine_seconds(&fixture, 980).await;
    let head = fixture.caught_up().await;
    until_decoded(&fixture, SOURCE).await;
    running.stop().await;
    let live = averages_by_block(&fixture, SOURCE).await;
    // At the second swap, and at each block until the window holds the last price alone.
    assert_eq!(live.len(), 1 + 31 + 21 + 60, "{live:?}");
    assert_eq!(live.last().unwrap().1, "9");

    // The source is configured when all blocks are stored.
    let (running, _) = ingest(&fixture, fixture.config(), "").await;
    eventually("a source that is not configured is forgotten", async || {
        (fixture.count("SELECT count(*) FROM price_pasts").await == 0).then_some(())
    })
    .await;
    running.stop().await;
    delete_ticks(&fixture).await;
    let (running, _) = ingest(&fixture, fixture.config(), &text).await;
    until_decoded(&fixture, SOURCE).await;
    assert_eq!(averages_by_block(&fixture, SOURCE).await, live);
    // Its window includes stored prices: the next average is published with the next swap.
    let next = time_of_head(&fixture).await + 10;
    swap_at(&fixture, pool, next, 2).await;
    mine_at(&fixture, next + 30).await;
    until_last(&fixture, SOURCE, "6.5").await;
    // A reorg deletes the averages of dropped blocks alone.
    fixture.control.reorg(2).await.unwrap();
    fixture.caught_up().await;
    until_decoded(&fixture, SOURCE).await;
    assert_ticks_are_of_stored_blocks(&fixture).await;
    assert_eq!(averages_by_block(&fixture, SOURCE).await, live);
    running.stop().await;

    // Another window length replaces the averages.
    let shorter = text.replace("twap_seconds = 60", "twap_seconds = 10");
    let (running, _) = ingest(&fixture, fixture.config(), &shorter).await;
    let up_to_head = format!(
        "SELECT count(*) FROM ticks WHERE source = '{SOURCE}' AND block_number <= {}",
        head.number
    );
    eventually("the averages of the shorter window alone", async || {
        (fixture.count(&up_to_head).await == 1 + 10 + 11 + 11).then_some(())
    })
    .await;
    running.stop().await;
}

#[tokio::test]
async fn source_changed_to_average_and_back_keeps_no_old_ticks() {
    const SOURCE: &str = "pool";
    let fixture = AnvilFixture::new().await;
    let (pool, text) = averaged_pool(&fixture, 60).await;
    let average = format!("{text}\nname = 'pool'");
    let spot = average
        .replace("price = 'twap'\n", "")
        .replace("twap_seconds = 60", "");
    let start = time_of_head(&fixture).await + 100;
    swap_at(&fixture, pool, start, 2).await;
    swap_at(&fixture, pool, start + 60, 4).await;
    mine_at(&fixture, start + 90).await;
    let averages = ["4", "10"];
    let swaps = ["4", "16"];
    for (text, expected) in [(&average, averages), (&spot, swaps), (&average, averages)] {
        let (running, _) = ingest(&fixture, fixture.config(), text).await;
        eventually("the ticks of the present definition alone", async || {
            (prices(&fixture, SOURCE).await == expected).then_some(())
        })
        .await;
        running.stop().await;
    }
}

/// Runs `chaincast backfill` from block 0 to the node's head.
async fn backfill_all(fixture: &AnvilFixture, text: &str) {
    let (signals, _) = PriceSignals::new();
    let sources = toml::from_str(text).unwrap();
    let context = ChainContext {
        first_chain: CHAIN,
        store: fixture.store.clone(),
        publisher: fixture.bus.publisher(),
        decoder: Arc::new(OnChainSources::new(&sources, CHAIN).unwrap()),
        signals,
        contracts: fixture.contracts.clone(),
    };
    let backfill = Backfill::new(fixture.config(), context, 0, None).unwrap();
    let stop = CancellationToken::new();
    backfill.run(&stop, |_| {}).await.unwrap();
}

#[tokio::test]
async fn averages_above_use_prices_that_the_same_backfill_added() {
    const SOURCE: &str = "uniswap-v3-twap";
    let fixture = AnvilFixture::new().await;
    let (pool, text) = averaged_pool(&fixture, 60).await;
    let start = time_of_head(&fixture).await + 100;
    swap_at(&fixture, pool, start, 2).await;
    mine_at(&fixture, start + 70).await;
    mine_at(&fixture, start + 80).await;
    let config = ChainConfig {
        start_block: fixture.control.head().await.unwrap().0,
        ..fixture.config()
    };
    mine_at(&fixture, start + 90).await;
    // No log of the pool is stored.
    let (running, _) = ingest(&fixture, config, &text).await;
    fixture.caught_up().await;
    until_decoded(&fixture, SOURCE).await;
    running.stop().await;
    assert!(prices(&fixture, SOURCE).await.is_empty());

    swap_at(&fixture, pool, start + 100, 4).await;
    mine_at(&fixture, start + 130).await;
    backfill_all(&fixture, &text).await;
    let (running, _) = ingest(&fixture, fixture.config(), &text).await;
    until_decoded(&fixture, SOURCE).await;
    // At 70, 100 and 130 s.
    assert_eq!(prices(&fixture, SOURCE).await, ["4", "4", "10"]);
    running.stop().await;
}

#[tokio::test]
async fn averages_are_computed_for_added_older_blocks() {
    const SOURCE: &str = "uniswap-v3-twap";
    let fixture = AnvilFixture::new().await;
    let (pool, text) = averaged_pool(&fixture, 60).await;
    let start = time_of_head(&fixture).await + 100;
    swap_at(&fixture, pool, start, 2).await;
    mine_at(&fixture, start + 70).await;
    swap_at(&fixture, pool, start + 80, 4).await;
    mine_at(&fixture, start + 90).await;
    let first = fixture.control.head().await.unwrap().0;
    mine_at(&fixture, start + 100).await;
    swap_at(&fixture, pool, start + 110, 1).await;
    mine_at(&fixture, start + 200).await;
    let config = ChainConfig {
        start_block: first,
        ..fixture.config()
    };
    let (running, _) = ingest(&fixture, config, &text).await;
    fixture.caught_up().await;
    until_decoded(&fixture, SOURCE).await;
    running.stop().await;
    assert_eq!(prices(&fixture, SOURCE).await, ["1"]);

    backfill_all(&fixture, &text).await;
    let (running, _) = ingest(&fixture, fixture.config(), &text).await;
    until_decoded(&fixture, SOURCE).await;
    // At 70, 80, 90, 100 and 110 s, the last three of which lacked the prices below the first block; and at 200 s.
    assert_eq!(
        prices(&fixture, SOURCE).await,
        ["4", "4", "6", "8", "10", "1"]
    );
    running.stop().await;
}

#[tokio::test]
async fn average_of_contract_readable_later_includes_stored_logs() {
    const SOURCE: &str = "uniswap-v3-twap";
    let fixture = AnvilFixture::new().await;
    let (pool, text) = averaged_pool(&fixture, 60).await;
    let proxy = Proxy::new(fixture.anvil_options.port).await;
    proxy.set("eth_call", Answer::Error(-32_000, "no calls now"));
    let config = ChainConfig {
        rpc_url: Secret::new(proxy.url()),
        ..fixture.config()
    };
    let (running, sources) = ingest(&fixture, config, &text).await;
    let start = time_of_head(&fixture).await + 100;
    swap_at(&fixture, pool, start, 2).await;
    swap_at(&fixture, pool, start + 60, 4).await;
    mine_at(&fixture, start + 90).await;
    fixture.caught_up().await;
    assert!(prices(&fixture, SOURCE).await.is_empty());

    proxy.pass("eth_call");
    eventually("the facts of the pool", async || {
        (!sources.needs_retry(CHAIN)).then_some(())
    })
    .await;
    mine_at(&fixture, start + 100).await;
    fixture.caught_up().await;
    until_decoded(&fixture, SOURCE).await;
    // At 60 and 90 s by the price backfill; at 100 s with the block itself.
    assert_eq!(prices(&fixture, SOURCE).await, ["4", "10", "12"]);
    running.stop().await;
}
