//! Price contracts on a real chain: proxies that are followed, contracts that say what they are, and averages.

use std::sync::Arc;

use alloy::{
    primitives::{Bytes, I256},
    sol,
    sol_types::{SolCall, SolValue},
};
use tokio_util::sync::CancellationToken;

use super::anvil_fixture::{AnvilFixture, CHAIN, RunningWriter, eventually};
use crate::{
    dev::Transaction,
    ingest::{Backfill, ChainContext, ChainIngest, PriceSignals},
    model::{Address, B256, LogOrigin, U256},
    source::{chain::ChainConfig, price::OnChainSources},
};

sol! {
    interface Contracts {
        function updateAnswer(int256 answer) external;
        function change(address aggregator) external;
        function swapTo(uint160 sqrtPriceX96, uint128 liquidity) external;
    }
}

const FEED: &str = include_str!("../../../../contracts/artifacts/PriceFeed.json");
const PROXY: &str = include_str!("../../../../contracts/artifacts/FeedProxy.json");
const POOL: &str = include_str!("../../../../contracts/artifacts/DemoPoolV3.json");
const TOKEN: &str = include_str!("../../../../contracts/artifacts/DemoToken.json");

/// An answer with 8 decimals.
fn usd(whole: i64) -> I256 {
    I256::try_from(whole * 100_000_000).unwrap()
}

/// A `sqrtPriceX96` of a whole number.
fn root(whole: u64) -> U256 {
    U256::from(whole) << 96
}

async fn owner(stage: &AnvilFixture) -> Address {
    stage.node.accounts(1).await.unwrap()[0]
}

async fn create(stage: &AnvilFixture, artifact: &str, arguments: Vec<u8>) -> Address {
    let artifact: serde_json::Value = serde_json::from_str(artifact).unwrap();
    let code: Bytes = serde_json::from_value(artifact["bytecode"].clone()).unwrap();
    let creation = Transaction::creation(owner(stage).await, &code, &arguments);
    let hash = stage.node.send(creation).await.unwrap();
    stage.node.mined(&[hash]).await.unwrap();
    let receipt: serde_json::Value = stage
        .node
        .request("eth_getTransactionReceipt", (hash,))
        .await
        .unwrap();
    serde_json::from_value(receipt["contractAddress"].clone()).unwrap()
}

async fn feed(stage: &AnvilFixture, answer: I256) -> Address {
    let arguments = ("ETH / USD".to_owned(), U256::from(8), answer).abi_encode_params();
    create(stage, FEED, arguments).await
}

async fn perform(stage: &AnvilFixture, to: Address, call: &impl SolCall) {
    let call = Transaction::call(owner(stage).await, to, call);
    let hash: B256 = stage.node.send(call).await.unwrap();
    stage.node.mined(&[hash]).await.unwrap();
}

async fn answer(stage: &AnvilFixture, feed: Address, answer: I256) {
    perform(stage, feed, &Contracts::updateAnswerCall { answer }).await;
}

/// A swap in a block of this time.
async fn swap_at(stage: &AnvilFixture, pool: Address, time: u64, price: u64) {
    next_block_at(stage, time).await;
    let swap = Contracts::swapToCall {
        sqrtPriceX96: root(price).to(),
        liquidity: 1_000_000_000_000_000_000_000_000,
    };
    perform(stage, pool, &swap).await;
}

async fn mine_at(stage: &AnvilFixture, time: u64) {
    next_block_at(stage, time).await;
    stage.control.mine(1).await.unwrap();
}

async fn next_block_at(stage: &AnvilFixture, time: u64) {
    stage
        .node
        .request::<_, serde_json::Value>("evm_setNextBlockTimestamp", (time,))
        .await
        .unwrap();
}

async fn time_of_head(stage: &AnvilFixture) -> u64 {
    let block: serde_json::Value = stage
        .node
        .request("eth_getBlockByNumber", ("latest", false))
        .await
        .unwrap();
    let time: U256 = serde_json::from_value(block["timestamp"].clone()).unwrap();
    time.to()
}

