//! Price contracts on a real chain: followed proxies, facts of contracts, averages, and price backfill.

use std::sync::Arc;

use alloy::{
    primitives::{Bytes, I256},
    sol,
    sol_types::{SolCall, SolValue},
};
use tokio_util::sync::CancellationToken;

use super::{
    anvil_fixture::{AnvilFixture, CHAIN, RunningWriter, eventually},
    proxy::{Answer, Proxy},
};
use crate::{Backfill, ChainContext, ChainIngest, PriceSignals};
use chaincast_base::Secret;
use chaincast_dev::Transaction;
use chaincast_evm::chain::ChainConfig;
use chaincast_model::LogOrigin;
use chaincast_prices::OnChainSources;
use chaincast_protocol::{Address, B256, U256};

sol! {
    interface Contracts {
        function updateAnswer(int256 answer) external;
        function change(address aggregator) external;
        function swapTo(uint160 sqrtPriceX96, uint128 liquidity) external;
    }
}

const FEED: &str = include_str!("../../../../../contracts/artifacts/PriceFeed.json");
const PROXY: &str = include_str!("../../../../../contracts/artifacts/FeedProxy.json");
const POOL: &str = include_str!("../../../../../contracts/artifacts/DemoPoolV3.json");
const TOKEN: &str = include_str!("../../../../../contracts/artifacts/DemoToken.json");

/// An answer with 8 decimals.
fn usd(whole: i64) -> I256 {
    I256::try_from(whole * 100_000_000).unwrap()
}

/// A `sqrtPriceX96` of a whole number.
fn root(whole: u64) -> U256 {
    U256::from(whole) << 96
}

async fn owner(fixture: &AnvilFixture) -> Address {
    fixture.node.accounts(1).await.unwrap()[0]
}

async fn create(fixture: &AnvilFixture, artifact: &str, arguments: Vec<u8>) -> Address {
    let artifact: serde_json::Value = serde_json::from_str(artifact).unwrap();
    let code: Bytes = serde_json::from_value(artifact["bytecode"].clone()).unwrap();
    let creation = Transaction::creation(owner(fixture).await, &code, &arguments);
    let hash = fixture.node.send(creation).await.unwrap();
    fixture.node.mined(&[hash]).await.unwrap();
    let receipt: serde_json::Value = fixture
        .node
        .request("eth_getTransactionReceipt", (hash,))
        .await
        .unwrap();
    serde_json::from_value(receipt["contractAddress"].clone()).unwrap()
}

async fn feed(fixture: &AnvilFixture, answer: I256) -> Address {
    let arguments = ("ETH / USD".to_owned(), U256::from(8), answer).abi_encode_params();
    create(fixture, FEED, arguments).await
}

async fn perform(fixture: &AnvilFixture, to: Address, call: &impl SolCall) {
    let call = Transaction::call(owner(fixture).await, to, call);
    let hash: B256 = fixture.node.send(call).await.unwrap();
    fixture.node.mined(&[hash]).await.unwrap();
}

async fn answer(fixture: &AnvilFixture, feed: Address, answer: I256) {
    perform(fixture, feed, &Contracts::updateAnswerCall { answer }).await;
}

/// A swap in a block of this time.
async fn swap_at(fixture: &AnvilFixture, pool: Address, time: u64, price: u64) {
    next_block_at(fixture, time).await;
    let swap = Contracts::swapToCall {
        sqrtPriceX96: root(price).to(),
        liquidity: 1_000_000_000_000_000_000_000_000,
    };
    perform(fixture, pool, &swap).await;
}

async fn mine_at(fixture: &AnvilFixture, time: u64) {
    next_block_at(fixture, time).await;
    fixture.control.mine(1).await.unwrap();
}

async fn next_block_at(fixture: &AnvilFixture, time: u64) {
    fixture
        .node
        .request::<_, serde_json::Value>("evm_setNextBlockTimestamp", (time,))
        .await
        .unwrap();
}

async fn time_of_head(fixture: &AnvilFixture) -> u64 {
    let block: serde_json::Value = fixture
        .node
        .request("eth_getBlockByNumber", ("latest", false))
        .await
        .unwrap();
    let time: U256 = serde_json::from_value(block["timestamp"].clone()).unwrap();
    time.to()
}

/// The `[prices]` section with one source, which reads this feed or proxy.
fn chainlink(address: Address) -> String {
    format!(
        "follow_interval_ms = 100\n[[tokens]]\nsymbol = 'ETH'\n
         [[sources]]\nkind = 'chainlink'\ntoken = 'ETH'\naddress = '{address}'"
    )
}

