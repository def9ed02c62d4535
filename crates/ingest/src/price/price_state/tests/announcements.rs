//! Which ticks change a price, and when a price is announced.

use super::*;

#[test]
fn tick_updates_its_token_and_tokens_quoted_in_it() {
    let mut state = state();
    let btc = tick("BTC", "feed", "USD", "60000", (1, 0));
    assert_eq!(after(&mut state, btc, NOW), [published("BTC", "60000")]);
    let pool = tick("ETH", "pool", "BTC", "0.05", (1, 1));
    assert_eq!(after(&mut state, pool, NOW), [published("ETH", "3000")]);
    let eth = tick("ETH", "feed", "USD", "3000", (1, 2));
    // A second source, and the same price.
    assert_eq!(after(&mut state, eth, NOW), [published("ETH", "3000")]);
    let uni = tick("UNI", "pool", "ETH", "0.002", (1, 3));
    assert_eq!(after(&mut state, uni, NOW), [published("UNI", "6")]);
    // In the order of the configuration.
    let eth = tick("ETH", "feed", "USD", "3100", (2, 0));
    let expected = [published("UNI", "6.2"), published("ETH", "3050")];
    assert_eq!(after(&mut state, eth, NOW), expected);
    let btc = tick("BTC", "feed", "USD", "62000", (2, 1));
    let expected = [published("ETH", "3100"), published("BTC", "62000")];
    assert_eq!(after(&mut state, btc, NOW), expected);
}

#[test]
fn token_two_steps_from_usd_follows_every_rate() {
    let config: PriceConfig = toml::from_str(
        "[[tokens]]\nsymbol = 'PEPE'\n[[tokens]]\nsymbol = 'WETH'\n[[tokens]]\nsymbol = 'USDT'
         [[sources]]\nkind = 'chainlink'\ntoken = 'USDT'\nname = 'feed'\ndecimals = 8
         address = '0x0000000000000000000000000000000000000001'
         [[sources]]\nkind = 'uniswap-v2'\ntoken = 'WETH'\nname = 'pool'\nbase = 0
         quote = 'USDT'\nbase_decimals = 18\nquote_decimals = 6
         address = '0x0000000000000000000000000000000000000002'
         [[sources]]\nkind = 'uniswap-v2'\ntoken = 'PEPE'\nname = 'pool'\nbase = 0
         quote = 'WETH'\nbase_decimals = 18\nquote_decimals = 18
         address = '0x0000000000000000000000000000000000000003'",
    )
    .unwrap();
    config.validate().unwrap();
    let mut state = PriceState::new(&config, 1);
    let pepe = tick("PEPE", "pool", "WETH", "0.00001", (1, 0));
    assert!(after(&mut state, pepe, NOW).is_empty());
    let weth = tick("WETH", "pool", "USDT", "3000", (1, 1));
    assert!(after(&mut state, weth, NOW).is_empty());
    // A rate of one dollar is not assumed.
    let usdt = tick("USDT", "feed", "USD", "0.9", (1, 2));
    let expected = [
        published("PEPE", "0.027"),
        published("WETH", "2700"),
        published("USDT", "0.9"),
    ];
    assert_eq!(after(&mut state, usdt, NOW), expected);
    let usdt = tick("USDT", "feed", "USD", "1", (2, 0));
    assert_eq!(after(&mut state, usdt, NOW)[0], published("PEPE", "0.03"));
}

#[test]
fn late_tick_does_not_replace_newer() {
    let mut state = state();
    state.apply_ticks(&[tick("BTC", "feed", "USD", "60000", (5, 3))]);
    for late in [(5, 3), (5, 2), (4, 9)] {
        let affected = state.apply_ticks(&[tick("BTC", "feed", "USD", "1", late)]);
        assert!(affected.is_empty());
    }
    // Chain order wins over the time that the log claims.
    let mut next = tick("BTC", "feed", "USD", "61000", (5, 4));
    next.observed_at = NOW - 30_000;
    state.apply_ticks(&[next]);
    assert_eq!(announce(&mut state, NOW), [published("BTC", "61000")]);
}

#[test]
fn ignores_ticks_of_unconfigured_sources() {
    let mut state = state();
    let strangers = [
        tick("DOGE", "feed", "USD", "1", (1, 0)),
        tick("BTC", "other", "USD", "1", (1, 1)),
        tick("BTC", "feed", "ETH", "1", (1, 2)),
    ];
    assert!(!strangers.iter().any(|tick| state.knows(tick)));
    assert!(state.apply_ticks(&strangers).is_empty());
    assert!(state.evaluate_all(NOW).is_empty());
}