/// A writer that reads prices as `text`, the `[prices]` section, says.
async fn ingest(
    stage: &AnvilFixture,
    config: ChainConfig,
    text: &str,
) -> (RunningWriter, Arc<OnChainSources>) {
    let prices = toml::from_str(text).unwrap();
    let sources = Arc::new(OnChainSources::new(&prices, CHAIN).unwrap());
    let (signals, queue) = PriceSignals::new();
    let context = ChainContext {
        first_chain: CHAIN,
        store: stage.store.clone(),
        publisher: stage.bus.publisher(),
        decoder: sources.clone(),
        signals,
        contracts: stage.contracts.clone(),
    };
    let ingest = ChainIngest::connect(config, context).await.unwrap();
    let stop = CancellationToken::new();
    let task = tokio::spawn(ingest.run(stop.clone()));
    (RunningWriter { stop, task, queue }, sources)
}

/// The prices of a source in the order of the chain.
async fn prices(stage: &AnvilFixture, source: &str) -> Vec<String> {
    sqlx::query_scalar(
        "SELECT trim_scale(price)::text FROM ticks WHERE source = $1 ORDER BY block_number, log_index",
    )
    .bind(source)
    .fetch_all(&mut *stage.connection().await)
    .await
    .unwrap()
}

async fn until_last(stage: &AnvilFixture, source: &str, price: &str) -> Vec<String> {
    let what = format!("{price} of {source}");
    eventually(&what, async || {
        let all = prices(stage, source).await;
        (all.last().map(String::as_str) == Some(price)).then_some(all)
    })
    .await
}

/// No tick is of a block that is not stored.
async fn assert_ticks_are_of_stored_blocks(stage: &AnvilFixture) {
    let strays = stage
        .count(
            "SELECT count(*) FROM ticks t WHERE NOT EXISTS (
                 SELECT FROM blocks b WHERE b.chain_id = t.chain_id AND b.number = t.block_number
                     AND b.hash = t.block_hash)",
        )
        .await;
    assert_eq!(strays, 0);
}

#[tokio::test]
async fn a_proxy_is_followed_to_its_next_aggregator_and_its_answer_is_there_at_once() {
    let stage = AnvilFixture::new().await;
    let old = feed(&stage, usd(2_000)).await;
    let new = feed(&stage, usd(2_500)).await;
    let proxy = create(&stage, PROXY, (old,).abi_encode_params()).await;
    stage.control.mine(1).await.unwrap();
    let config = ChainConfig {
        start_block: stage.control.head().await.unwrap().0,
        ..stage.config()
    };
    let text = format!(
        "follow_interval_ms = 100\n[[tokens]]\nsymbol = 'ETH'\n
         [[sources]]\nkind = 'chainlink'\ntoken = 'ETH'\naddress = '{proxy}'"
    );
    let (running, _) = ingest(&stage, config, &text).await;
    assert_eq!(until_last(&stage, "chainlink", "2000").await, ["2000"]);
    let at_end = format!(
        "SELECT count(*) FROM ticks WHERE log_index = {}",
        LogOrigin::END_OF_BLOCK
    );
    assert_eq!(stage.count(&at_end).await, 1);

    answer(&stage, old, usd(2_100)).await;
    until_last(&stage, "chainlink", "2100").await;
    answer(&stage, new, usd(2_900)).await;
    perform(&stage, proxy, &Contracts::changeCall { aggregator: new }).await;
    until_last(&stage, "chainlink", "2900").await;
    answer(&stage, old, usd(9_999)).await;
    answer(&stage, new, usd(3_100)).await;
    let all = until_last(&stage, "chainlink", "3100").await;
    assert_eq!(all, ["2000", "2100", "2900", "3100"]);

    // The blocks of all of them are dropped.
    let depth = stage.caught_up().await.number - stage.state().await.start_block;
    stage.control.reorg(depth).await.unwrap();
    stage.caught_up().await;
    assert_ticks_are_of_stored_blocks(&stage).await;
    running.stop().await;
}