/// Starts a writer with `text` as its `[prices]` section.
async fn ingest(
    fixture: &AnvilFixture,
    config: ChainConfig,
    text: &str,
) -> (RunningWriter, Arc<OnChainSources>) {
    let prices = toml::from_str(text).unwrap();
    let sources = Arc::new(OnChainSources::new(&prices, CHAIN).unwrap());
    let (signals, queue) = PriceSignals::new();
    let context = ChainContext {
        first_chain: CHAIN,
        store: fixture.store.clone(),
        publisher: fixture.bus.publisher(),
        decoder: sources.clone(),
        signals,
        contracts: fixture.contracts.clone(),
    };
    let ingest = ChainIngest::connect(config, context).await.unwrap();
    let stop = CancellationToken::new();
    let task = tokio::spawn(ingest.run(stop.clone()));
    (RunningWriter { stop, task, queue }, sources)
}

/// The prices of a source, in chain order.
async fn prices(fixture: &AnvilFixture, source: &str) -> Vec<String> {
    sqlx::query_scalar(
        "SELECT trim_scale(price)::text FROM ticks WHERE source = $1 ORDER BY block_number, log_index",
    )
    .bind(source)
    .fetch_all(&mut *fixture.connection().await)
    .await
    .unwrap()
}

async fn until_last(fixture: &AnvilFixture, source: &str, price: &str) -> Vec<String> {
    let what = format!("{price} of {source}");
    eventually(&what, async || {
        let all = prices(fixture, source).await;
        (all.last().map(String::as_str) == Some(price)).then_some(all)
    })
    .await
}

/// Asserts that every tick belongs to a stored block.
async fn assert_ticks_are_of_stored_blocks(fixture: &AnvilFixture) {
    let strays = fixture
        .count(
            "SELECT count(*) FROM ticks t WHERE NOT EXISTS (
                 SELECT FROM blocks b WHERE b.chain_id = t.chain_id AND b.number = t.block_number
                     AND b.hash = t.block_hash)",
        )
        .await;
    assert_eq!(strays, 0);
}

#[tokio::test]
async fn follows_proxy_to_next_aggregator_with_its_answer() {
    let fixture = AnvilFixture::new().await;
    let old = feed(&fixture, usd(2_000)).await;
    let new = feed(&fixture, usd(2_500)).await;
    let proxy = create(&fixture, PROXY, (old,).abi_encode_params()).await;
    fixture.control.mine(1).await.unwrap();
    let config = ChainConfig {
        start_block: fixture.control.head().await.unwrap().0,
        ..fixture.config()
    };
    let text = chainlink(proxy);
    let (running, _) = ingest(&fixture, config, &text).await;
    assert_eq!(until_last(&fixture, "chainlink", "2000").await, ["2000"]);
    let at_end = format!(
        "SELECT count(*) FROM ticks WHERE log_index = {}",
        LogOrigin::END_OF_BLOCK
    );
    assert_eq!(fixture.count(&at_end).await, 1);

    answer(&fixture, old, usd(2_100)).await;
    until_last(&fixture, "chainlink", "2100").await;
    answer(&fixture, new, usd(2_900)).await;
    perform(&fixture, proxy, &Contracts::changeCall { aggregator: new }).await;
    until_last(&fixture, "chainlink", "2900").await;
    answer(&fixture, old, usd(9_999)).await;
    answer(&fixture, new, usd(3_100)).await;
    let all = until_last(&fixture, "chainlink", "3100").await;
    assert_eq!(all, ["2000", "2100", "2900", "3100"]);

    // The reorg drops the blocks of all answers.
    let depth = fixture.caught_up().await.number - fixture.state().await.start_block;
    fixture.control.reorg(depth).await.unwrap();
    fixture.caught_up().await;
    assert_ticks_are_of_stored_blocks(&fixture).await;
    running.stop().await;
}

#[tokio::test]
async fn answer_of_proxy_counts_over_later_ones_of_others() {
    let fixture = AnvilFixture::new().await;
    let old = feed(&fixture, usd(2_000)).await;
    let new = feed(&fixture, usd(2_500)).await;
    let proxy = create(&fixture, PROXY, (old,).abi_encode_params()).await;
    let text = chainlink(proxy);
    let (running, _) = ingest(&fixture, fixture.config(), &text).await;
    until_last(&fixture, "chainlink", "2000").await;
    answer(&fixture, old, usd(2_100)).await;
    until_last(&fixture, "chainlink", "2100").await;
    running.stop().await;

    // The proxy changes while no writer runs, and its aggregator emits nothing afterwards. Later answers of the former
    // aggregator do not count.
    perform(&fixture, proxy, &Contracts::changeCall { aggregator: new }).await;
    answer(&fixture, old, usd(9_999)).await;
    let (running, _) = ingest(&fixture, fixture.config(), &text).await;
    let before = until_last(&fixture, "chainlink", "2500").await;
    assert!(!before.contains(&"9999".to_owned()), "{before:?}");

    // Back to the first aggregator, whose answer is older than that of the other.
    answer(&fixture, new, usd(3_100)).await;
    until_last(&fixture, "chainlink", "3100").await;
    perform(&fixture, proxy, &Contracts::changeCall { aggregator: old }).await;
    until_last(&fixture, "chainlink", "9999").await;
    running.stop().await;
}

