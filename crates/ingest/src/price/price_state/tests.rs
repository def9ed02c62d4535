use bigdecimal::BigDecimal;

use super::*;
use chaincast_model::LogOrigin;
use chaincast_protocol::{B256, PriceStatus};

const NOW: i64 = 1_700_000_000_000;

/// ETH and BTC have feeds, ETH has a pool in BTC as well, and UNI only a pool in ETH.
fn state() -> PriceState {
    with("")
}

/// As `state`, with additional keys for all tokens.
fn with(keys: &str) -> PriceState {
    let free = match keys.contains("max_jump_bps") {
        true => "",
        false => "max_jump_bps = 0\n",
    };
    let config: PriceConfig = toml::from_str(&format!(
        "{free}{keys}[[tokens]]\nsymbol = 'UNI'\n[[tokens]]\nsymbol = 'ETH'\n[[tokens]]\nsymbol = 'BTC'
         [[sources]]\nkind = 'chainlink'\ntoken = 'ETH'\nname = 'feed'\ndecimals = 8\nmax_age_ms = 60000
         address = '0x0000000000000000000000000000000000000001'
         [[sources]]\nkind = 'chainlink'\ntoken = 'BTC'\nname = 'feed'\ndecimals = 8\nmax_age_ms = 60000
         address = '0x0000000000000000000000000000000000000002'
         [[sources]]\nkind = 'uniswap-v2'\ntoken = 'ETH'\nname = 'pool'\nmax_age_ms = 60000
         base = 0\nquote = 'BTC'\nbase_decimals = 18\nquote_decimals = 8
         address = '0x0000000000000000000000000000000000000003'
         [[sources]]\nkind = 'uniswap-v2'\ntoken = 'UNI'\nname = 'pool'\nmax_age_ms = 60000
         base = 0\nquote = 'ETH'\nbase_decimals = 18\nquote_decimals = 18
         address = '0x0000000000000000000000000000000000000004'",
    ))
    .unwrap();
    config.validate().unwrap();
    PriceState::new(&config, 1)
}

/// Observed one second per block after `NOW`.
fn tick(token: &str, source: &str, quote: &str, price: &str, at: (u64, u32)) -> Tick {
    let (block_number, log_index) = at;
    Tick {
        token: token.parse().unwrap(),
        source: source.into(),
        quote: quote.into(),
        price: price.parse().unwrap(),
        confidence: None,
        observed_at: NOW + block_number as i64 * 1_000,
        origin: Some(LogOrigin {
            chain_id: 1,
            block_number,
            block_hash: B256::ZERO,
            log_index,
        }),
    }
}

fn decimal(text: &str) -> BigDecimal {
    text.parse().unwrap()
}

fn published(token: &str, price: &str) -> (String, BigDecimal) {
    (token.to_owned(), decimal(price))
}

/// Records prices to announce, as a commit would; returns them.
fn commit(state: &mut PriceState, changed: Vec<Price>, now: i64) -> Vec<(String, BigDecimal)> {
    let published = changed
        .iter()
        .map(|price| (price.token.to_string(), price.price.clone()))
        .collect();
    state.record_announced(changed, now);
    published
}

fn announce(state: &mut PriceState, now: i64) -> Vec<(String, BigDecimal)> {
    let changed = state.evaluate_all(now);
    commit(state, changed, now)
}

/// Applies one tick as a round does; returns the announced prices.
fn after(state: &mut PriceState, tick: Tick, now: i64) -> Vec<(String, BigDecimal)> {
    let affected = state.apply_ticks(&[tick]);
    let changed = state.evaluate(affected, now);
    commit(state, changed, now)
}

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
fn clock_set_back_does_not_keep_feed_ticks_fresh() {
    let mut state = state();
    let at = |price, observed_at| Tick {
        origin: None,
        observed_at,
        ..tick("BTC", "feed", "USD", price, (0, 0))
    };
    let hour = 3_600_000;
    assert_eq!(
        after(&mut state, at("1", NOW + hour), NOW + hour),
        [published("BTC", "1")]
    );
    // An hour back: the next tick is newer, though its time is earlier.
    assert!(announce(&mut state, NOW).is_empty());
    assert_eq!(
        after(&mut state, at("2", NOW + 1), NOW + 1),
        [published("BTC", "2")]
    );
    // Without a new tick, its age counts from there.
    let stale = state.evaluate_all(NOW + 1 + 60_001);
    assert_eq!(stale[0].status, PriceStatus::Stale);
}