#[tokio::test]
async fn what_the_proxy_answers_counts_though_another_aggregator_said_something_later() {
    let stage = AnvilFixture::new().await;
    let old = feed(&stage, usd(2_000)).await;
    let new = feed(&stage, usd(2_500)).await;
    let proxy = create(&stage, PROXY, (old,).abi_encode_params()).await;
    let text = format!(
        "follow_interval_ms = 100\n[[tokens]]\nsymbol = 'ETH'\n
         [[sources]]\nkind = 'chainlink'\ntoken = 'ETH'\naddress = '{proxy}'"
    );
    let (running, _) = ingest(&stage, stage.config(), &text).await;
    until_last(&stage, "chainlink", "2000").await;
    answer(&stage, old, usd(2_100)).await;
    until_last(&stage, "chainlink", "2100").await;
    running.stop().await;

    // The proxy changes while nobody looks, and its aggregator says nothing since. What the one before says afterwards
    // is nobody's.
    perform(&stage, proxy, &Contracts::changeCall { aggregator: new }).await;
    answer(&stage, old, usd(9_999)).await;
    let (running, _) = ingest(&stage, stage.config(), &text).await;
    let before = until_last(&stage, "chainlink", "2500").await;
    assert!(!before.contains(&"9999".to_owned()), "{before:?}");

    // Back to the first, which said something before the other did.
    answer(&stage, new, usd(3_100)).await;
    until_last(&stage, "chainlink", "3100").await;
    perform(&stage, proxy, &Contracts::changeCall { aggregator: old }).await;
    until_last(&stage, "chainlink", "9999").await;
    running.stop().await;
}

#[tokio::test]
async fn a_restart_does_not_store_an_answer_again() {
    let stage = AnvilFixture::new().await;
    let feed = feed(&stage, usd(2_000)).await;
    let text = format!(
        "follow_interval_ms = 100\n[[tokens]]\nsymbol = 'ETH'\n
         [[sources]]\nkind = 'chainlink'\ntoken = 'ETH'\naddress = '{feed}'"
    );
    for _ in 0..2 {
        let (running, _) = ingest(&stage, stage.config(), &text).await;
        stage.control.mine(1).await.unwrap();
        stage.caught_up().await;
        running.stop().await;
    }
    let (running, _) = ingest(&stage, stage.config(), &text).await;
    answer(&stage, feed, usd(2_001)).await;
    let all = until_last(&stage, "chainlink", "2001").await;
    assert_eq!(all, ["2000", "2001"]);
    running.stop().await;
}

#[tokio::test]
async fn a_source_whose_decimals_are_not_its_contract_s_is_refused_before_it_gives_a_price() {
    let stage = AnvilFixture::new().await;
    let feed = feed(&stage, usd(2_000)).await;
    let text = format!(
        "[[tokens]]\nsymbol = 'ETH'\n
         [[sources]]\nkind = 'chainlink'\ntoken = 'ETH'\naddress = '{feed}'\ndecimals = 18"
    );
    let (running, sources) = ingest(&stage, stage.config(), &text).await;
    stage.caught_up().await;
    let (_, state) = sources.states().remove(0);
    assert_eq!(
        state.reason(),
        Some("decimals is 18 in the configuration but 8 in the contract")
    );
    answer(&stage, feed, usd(2_100)).await;
    stage.caught_up().await;
    assert!(prices(&stage, "chainlink").await.is_empty());
    running.stop().await;
}

