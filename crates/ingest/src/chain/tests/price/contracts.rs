//! Facts of contracts, and proxies that are followed.

use super::*;

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
