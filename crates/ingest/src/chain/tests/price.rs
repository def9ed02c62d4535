//! Price contracts on a real chain: followed proxies, facts of contracts, averages, and price backfill.

mod averages;
mod contracts;
mod stored_logs;

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
use crate::{Backfill, ChainContext, PriceSignals, chain::ChainIngest};
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