#[tokio::test]
async fn a_contract_of_another_kind_is_told_as_what_it_is_not() {
    let stage = AnvilFixture::new().await;
    let arguments = ("AAA".to_owned(), "AAA".to_owned(), U256::from(18)).abi_encode_params();
    let token = create(&stage, TOKEN, arguments.clone()).await;
    let other = create(&stage, TOKEN, arguments).await;
    let arguments = (token, other, root(2)).abi_encode_params();
    let pool = create(&stage, POOL, arguments).await;
    let text = format!(
        "[[tokens]]\nsymbol = 'ETH'\n
         [[sources]]\nkind = 'chainlink'\ntoken = 'ETH'\naddress = '{token}'\n
         [[sources]]\nkind = 'uniswap-v2'\ntoken = 'ETH'\naddress = '{pool}'\nquote = 'USD'\nbase = 0\n
         base_decimals = 18\nquote_decimals = 18"
    );
    let (running, sources) = ingest(&stage, stage.config(), &text).await;
    stage.caught_up().await;
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
    // A pool may yet be put there.
    assert!(sources.needs_retry(CHAIN));
    running.stop().await;
}

#[tokio::test]
async fn a_pool_says_what_it_is_and_its_average_goes_with_the_chain() {
    let stage = AnvilFixture::new().await;
    let mut tokens = Vec::new();
    for symbol in ["AAA", "BBB"] {
        let arguments = (symbol.to_owned(), symbol.to_owned(), U256::from(18)).abi_encode_params();
        tokens.push(create(&stage, TOKEN, arguments).await);
    }
    let arguments = (tokens[0], tokens[1], root(2)).abi_encode_params();
    let pool = create(&stage, POOL, arguments).await;
    // Token 0 is priced, so that a root of 2 is a price of 4.
    let base = tokens.iter().min().unwrap();
    let text = format!(
        "follow_interval_ms = 100\n[[tokens]]\nsymbol = 'ETH'\naddress = '{base}'\n
         [[sources]]\nkind = 'uniswap-v3'\ntoken = 'ETH'\naddress = '{pool}'\nquote = 'USD'\nmin_liquidity = 1000\n
         [[sources]]\nkind = 'uniswap-v3'\ntoken = 'ETH'\naddress = '{pool}'\nquote = 'USD'\nprice = 'twap'\ntwap_seconds = 60"
    );
    let (running, _) = ingest(&stage, stage.config(), &text).await;
    stage.caught_up().await;
    let start = time_of_head(&stage).await + 100;
    swap_at(&stage, pool, start, 2).await;
    swap_at(&stage, pool, start + 60, 4).await;
    mine_at(&stage, start + 90).await;
    swap_at(&stage, pool, start + 100, 1).await;
    mine_at(&stage, start + 160).await;
    mine_at(&stage, start + 170).await;
    stage.caught_up().await;
    assert_eq!(prices(&stage, "uniswap-v3").await, ["4", "16", "1"]);
    assert_eq!(
        prices(&stage, "uniswap-v3-twap").await,
        ["4", "10", "12", "1"]
    );

    swap_at(&stage, pool, start + 180, 2).await;
    mine_at(&stage, start + 210).await;
    stage.caught_up().await;
    until_last(&stage, "uniswap-v3-twap", "2.5").await;
    stage.control.reorg(2).await.unwrap();
    stage.caught_up().await;
    assert_ticks_are_of_stored_blocks(&stage).await;
    let all = prices(&stage, "uniswap-v3-twap").await;
    assert_eq!(all.last().map(String::as_str), Some("1"), "{all:?}");
    assert!(!all.contains(&"2.5".to_owned()), "{all:?}");

    // What the window held before a restart, and before the reorg, is read from the stored logs.
    swap_at(&stage, pool, start + 1_000, 4).await;
    stage.caught_up().await;
    running.stop().await;
    mine_at(&stage, start + 1_030).await;
    let (running, _) = ingest(&stage, stage.config(), &text).await;
    stage.caught_up().await;
    until_last(&stage, "uniswap-v3-twap", "8.5").await;
    running.stop().await;
}

/// Blocks one second apart.
async fn mine_seconds(stage: &AnvilFixture, blocks: u64) {
    let start = time_of_head(stage).await;
    for after in 1..=blocks {
        mine_at(stage, start + after).await;
    }
}