#[tokio::test]
async fn restart_does_not_store_answer_again() {
    let fixture = AnvilFixture::new().await;
    let feed = feed(&fixture, usd(2_000)).await;
    let text = chainlink(feed);
    for _ in 0..2 {
        let (running, _) = ingest(&fixture, fixture.config(), &text).await;
        fixture.control.mine(1).await.unwrap();
        fixture.caught_up().await;
        running.stop().await;
    }
    let (running, _) = ingest(&fixture, fixture.config(), &text).await;
    answer(&fixture, feed, usd(2_001)).await;
    let all = until_last(&fixture, "chainlink", "2001").await;
    assert_eq!(all, ["2000", "2001"]);
    running.stop().await;
}

#[tokio::test]
async fn refuses_source_with_wrong_decimals_before_any_price() {
    let fixture = AnvilFixture::new().await;
    let feed = feed(&fixture, usd(2_000)).await;
    let text = format!(
        "[[tokens]]\nsymbol = 'ETH'\n
         [[sources]]\nkind = 'chainlink'\ntoken = 'ETH'\naddress = '{feed}'\ndecimals = 18"
    );
    let (running, sources) = ingest(&fixture, fixture.config(), &text).await;
    fixture.caught_up().await;
    let (_, state) = sources.states().remove(0);
    assert_eq!(
        state.reason(),
        Some("decimals is 18 in the configuration but 8 in the contract")
    );
    answer(&fixture, feed, usd(2_100)).await;
    fixture.caught_up().await;
    assert!(prices(&fixture, "chainlink").await.is_empty());
    running.stop().await;
}

#[tokio::test]
async fn contract_of_another_kind_is_reported_with_missing_call() {
    let fixture = AnvilFixture::new().await;
    let arguments = ("AAA".to_owned(), "AAA".to_owned(), U256::from(18)).abi_encode_params();
    let token = create(&fixture, TOKEN, arguments.clone()).await;
    let other = create(&fixture, TOKEN, arguments).await;
    let arguments = (token, other, root(2)).abi_encode_params();
    let pool = create(&fixture, POOL, arguments).await;
    let text = format!(
        "[[tokens]]\nsymbol = 'ETH'\n
         [[sources]]\nkind = 'chainlink'\ntoken = 'ETH'\naddress = '{token}'\n
         [[sources]]\nkind = 'uniswap-v2'\ntoken = 'ETH'\naddress = '{pool}'\nquote = 'USD'\nbase = 0\n
         base_decimals = 18\nquote_decimals = 18"
    );
    let (running, sources) = ingest(&fixture, fixture.config(), &text).await;
    fixture.caught_up().await;
    for (at, call) in ["latestRoundData()", "getReserves()"]
        .into_iter()
        .enumerate()
    {
        let state = eventually(call, async || {
            let (_, state) = sources.states().remove(at);
            state
                .reason()
                .is_some_and(|why| why.contains(call))
                .then_some(state)
        });
        assert_eq!(state.await.name(), "connecting");
    }
    // A pool may still be deployed there.
    assert!(sources.needs_retry(CHAIN));
    running.stop().await;
}

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

/// Counts the ticks of a source that were decoded from logs.
fn log_tick_count_sql(source: &str) -> String {
    format!(
        "SELECT count(*) FROM ticks WHERE source = '{source}' AND log_index <> {}",
        LogOrigin::END_OF_BLOCK
    )
}

/// The prices decoded from logs of a source, in chain order.
async fn log_prices(fixture: &AnvilFixture, source: &str) -> Vec<String> {
    sqlx::query_scalar(
        "SELECT trim_scale(price)::text FROM ticks WHERE source = $1 AND log_index <> $2
         ORDER BY block_number, log_index",
    )
    .bind(source)
    .bind(LogOrigin::END_OF_BLOCK as i32)
    .fetch_all(&mut *fixture.connection().await)
    .await
    .unwrap()
}

