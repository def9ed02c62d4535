//! Tests with a real chain, and of the arithmetic.

use super::*;
use crate::{Anvil, AnvilOptions, ChainControl, deploy_or_load};
use chaincast_testkit::{test_dir::TestDir, test_port::reusable_port};

struct MarketFixture {
    _dir: TestDir,
    anvil: Anvil,
    deployment: Deployment,
    market: Market,
}

async fn start_market(seed: u64) -> MarketFixture {
    let dir = TestDir::new("market");
    let anvil = Anvil::start(&AnvilOptions::default()).await.unwrap();
    let deployment = deploy_or_load(&anvil.http_url(), dir.path()).await.unwrap();
    let market = Market::new(&anvil.http_url(), &deployment, Some(seed))
        .await
        .unwrap();
    MarketFixture {
        _dir: dir,
        anvil,
        deployment,
        market,
    }
}

/// The price of each pair in millionths of the quote token.
async fn pair_prices(node: &Node, deployment: &Deployment) -> Vec<u128> {
    let mut prices = Vec::new();
    for pair in &deployment.pairs {
        let held = node
            .read(pair.address, &Pair::getReservesCall {})
            .await
            .unwrap();
        let (base, quote) = reserves(pair, held.reserve0, held.reserve1);
        let scale = U256::from(10).pow(U256::from(pair.base_decimals));
        prices.push((quote * scale / base).to());
    }
    prices
}

#[tokio::test]
async fn step_moves_every_price_slightly() {
    let MarketFixture {
        _dir,
        anvil,
        deployment,
        mut market,
    } = start_market(1).await;
    for _ in 0..3 {
        let before = pair_prices(&market.node, &deployment).await;
        market.step().await.unwrap();
        let after = pair_prices(&market.node, &deployment).await;
        for (before, after) in before.iter().zip(&after) {
            assert_ne!(before, after);
            let moved = before.abs_diff(*after) * 1_000_000 / before;
            assert!(moved < 5_000, "moved by {moved} millionths");
        }
    }
    anvil.stop().await.unwrap();
}

#[tokio::test]
async fn market_continues_from_answers_on_chain() {
    let MarketFixture {
        _dir,
        anvil,
        deployment,
        market,
    } = start_market(2).await;
    let sent = market.set_feed("ETH", 400_000_000_000).await.unwrap();
    market.node.mined(&[sent]).await.unwrap();
    let second = Market::new(&anvil.http_url(), &deployment, Some(2))
        .await
        .unwrap();
    assert_eq!(second.walks[0].1.price(), 400_000_000_000);
    anvil.stop().await.unwrap();
}

#[tokio::test]
async fn one_block_holds_several_transactions() {
    let MarketFixture {
        _dir,
        anvil,
        deployment: _,
        market,
    } = start_market(3).await;
    let control = ChainControl::new(market.node().clone());
    control.set_automine(false).await.unwrap();
    let (from, to) = (market.holders()[0], market.holders()[1]);
    let before = market.node.block_number().await.unwrap();
    let sent = [
        market.set_feed("BTC", 7_000_000_000_000).await.unwrap(),
        market
            .transfer("LINK", from, to, U256::from(77))
            .await
            .unwrap(),
        market
            .swap("ETH", true, U256::from(1_000_000_000_000_000_000_u64))
            .await
            .unwrap(),
    ];
    control.mine(1).await.unwrap();
    market.node.mined(&sent).await.unwrap();
    assert_eq!(market.node.block_number().await.unwrap(), before + 1);
    anvil.stop().await.unwrap();
}

#[tokio::test]
async fn reverted_transaction_is_an_error() {
    let MarketFixture {
        _dir,
        anvil,
        deployment: _,
        market,
    } = start_market(4).await;
    let (from, to) = (market.holders()[0], market.holders()[1]);
    let refused = match market.transfer("USDC", from, to, U256::MAX).await {
        Ok(sent) => market.node.mined(&[sent]).await,
        Err(error) => Err(error),
    };
    assert!(refused.is_err());
    assert!(matches!(
        market.set_feed("DOGE", 1).await,
        Err(DevError::UnknownToken { .. })
    ));
    anvil.stop().await.unwrap();
}

#[tokio::test]
async fn market_survives_node_restart() {
    let dir = TestDir::new("market-retry");
    let options = AnvilOptions {
        port: reusable_port(),
        state_file: Some(dir.path().join("state.json")),
        ..AnvilOptions::default()
    };
    let anvil = Anvil::start(&options).await.unwrap();
    let url = anvil.http_url();
    let deployment = deploy_or_load(&url, dir.path()).await.unwrap();
    let stop = CancellationToken::new();
    let market = tokio::spawn({
        let (url, deployment, stop) = (url.clone(), deployment.clone(), stop.clone());
        let options = MarketOptions {
            seed: Some(5),
            step: Duration::from_millis(10),
        };
        async move { run_market(&url, &deployment, options, stop).await }
    });
    let node = Node::connect(&url).unwrap();
    let grows_beyond = async |height: u64| {
        let grows = async {
            while node.block_number().await.unwrap() <= height {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(180), grows)
            .await
            .unwrap();
    };
    let height = node.block_number().await.unwrap();
    grows_beyond(height).await;

    anvil.stop().await.unwrap();
    let anvil = Anvil::start(&options).await.unwrap();
    let height = node.block_number().await.unwrap();
    grows_beyond(height).await;

    stop.cancel();
    market.await.unwrap().unwrap();
    anvil.stop().await.unwrap();
}

#[test]
fn amount_moves_pair_to_price() {
    let pair = DemoPair {
        token: "ETH".into(),
        address: Address::ZERO,
        base_is_token0: true,
        base_decimals: 18,
        quote_decimals: 6,
        quote_token: "USDC".into(),
    };
    let ether = U256::from(10).pow(U256::from(18));
    let dollar = U256::from(1_000_000);
    // 1,000 ETH and 4,000,000 USDC: 4,000 USDC per ETH. At 1,000 there are 2,000 ETH, at 16,000 there are 8,000,000
    // USDC.
    let (base, quote) = (ether * U256::from(1_000), dollar * U256::from(4_000_000));
    let to_price = |dollars: i64| amount_to_price(base, quote, &pair, dollars * 100_000_000);
    assert_eq!(to_price(1_000), (true, ether * U256::from(1_000)));
    assert_eq!(to_price(16_000), (false, dollar * U256::from(4_000_000)));
    assert_eq!(to_price(4_000), (false, U256::ZERO));
}