/// The blocks and prices of the ticks of a source, in the order of the chain.
async fn averages_by_block(stage: &AnvilFixture, source: &str) -> Vec<(i64, String)> {
    sqlx::query_as(
        "SELECT block_number, trim_scale(price)::text FROM ticks WHERE source = $1 AND log_index = $2
         ORDER BY block_number",
    )
    .bind(source)
    .bind(LogOrigin::END_OF_BLOCK as i32)
    .fetch_all(&mut *stage.connection().await)
    .await
    .unwrap()
}

async fn forget_ticks(stage: &AnvilFixture) {
    sqlx::query("DELETE FROM ticks")
        .execute(&mut *stage.connection().await)
        .await
        .unwrap();
    assert_eq!(stage.count("SELECT count(*) FROM ticks").await, 0);
}

/// A pool with 18 decimals and the `[prices]` of its average over so many seconds.
async fn averaged_pool(stage: &AnvilFixture, seconds: u64) -> (Address, String) {
    let mut tokens = Vec::new();
    for symbol in ["AAA", "BBB"] {
        let arguments = (symbol.to_owned(), symbol.to_owned(), U256::from(18)).abi_encode_params();
        tokens.push(create(stage, TOKEN, arguments).await);
    }
    let arguments = (tokens[0], tokens[1], root(2)).abi_encode_params();
    let pool = create(stage, POOL, arguments).await;
    let base = tokens.iter().min().unwrap();
    let text = format!(
        "follow_interval_ms = 100\n[[tokens]]\nsymbol = 'ETH'\naddress = '{base}'\n
         [[sources]]\nkind = 'uniswap-v3'\ntoken = 'ETH'\naddress = '{pool}'\nquote = 'USD'\nprice = 'twap'\n
         twap_seconds = {seconds}"
    );
    (pool, text)
}

#[tokio::test]
async fn average_added_later_has_the_past_of_one_from_the_start() {
    const SOURCE: &str = "uniswap-v3-twap";
    let stage = AnvilFixture::new().await;
    let (pool, text) = averaged_pool(&stage, 60).await;
    let start = time_of_head(&stage).await + 100;
    swap_at(&stage, pool, start, 2).await;
    let middle = start + 60;
    swap_at(&stage, pool, middle, 4).await;
    let (running, _) = ingest(&stage, stage.config(), &text).await;
    mine_seconds(&stage, 30).await;
    swap_at(&stage, pool, middle + 31, 1).await;
    mine_seconds(&stage, 20).await;
    swap_at(&stage, pool, middle + 52, 3).await;
    // Past 1,000 blocks, which are decoded at once: the seam lies where the average moves.
    mine_seconds(&stage, 980).await;
    let head = stage.caught_up().await;
    until_decoded(&stage, SOURCE).await;
    running.stop().await;
    let live = averages_by_block(&stage, SOURCE).await;
    // At the second swap, and at each block until the last price is alone.
    assert_eq!(live.len(), 1 + 31 + 21 + 60, "{live:?}");
    assert_eq!(live.last().unwrap().1, "9");

    // Configured when all blocks are stored.
    let (running, _) = ingest(&stage, stage.config(), "").await;
    eventually("a source that is not configured is forgotten", async || {
        (stage.count("SELECT count(*) FROM price_pasts").await == 0).then_some(())
    })
    .await;
    running.stop().await;
    forget_ticks(&stage).await;
    let (running, _) = ingest(&stage, stage.config(), &text).await;
    until_decoded(&stage, SOURCE).await;
    assert_eq!(averages_by_block(&stage, SOURCE).await, live);
    // Its window has what was stored: the next average is there with the next swap.
    let next = time_of_head(&stage).await + 10;
    swap_at(&stage, pool, next, 2).await;
    mine_at(&stage, next + 30).await;
    until_last(&stage, SOURCE, "6.5").await;
    // A reorg takes what it drops, and nothing else.
    stage.control.reorg(2).await.unwrap();
    stage.caught_up().await;
    until_decoded(&stage, SOURCE).await;
    assert_ticks_are_of_stored_blocks(&stage).await;
    assert_eq!(averages_by_block(&stage, SOURCE).await, live);
    running.stop().await;

    // Another length of the window replaces what there was.
    let shorter = text.replace("twap_seconds = 60", "twap_seconds = 10");
    let (running, _) = ingest(&stage, stage.config(), &shorter).await;
    let up_to_head = format!(
        "SELECT count(*) FROM ticks WHERE source = '{SOURCE}' AND block_number <= {}",
        head.number
    );
    eventually("the averages of the shorter window alone", async || {
        (stage.count(&up_to_head).await == 1 + 10 + 11 + 11).then_some(())
    })
    .await;
    running.stop().await;
}