#[test]
fn prices_of_down_chain_are_stale_until_it_answers() {
    let mut state = state();
    for one in [
        tick("BTC", "feed", "USD", "60000", (1, 0)),
        tick("ETH", "pool", "BTC", "0.05", (1, 1)),
    ] {
        after(&mut state, one, NOW + 1_000);
    }
    let statuses = |state: &mut PriceState, down: &[ChainId]| {
        state.set_silent(SilentChains {
            down: down.iter().copied().collect(),
            ..SilentChains::default()
        });
        let changed = state.evaluate_all(NOW + 2_000);
        let statuses = changed
            .iter()
            .map(|price| {
                let reason = (price.status == PriceStatus::Stale).then_some(PriceReason::NodeDown);
                assert_eq!(price.reason, reason);
                (price.token.to_string(), price.price.clone(), price.status)
            })
            .collect::<Vec<_>>();
        state.record_announced(changed, NOW + 2_000);
        statuses
    };
    assert_eq!(statuses(&mut state, &[2]), [], "another chain");
    let all = |status| {
        let eth = ("ETH".to_owned(), decimal("3000"), status);
        vec![eth, ("BTC".to_owned(), decimal("60000"), status)]
    };
    assert_eq!(statuses(&mut state, &[1]), all(PriceStatus::Stale));
    assert_eq!(statuses(&mut state, &[1]), [], "once");
    assert_eq!(statuses(&mut state, &[]), all(PriceStatus::Ok));
}

#[test]
fn down_chain_ahead_of_clock_has_no_fresh_price() {
    let mut state = state();
    // By less than a minute, as clocks differ.
    state.apply_ticks(&[tick("BTC", "feed", "USD", "60000", (30, 0))]);
    assert_eq!(announce(&mut state, NOW).len(), 1);
    state.set_silent(SilentChains {
        down: [1].into_iter().collect(),
        ..SilentChains::default()
    });
    let stale = state.evaluate_all(NOW + 1);
    assert_eq!(stale[0].status, PriceStatus::Stale);
    assert_eq!(stale[0].reason, Some(PriceReason::NodeDown));
}

#[test]
fn new_writer_keeps_price_stale_while_node_is_unseen() {
    let mut first = state();
    for one in [
        tick("BTC", "feed", "USD", "60000", (1, 0)),
        tick("ETH", "feed", "USD", "3000", (1, 1)),
    ] {
        after(&mut first, one, NOW + 1_000);
    }
    let mut btc = first.announced(&"BTC".parse().unwrap()).unwrap().clone();
    let eth = first.announced(&"ETH".parse().unwrap()).unwrap().clone();
    btc.status = PriceStatus::Stale;
    // Older versions stored no reason.
    for (reason, kept) in [
        (Some(PriceReason::NodeDown), true),
        (None, true),
        (Some(PriceReason::Old), false),
    ] {
        let mut next = state();
        next.restore(
            Price {
                reason,
                ..btc.clone()
            },
            NOW + 2_000,
        );
        next.restore(eth.clone(), NOW + 2_000);
        next.apply_ticks(&[
            tick("BTC", "feed", "USD", "60000", (1, 0)),
            tick("ETH", "feed", "USD", "3000", (1, 1)),
        ]);
        next.set_silent(SilentChains {
            unseen: [1].into_iter().collect(),
            ..SilentChains::default()
        });
        // ETH was ok: the store may have been unreachable, not the node.
        let changed = announce(&mut next, NOW + 3_000);
        let ok = match kept {
            true => vec![],
            false => vec![published("BTC", "60000")],
        };
        assert_eq!(changed, ok, "{reason:?}");
        // The node answers.
        next.set_silent(SilentChains::default());
        let later = announce(&mut next, NOW + 4_000);
        assert_eq!(changed.len() + later.len(), 1, "{reason:?}");
        let btc = next.announced(&"BTC".parse().unwrap()).unwrap();
        assert_eq!(btc.status, PriceStatus::Ok);
    }
}

#[test]
fn new_writer_does_not_hold_price_of_few_venues() {
    let keys = "max_jump_bps = 1000\njump_hold_ms = 30000\nmin_sources = 2\n";
    let mut first = with(keys);
    first.apply_ticks(&[tick("BTC", "feed", "USD", "60000", (1, 0))]);
    let few = first.evaluate_all(NOW + 1_000);
    assert_eq!(few[0].reason, Some(PriceReason::FewVenues));
    let mut next = with(keys);
    next.restore(few[0].clone(), NOW + 1_000);
    // Near the previous price: no doubt, so only the price changes.
    next.apply_ticks(&[tick("BTC", "feed", "USD", "60001", (2, 0))]);
    let changed = next.evaluate_all(NOW + 2_000);
    assert_eq!(changed[0].reason, Some(PriceReason::FewVenues));
    assert!(!changed[0].doubtful);
}