async fn until_decoded(fixture: &AnvilFixture, source: &str) {
    let sql = format!(
        "SELECT count(*) FROM price_pasts p JOIN chains c USING (chain_id)
         WHERE source = '{source}' AND decoded_from <= start_block AND decoded_through = head_number"
    );
    let what = format!("the past of {source}");
    eventually(&what, async || {
        (fixture.count(&sql).await == 1).then_some(())
    })
    .await;
}

#[tokio::test]
async fn source_added_later_is_backfilled_from_stored_logs() {
    let fixture = AnvilFixture::new().await;
    let feed = feed(&fixture, usd(2_000)).await;
    for whole in 2_001..2_012 {
        answer(&fixture, feed, usd(whole)).await;
    }
    // Indexed without the source.
    let (running, _) = ingest(&fixture, fixture.config(), "").await;
    fixture.caught_up().await;
    running.stop().await;
    assert_eq!(fixture.count("SELECT count(*) FROM ticks").await, 0);

    let text = format!(
        "[[tokens]]\nsymbol = 'ETH'\n[[sources]]\nkind = 'chainlink'\ntoken = 'ETH'\naddress = '{feed}'"
    );
    let (running, _) = ingest(&fixture, fixture.config(), &text).await;
    until_decoded(&fixture, "chainlink").await;
    let logs = format!(
        "SELECT count(*) FROM logs WHERE address = '\\x{feed:x}' AND topic0 = '\\x{:x}'",
        B256::from_slice(&alloy::primitives::hex!(
            "0559884fd3a460db3073b7fc896cc77986f16e378210ded43186175bf646fc5f"
        ))
    );
    let past = log_prices(&fixture, "chainlink").await;
    assert_eq!(past.len() as i64, fixture.count(&logs).await);
    let expected: Vec<String> = (2_001..2_012).map(|whole: i64| whole.to_string()).collect();
    assert!(past.ends_with(&expected), "{past:?}");
    // New answers follow, and no tick is stored twice.
    answer(&fixture, feed, usd(2_012)).await;
    until_last(&fixture, "chainlink", "2012").await;
    assert_eq!(
        fixture.count(&log_tick_count_sql("chainlink")).await,
        past.len() as i64 + 1
    );

    // A reorg below the blocks that were decoded live.
    fixture.control.reorg(4).await.unwrap();
    fixture.caught_up().await;
    until_decoded(&fixture, "chainlink").await;
    assert_ticks_are_of_stored_blocks(&fixture).await;
    let left = fixture.count(&logs).await;
    assert_eq!(fixture.count(&log_tick_count_sql("chainlink")).await, left);
    running.stop().await;

    // Decoded again from the start: all ticks exist already.
    sqlx::query("UPDATE price_pasts SET decoded_from = decoded_through + 1")
        .execute(&mut *fixture.connection().await)
        .await
        .unwrap();
    let (running, _) = ingest(&fixture, fixture.config(), &text).await;
    until_decoded(&fixture, "chainlink").await;
    assert_eq!(fixture.count(&log_tick_count_sql("chainlink")).await, left);
    running.stop().await;

    // Another definition under the same name replaces all ticks.
    let (running, _) = ingest(&fixture, fixture.config(), &format!("{text}\nscale = 10")).await;
    let old = "SELECT count(*) FROM ticks WHERE price > 1000 AND log_index <> 2147483647";
    eventually("other ticks", async || {
        (fixture.count(old).await == 0).then_some(())
    })
    .await;
    until_decoded(&fixture, "chainlink").await;
    assert_eq!(fixture.count(&log_tick_count_sql("chainlink")).await, left);
    running.stop().await;
}

#[tokio::test]
async fn price_backfill_skips_ticks_older_than_retention() {
    let fixture = AnvilFixture::new().await;
    let feed = feed(&fixture, usd(2_000)).await;
    answer(&fixture, feed, usd(2_001)).await;
    let (running, _) = ingest(&fixture, fixture.config(), "").await;
    fixture.caught_up().await;
    running.stop().await;
    // More than a month old by their stored headers.
    sqlx::query("UPDATE blocks SET timestamp = timestamp - 40 * 86400")
        .execute(&mut *fixture.connection().await)
        .await
        .unwrap();
    let text = format!(
        "[[tokens]]\nsymbol = 'ETH'\n[[sources]]\nkind = 'chainlink'\ntoken = 'ETH'\naddress = '{feed}'"
    );
    let (running, _) = ingest(&fixture, fixture.config(), &text).await;
    until_decoded(&fixture, "chainlink").await;
    assert_eq!(fixture.count(&log_tick_count_sql("chainlink")).await, 0);
    running.stop().await;
}