#[tokio::test]
async fn averages_follow_when_older_blocks_are_added() {
    const SOURCE: &str = "uniswap-v3-twap";
    let stage = AnvilFixture::new().await;
    let (pool, text) = averaged_pool(&stage, 60).await;
    let start = time_of_head(&stage).await + 100;
    swap_at(&stage, pool, start, 2).await;
    mine_at(&stage, start + 70).await;
    swap_at(&stage, pool, start + 80, 4).await;
    mine_at(&stage, start + 90).await;
    let first = stage.control.head().await.unwrap().0;
    mine_at(&stage, start + 100).await;
    swap_at(&stage, pool, start + 110, 1).await;
    mine_at(&stage, start + 200).await;
    let config = ChainConfig {
        start_block: first,
        ..stage.config()
    };
    let (running, _) = ingest(&stage, config, &text).await;
    stage.caught_up().await;
    until_decoded(&stage, SOURCE).await;
    running.stop().await;
    assert_eq!(prices(&stage, SOURCE).await, ["1"]);

    let (signals, _) = PriceSignals::new();
    let sources = toml::from_str(&text).unwrap();
    let context = ChainContext {
        first_chain: CHAIN,
        store: stage.store.clone(),
        publisher: stage.bus.publisher(),
        decoder: Arc::new(OnChainSources::new(&sources, CHAIN).unwrap()),
        signals,
        contracts: stage.contracts.clone(),
    };
    let backfill = Backfill::new(stage.config(), context, 0, None).unwrap();
    let stop = CancellationToken::new();
    backfill.run(&stop, |_| {}).await.unwrap();
    let (running, _) = ingest(&stage, stage.config(), &text).await;
    until_decoded(&stage, SOURCE).await;
    // At 70, 80, 90, 100 and 110 s, of which the later ones lacked the prices below the first block; and at 200 s.
    assert_eq!(
        prices(&stage, SOURCE).await,
        ["4", "4", "6", "8", "10", "1"]
    );
    running.stop().await;
}

/// Ticks of logs, as far as they are not of the end of a block.
fn of_logs(source: &str) -> String {
    format!(
        "SELECT count(*) FROM ticks WHERE source = '{source}' AND log_index <> {}",
        LogOrigin::END_OF_BLOCK
    )
}

/// The prices that the logs of a source gave, in the order of the chain.
async fn told(stage: &AnvilFixture, source: &str) -> Vec<String> {
    sqlx::query_scalar(
        "SELECT trim_scale(price)::text FROM ticks WHERE source = $1 AND log_index <> $2
         ORDER BY block_number, log_index",
    )
    .bind(source)
    .bind(LogOrigin::END_OF_BLOCK as i32)
    .fetch_all(&mut *stage.connection().await)
    .await
    .unwrap()
}

async fn until_decoded(stage: &AnvilFixture, source: &str) {
    let sql = format!(
        "SELECT count(*) FROM price_pasts p JOIN chains c USING (chain_id)
         WHERE source = '{source}' AND decoded_from <= start_block AND decoded_through = head_number"
    );
    let what = format!("the past of {source}");
    eventually(&what, async || (stage.count(&sql).await == 1).then_some(())).await;
}