#[test]
fn jump_of_silent_venue_stays_held() {
    let mut state = with("max_jump_bps = 1000\njump_hold_ms = 30000\n");
    let at = |price, second: i64| Tick {
        origin: None,
        observed_at: NOW + second * 1_000,
        ..tick("BTC", "feed", "USD", price, (0, 0))
    };
    let status = |state: &mut PriceState, second: i64| {
        let changed = state.evaluate_all(NOW + second * 1_000);
        let published: Vec<PriceStatus> = changed.iter().map(|price| price.status).collect();
        commit(state, changed, NOW + second * 1_000);
        published
    };
    state.apply_ticks(&[at("3000", 1)]);
    assert_eq!(status(&mut state, 1), [PriceStatus::Ok]);
    state.apply_ticks(&[at("30", 2)]);
    assert_eq!(status(&mut state, 2), [PriceStatus::Degraded]);
    assert_eq!(status(&mut state, 40), []);
    state.apply_ticks(&[at("30", 41)]);
    assert_eq!(status(&mut state, 41), [PriceStatus::Ok]);
    // The same after it went stale and another writer begins.
    state.apply_ticks(&[at("3000", 42)]);
    assert_eq!(status(&mut state, 42), [PriceStatus::Degraded]);
    assert_eq!(status(&mut state, 142), [PriceStatus::Stale]);
    let stale = state.announced(&"BTC".parse().unwrap()).unwrap().clone();
    let mut next = with("max_jump_bps = 1000\njump_hold_ms = 30000\n");
    next.restore(stale, NOW + 142_000);
    next.apply_ticks(&[at("3000", 143)]);
    assert_eq!(status(&mut next, 143), [PriceStatus::Degraded]);
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
fn price_goes_stale_once_and_recovers() {
    let mut state = state();
    state.apply_ticks(&[tick("BTC", "feed", "USD", "60000", (0, 0))]);
    announce(&mut state, NOW);
    assert!(announce(&mut state, NOW + 60_000).is_empty());
    let late = NOW + 60_001;
    let stale = state.evaluate_all(late);
    assert_eq!(stale[0].status, PriceStatus::Stale);
    assert_eq!(stale[0].price, decimal("60000"));
    assert_eq!(announce(&mut state, late).len(), 1);
    assert!(announce(&mut state, late + 5_000).is_empty());
    state.apply_ticks(&[tick("BTC", "feed", "USD", "60000", (61, 0))]);
    let back = state.evaluate_all(late);
    assert_eq!(back[0].status, PriceStatus::Ok);
}

#[test]
fn pool_needs_fresh_price_of_its_quote() {
    let mut state = state();
    state.apply_ticks(&[
        tick("BTC", "feed", "USD", "60000", (0, 0)),
        tick("ETH", "feed", "USD", "3000", (50, 0)),
        tick("ETH", "pool", "BTC", "0.0501", (50, 1)),
    ]);
    assert_eq!(announce(&mut state, NOW)[0], published("ETH", "3003"));
    let later = NOW + 60_001;
    assert_eq!(announce(&mut state, later)[0], published("ETH", "3000"));
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

#[test]
fn old_first_tick_makes_stale_price() {
    let mut state = state();
    let later = NOW + 3_600_000;
    let btc = tick("BTC", "feed", "USD", "60000", (1, 0));
    let affected = state.apply_ticks(&[btc]);
    let changed = state.evaluate(affected, later);
    assert_eq!(changed[0].status, PriceStatus::Stale);
    assert_eq!(changed[0].observed_at, NOW + 1_000);
    assert_eq!(changed[0].expires_at, NOW + 1_000);
    assert_eq!(
        commit(&mut state, changed, later),
        [published("BTC", "60000")]
    );
    // Converted by an old rate it is stale too, and announced once.
    let pool = tick("ETH", "pool", "BTC", "0.05", (3_600, 0));
    let affected = state.apply_ticks(&[pool]);
    let changed = state.evaluate(affected, later);
    assert_eq!(changed[0].status, PriceStatus::Stale);
    assert_eq!(
        commit(&mut state, changed, later),
        [published("ETH", "3000")]
    );
    assert!(announce(&mut state, later).is_empty());
    // A fresh tick replaces it.
    let btc = tick("BTC", "feed", "USD", "61000", (3_600, 1));
    let affected = state.apply_ticks(&[btc]);
    let changed = state.evaluate(affected, later);
    let statuses: Vec<_> = changed.iter().map(|price| price.status).collect();
    assert_eq!(statuses, [PriceStatus::Ok, PriceStatus::Ok]);
}

#[test]
fn chain_ahead_of_clock_does_not_keep_price_fresh() {
    let mut state = state();
    state.apply_ticks(&[tick("BTC", "feed", "USD", "60000", (7_200, 0))]);
    let changed = state.evaluate_all(NOW);
    assert_eq!(changed[0].observed_at, NOW);
    commit(&mut state, changed, NOW);
    let stale = state.evaluate_all(NOW + 60_001);
    assert_eq!(stale[0].status, PriceStatus::Stale);
}

#[test]
fn jump_is_held_and_released_after_its_time() {
    let mut state = with("max_jump_bps = 1000\njump_hold_ms = 30000\n");
    let status = |state: &mut PriceState, price: Option<&str>, after: i64| {
        let ticks = price.map(|price| {
            tick(
                "BTC",
                "feed",
                "USD",
                price,
                (after.unsigned_abs() / 1_000, 0),
            )
        });
        let affected = state.apply_ticks(ticks.as_slice());
        let changed = match price {
            Some(_) => state.evaluate(affected, NOW + after),
            None => state.evaluate_all(NOW + after),
        };
        let published: Vec<PriceStatus> = changed.iter().map(|price| price.status).collect();
        commit(state, changed, NOW + after);
        published
    };
    assert_eq!(status(&mut state, Some("3000"), 1_000), [PriceStatus::Ok]);
    assert_eq!(
        status(&mut state, Some("30"), 2_000),
        [PriceStatus::Degraded]
    );
    assert_eq!(status(&mut state, None, 31_999), []);
    assert_eq!(status(&mut state, None, 32_000), [PriceStatus::Ok]);
    // Another writer restores the announced price.
    let announced = state.announced(&"BTC".parse().unwrap()).unwrap().clone();
    let mut next = with("max_jump_bps = 1000\njump_hold_ms = 30000\n");
    next.restore(announced, NOW + 32_000);
    assert_eq!(
        status(&mut next, Some("3000"), 33_000),
        [PriceStatus::Degraded]
    );
}

#[test]
fn held_rate_degrades_tokens_quoted_in_it() {
    let mut state = with("max_jump_bps = 1000\njump_hold_ms = 30000\n");
    state.apply_ticks(&[
        tick("BTC", "feed", "USD", "60000", (1, 0)),
        tick("ETH", "pool", "BTC", "0.05", (1, 1)),
        tick("UNI", "pool", "ETH", "0.002", (1, 2)),
    ]);
    announce(&mut state, NOW);
    let affected = state.apply_ticks(&[tick("BTC", "feed", "USD", "600", (2, 0))]);
    let changed = state.evaluate(affected, NOW + 1_000);
    let published: Vec<(String, PriceStatus, bool)> = changed
        .iter()
        .map(|price| (price.token.to_string(), price.status, price.doubtful))
        .collect();
    // ETH has a feed too, but no tick of it: it has no rate, so UNI has no price.
    let held = |token: &str| (token.to_owned(), PriceStatus::Degraded, true);
    assert_eq!(published, [held("ETH"), held("BTC")]);
    commit(&mut state, changed, NOW + 1_000);
    let released = state.evaluate_all(NOW + 31_000);
    let ok: Vec<PriceStatus> = released.iter().map(|price| price.status).collect();
    assert_eq!(ok, [PriceStatus::Ok; 2]);
}

#[test]
fn two_streams_of_one_symbol_are_one_venue() {
    let config: PriceConfig = toml::from_str(
        "min_sources = 2\n[[tokens]]\nsymbol = 'BTC'
         [[sources]]\nkind = 'binance'\ntoken = 'BTC'\nname = 'book'\nsymbol = 'BTCUSD'\nquote = 'USD'
         [[sources]]\nkind = 'binance'\ntoken = 'BTC'\nname = 'trades'\nsymbol = 'btcusd'\nquote = 'USD'
         stream = 'trade'
         [[sources]]\nkind = 'kraken'\ntoken = 'BTC'\nname = 'other'\nsymbol = 'BTC/USD'\nquote = 'USD'",
    )
    .unwrap();
    config.validate().unwrap();
    let mut state = PriceState::new(&config, 1);
    let of = |source: &str, price: &str| Tick {
        origin: None,
        observed_at: NOW,
        ..tick("BTC", source, "USD", price, (0, 0))
    };
    state.apply_ticks(&[of("trades", "60010"), of("book", "60000")]);
    let changed = state.evaluate_all(NOW);
    assert_eq!(changed[0].status, PriceStatus::Degraded);
    assert_eq!(
        commit(&mut state, changed, NOW),
        [published("BTC", "60000")]
    );
    state.apply_ticks(&[of("other", "60004")]);
    let changed = state.evaluate_all(NOW);
    assert_eq!(changed[0].status, PriceStatus::Ok);
    assert_eq!(
        commit(&mut state, changed, NOW),
        [published("BTC", "60002")]
    );
}