#[test]
fn unchanged_price_only_updates_its_times() {
    let mut state = state();
    state.apply_ticks(&[tick("BTC", "feed", "USD", "60000", (1, 0))]);
    assert_eq!(announce(&mut state, NOW).len(), 1);
    assert!(state.take_confirmed().is_empty());
    state.apply_ticks(&[tick("BTC", "feed", "USD", "60000.00", (9, 0))]);
    assert!(state.evaluate_all(NOW).is_empty());
    let moved = state.take_confirmed();
    assert_eq!(moved[0].observed_at, NOW + 9_000);
    assert_eq!(moved[0].expires_at, NOW + 69_000);
    assert_eq!(moved[0].details[0].block.unwrap().number, 9);
    assert!(state.take_confirmed().is_empty());
    assert!(state.evaluate_all(NOW).is_empty());
}

#[test]
fn announces_newest_price_once_per_interval() {
    let mut state = with("min_interval_ms = 250\npublish_heartbeat_ms = 5000\n");
    let btc = |price, block| tick("BTC", "feed", "USD", price, (block, 0));
    assert_eq!(after(&mut state, btc("1", 1), NOW), [published("BTC", "1")]);
    assert_eq!(state.next_due(), Some(NOW + 5_000));
    assert!(after(&mut state, btc("2", 2), NOW + 10).is_empty());
    assert!(after(&mut state, btc("3", 3), NOW + 200).is_empty());
    assert_eq!(state.next_due(), Some(NOW + 250));
    let due = state.evaluate(TokenPositions::new(), NOW + 250);
    assert_eq!(commit(&mut state, due, NOW + 250), [published("BTC", "3")]);
    // Without a new tick it is announced again at its heartbeat.
    let beat = NOW + 5_250;
    assert_eq!(state.next_due(), Some(beat));
    let due = state.evaluate(TokenPositions::new(), beat);
    assert_eq!(commit(&mut state, due, beat), [published("BTC", "3")]);
}

#[test]
fn change_reverted_within_interval_is_not_announced() {
    let mut state = with("min_interval_ms = 250\n");
    let btc = |price, block| tick("BTC", "feed", "USD", price, (block, 0));
    after(&mut state, btc("1", 1), NOW);
    assert!(after(&mut state, btc("2", 2), NOW + 10).is_empty());
    assert!(after(&mut state, btc("1", 3), NOW + 20).is_empty());
    assert!(state.evaluate(TokenPositions::new(), NOW + 250).is_empty());
    assert_eq!(state.next_due(), None);
}

#[test]
fn later_of_two_feed_ticks_of_equal_time_counts() {
    let mut state = state();
    let at = |price| Tick {
        origin: None,
        ..tick("BTC", "feed", "USD", price, (1, 0))
    };
    state.apply_ticks(&[at("1"), at("2")]);
    assert_eq!(announce(&mut state, NOW + 1_000), [published("BTC", "2")]);
    let earlier = Tick {
        observed_at: NOW,
        ..at("3")
    };
    assert!(state.apply_ticks(&[earlier]).is_empty());
}

#[test]
fn announces_source_that_becomes_outlier() {
    let mut text = "publish_bps = 100\n[[tokens]]\nsymbol = 'BTC'\n".to_owned();
    for (at, name) in ["a", "b", "c"].iter().enumerate() {
        text += &format!(
            "[[sources]]\nkind = 'chainlink'\ntoken = 'BTC'\nname = '{name}'\ndecimals = 8\nmax_age_ms = 60000\n\
             address = '0x{:040x}'\n",
            at + 1
        );
    }
    let mut state = PriceState::new(&toml::from_str(&text).unwrap(), 1);
    state.apply_ticks(&[
        tick("BTC", "a", "USD", "100", (1, 0)),
        tick("BTC", "b", "USD", "100", (1, 1)),
        tick("BTC", "c", "USD", "100.5", (1, 2)),
    ]);
    assert_eq!(announce(&mut state, NOW), [published("BTC", "100")]);
    for (price, used) in [("200", 2), ("100.5", 3)] {
        let affected = state.apply_ticks(&[tick("BTC", "c", "USD", price, (used, 0))]);
        let changed = state.evaluate(affected, NOW);
        assert_eq!(changed.len(), 1, "{price}");
        assert_eq!(changed[0].status, PriceStatus::Ok);
        assert_eq!(changed[0].sources.len() as u64, used, "{price}");
        assert_eq!(commit(&mut state, changed, NOW), [published("BTC", "100")]);
    }
}

#[test]
fn reload_drops_ticks_missing_in_store() {
    let mut state = state();
    state.apply_ticks(&[tick("BTC", "feed", "USD", "60000", (1, 0))]);
    state.apply_ticks(&[tick("BTC", "feed", "USD", "90000", (2, 0))]);
    announce(&mut state, NOW);
    let of_a_venue = Tick {
        origin: None,
        ..tick("ETH", "feed", "USD", "3000", (1, 0))
    };
    state.apply_ticks(&[of_a_venue]);
    assert_eq!(announce(&mut state, NOW), [published("ETH", "3000")]);
    state.reload_chain_ticks(&[tick("BTC", "feed", "USD", "60000", (1, 0))]);
    assert_eq!(announce(&mut state, NOW), [published("BTC", "60000")]);
}