#[tokio::test]
async fn a_source_that_comes_later_has_its_past() {
    let stage = AnvilFixture::new().await;
    let feed = feed(&stage, usd(2_000)).await;
    for whole in 2_001..2_012 {
        answer(&stage, feed, usd(whole)).await;
    }
    // Indexed without the source.
    let (running, _) = ingest(&stage, stage.config(), "").await;
    stage.caught_up().await;
    running.stop().await;
    assert_eq!(stage.count("SELECT count(*) FROM ticks").await, 0);

    let text = format!(
        "[[tokens]]\nsymbol = 'ETH'\n[[sources]]\nkind = 'chainlink'\ntoken = 'ETH'\naddress = '{feed}'"
    );
    let (running, _) = ingest(&stage, stage.config(), &text).await;
    until_decoded(&stage, "chainlink").await;
    let logs = format!(
        "SELECT count(*) FROM logs WHERE address = '\\x{feed:x}' AND topic0 = '\\x{:x}'",
        B256::from_slice(&alloy::primitives::hex!(
            "0559884fd3a460db3073b7fc896cc77986f16e378210ded43186175bf646fc5f"
        ))
    );
    let past = told(&stage, "chainlink").await;
    assert_eq!(past.len() as i64, stage.count(&logs).await);
    let expected: Vec<String> = (2_001..2_012).map(|whole: i64| whole.to_string()).collect();
    assert!(past.ends_with(&expected), "{past:?}");
    // What comes goes on, and nothing is twice.
    answer(&stage, feed, usd(2_012)).await;
    until_last(&stage, "chainlink", "2012").await;
    assert_eq!(
        stage.count(&of_logs("chainlink")).await,
        past.len() as i64 + 1
    );

    // The chain goes back, below what was decoded live.
    stage.control.reorg(4).await.unwrap();
    stage.caught_up().await;
    until_decoded(&stage, "chainlink").await;
    assert_ticks_are_of_stored_blocks(&stage).await;
    let left = stage.count(&logs).await;
    assert_eq!(stage.count(&of_logs("chainlink")).await, left);
    running.stop().await;

    // Again from the start: all of it is there already.
    sqlx::query("UPDATE price_pasts SET decoded_from = decoded_through + 1")
        .execute(&mut *stage.connection().await)
        .await
        .unwrap();
    let (running, _) = ingest(&stage, stage.config(), &text).await;
    until_decoded(&stage, "chainlink").await;
    assert_eq!(stage.count(&of_logs("chainlink")).await, left);
    running.stop().await;

    // Another meaning of the same name takes the place of all that was.
    let (running, _) = ingest(&stage, stage.config(), &format!("{text}\nscale = 10")).await;
    let old = "SELECT count(*) FROM ticks WHERE price > 1000 AND log_index <> 2147483647";
    eventually("other ticks", async || {
        (stage.count(old).await == 0).then_some(())
    })
    .await;
    until_decoded(&stage, "chainlink").await;
    assert_eq!(stage.count(&of_logs("chainlink")).await, left);
    running.stop().await;
}

#[tokio::test]
async fn past_ticks_that_are_older_than_ticks_are_kept_are_left_out() {
    let stage = AnvilFixture::new().await;
    let feed = feed(&stage, usd(2_000)).await;
    answer(&stage, feed, usd(2_001)).await;
    let (running, _) = ingest(&stage, stage.config(), "").await;
    stage.caught_up().await;
    running.stop().await;
    // A month and more ago by their headers, as stored.
    sqlx::query("UPDATE blocks SET timestamp = timestamp - 40 * 86400")
        .execute(&mut *stage.connection().await)
        .await
        .unwrap();
    let text = format!(
        "[[tokens]]\nsymbol = 'ETH'\n[[sources]]\nkind = 'chainlink'\ntoken = 'ETH'\naddress = '{feed}'"
    );
    let (running, _) = ingest(&stage, stage.config(), &text).await;
    until_decoded(&stage, "chainlink").await;
    assert_eq!(stage.count(&of_logs("chainlink")).await, 0);
    running.stop().await;
}
