use bigdecimal::BigDecimal;

use super::*;
use crate::model::{B256, LogOrigin, PriceStatus};

const NOW: i64 = 1_700_000_000_000;

/// ETH and BTC have feeds, ETH has a pool in BTC as well, and UNI only a pool in ETH.
fn board() -> Board {
    with("")
}

/// The same with more keys for all tokens.
fn with(keys: &str) -> Board {
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
    Board::new(&config, 1)
}

/// Observed one second a block after `NOW`.
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

fn said(token: &str, price: &str) -> (String, BigDecimal) {
    (token.to_owned(), decimal(price))
}

/// Keeps what is to be announced, as a commit would; what it was.
fn commit(board: &mut Board, news: Vec<Price>, now: i64) -> Vec<(String, BigDecimal)> {
    let said = news
        .iter()
        .map(|price| (price.token.to_string(), price.price.clone()))
        .collect();
    board.keep(news, now);
    said
}

fn announce(board: &mut Board, now: i64) -> Vec<(String, BigDecimal)> {
    let news = board.evaluate_all(now);
    commit(board, news, now)
}

/// Takes one tick as a round does; what it announced.
fn after(board: &mut Board, tick: Tick, now: i64) -> Vec<(String, BigDecimal)> {
    let affected = board.take(&[tick]);
    let news = board.evaluate(affected, now);
    commit(board, news, now)
}

#[test]
fn a_tick_is_told_for_its_token_and_for_those_that_are_counted_in_it() {
    let mut board = board();
    let btc = tick("BTC", "feed", "USD", "60000", (1, 0));
    assert_eq!(after(&mut board, btc, NOW), [said("BTC", "60000")]);
    let pool = tick("ETH", "pool", "BTC", "0.05", (1, 1));
    assert_eq!(after(&mut board, pool, NOW), [said("ETH", "3000")]);
    let eth = tick("ETH", "feed", "USD", "3000", (1, 2));
    // A second source, and the same price.
    assert_eq!(after(&mut board, eth, NOW), [said("ETH", "3000")]);
    let uni = tick("UNI", "pool", "ETH", "0.002", (1, 3));
    assert_eq!(after(&mut board, uni, NOW), [said("UNI", "6")]);
    // In the order of the configuration.
    let eth = tick("ETH", "feed", "USD", "3100", (2, 0));
    let expected = [said("UNI", "6.2"), said("ETH", "3050")];
    assert_eq!(after(&mut board, eth, NOW), expected);
    let btc = tick("BTC", "feed", "USD", "62000", (2, 1));
    let expected = [said("ETH", "3100"), said("BTC", "62000")];
    assert_eq!(after(&mut board, btc, NOW), expected);
}

#[test]
fn a_token_two_steps_from_usd_follows_every_rate_on_its_path() {
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
    let mut board = Board::new(&config, 1);
    let pepe = tick("PEPE", "pool", "WETH", "0.00001", (1, 0));
    assert!(after(&mut board, pepe, NOW).is_empty());
    let weth = tick("WETH", "pool", "USDT", "3000", (1, 1));
    assert!(after(&mut board, weth, NOW).is_empty());
    // A dollar is not assumed.
    let usdt = tick("USDT", "feed", "USD", "0.9", (1, 2));
    let expected = [
        said("PEPE", "0.027"),
        said("WETH", "2700"),
        said("USDT", "0.9"),
    ];
    assert_eq!(after(&mut board, usdt, NOW), expected);
    let usdt = tick("USDT", "feed", "USD", "1", (2, 0));
    assert_eq!(after(&mut board, usdt, NOW)[0], said("PEPE", "0.03"));
}

#[test]
fn a_late_tick_does_not_replace_a_newer_one() {
    let mut board = board();
    board.take(&[tick("BTC", "feed", "USD", "60000", (5, 3))]);
    for late in [(5, 3), (5, 2), (4, 9)] {
        let affected = board.take(&[tick("BTC", "feed", "USD", "1", late)]);
        assert!(affected.is_empty());
    }
    // Chain order wins over the time that the log claims.
    let mut next = tick("BTC", "feed", "USD", "61000", (5, 4));
    next.observed_at = NOW - 30_000;
    board.take(&[next]);
    assert_eq!(announce(&mut board, NOW), [said("BTC", "61000")]);
}

#[test]
fn ticks_of_what_is_not_configured_are_ignored() {
    let mut board = board();
    let strangers = [
        tick("DOGE", "feed", "USD", "1", (1, 0)),
        tick("BTC", "other", "USD", "1", (1, 1)),
        tick("BTC", "feed", "ETH", "1", (1, 2)),
    ];
    assert!(!strangers.iter().any(|tick| board.knows(tick)));
    assert!(board.take(&strangers).is_empty());
    assert!(board.evaluate_all(NOW).is_empty());
}

#[test]
fn an_unchanged_price_is_not_announced_and_its_times_move() {
    let mut board = board();
    board.take(&[tick("BTC", "feed", "USD", "60000", (1, 0))]);
    assert_eq!(announce(&mut board, NOW).len(), 1);
    assert!(board.take_moved().is_empty());
    board.take(&[tick("BTC", "feed", "USD", "60000.00", (9, 0))]);
    assert!(board.evaluate_all(NOW).is_empty());
    let moved = board.take_moved();
    assert_eq!(moved[0].observed_at, NOW + 9_000);
    assert_eq!(moved[0].expires_at, NOW + 69_000);
    assert_eq!(moved[0].details[0].block.unwrap().number, 9);
    assert!(board.take_moved().is_empty());
    assert!(board.evaluate_all(NOW).is_empty());
}

#[test]
fn at_most_one_price_an_interval_is_announced_and_then_the_newest() {
    let mut board = with("min_interval_ms = 250\npublish_heartbeat_ms = 5000\n");
    let btc = |price, block| tick("BTC", "feed", "USD", price, (block, 0));
    assert_eq!(after(&mut board, btc("1", 1), NOW), [said("BTC", "1")]);
    assert_eq!(board.next_due(), Some(NOW + 5_000));
    assert!(after(&mut board, btc("2", 2), NOW + 10).is_empty());
    assert!(after(&mut board, btc("3", 3), NOW + 200).is_empty());
    assert_eq!(board.next_due(), Some(NOW + 250));
    let due = board.evaluate(Places::new(), NOW + 250);
    assert_eq!(commit(&mut board, due, NOW + 250), [said("BTC", "3")]);
    // Nothing comes: it is announced again at its heartbeat.
    let beat = NOW + 5_250;
    assert_eq!(board.next_due(), Some(beat));
    let due = board.evaluate(Places::new(), beat);
    assert_eq!(commit(&mut board, due, beat), [said("BTC", "3")]);
}

#[test]
fn news_that_is_taken_back_within_the_interval_is_none() {
    let mut board = with("min_interval_ms = 250\n");
    let btc = |price, block| tick("BTC", "feed", "USD", price, (block, 0));
    after(&mut board, btc("1", 1), NOW);
    assert!(after(&mut board, btc("2", 2), NOW + 10).is_empty());
    assert!(after(&mut board, btc("1", 3), NOW + 20).is_empty());
    assert!(board.evaluate(Places::new(), NOW + 250).is_empty());
    assert_eq!(board.next_due(), None);
}

#[test]
fn of_two_ticks_of_one_time_off_the_chains_the_later_counts() {
    let mut board = board();
    let at = |price| Tick {
        origin: None,
        ..tick("BTC", "feed", "USD", price, (1, 0))
    };
    board.take(&[at("1"), at("2")]);
    assert_eq!(announce(&mut board, NOW + 1_000), [said("BTC", "2")]);
    let earlier = Tick {
        observed_at: NOW,
        ..at("3")
    };
    assert!(board.take(&[earlier]).is_empty());
}

#[test]
fn a_clock_that_was_set_back_keeps_no_tick_of_a_feed_for_longer() {
    let mut board = board();
    let at = |price, observed_at| Tick {
        origin: None,
        observed_at,
        ..tick("BTC", "feed", "USD", price, (0, 0))
    };
    let hour = 3_600_000;
    assert_eq!(
        after(&mut board, at("1", NOW + hour), NOW + hour),
        [said("BTC", "1")]
    );
    // An hour back: what comes now is newer, though its time is not.
    assert!(announce(&mut board, NOW).is_empty());
    assert_eq!(
        after(&mut board, at("2", NOW + 1), NOW + 1),
        [said("BTC", "2")]
    );
    // And when nothing comes, it grows old from there.
    let stale = board.evaluate_all(NOW + 1 + 60_001);
    assert_eq!(stale[0].status, PriceStatus::Stale);
}

#[test]
fn prices_of_a_chain_that_is_down_are_stale_until_it_answers() {
    let mut board = board();
    for one in [
        tick("BTC", "feed", "USD", "60000", (1, 0)),
        tick("ETH", "pool", "BTC", "0.05", (1, 1)),
    ] {
        after(&mut board, one, NOW + 1_000);
    }
    let statuses = |board: &mut Board, down: &[ChainId]| {
        board.set_silent(Silent {
            down: down.iter().copied().collect(),
            ..Silent::default()
        });
        let news = board.evaluate_all(NOW + 2_000);
        let told = news
            .iter()
            .map(|price| {
                let reason = (price.status == PriceStatus::Stale).then_some(PriceReason::NodeDown);
                assert_eq!(price.reason, reason);
                (price.token.to_string(), price.price.clone(), price.status)
            })
            .collect::<Vec<_>>();
        board.keep(news, NOW + 2_000);
        told
    };
    assert_eq!(statuses(&mut board, &[2]), [], "another chain");
    let all = |status| {
        let eth = ("ETH".to_owned(), decimal("3000"), status);
        vec![eth, ("BTC".to_owned(), decimal("60000"), status)]
    };
    assert_eq!(statuses(&mut board, &[1]), all(PriceStatus::Stale));
    assert_eq!(statuses(&mut board, &[1]), [], "once");
    assert_eq!(statuses(&mut board, &[]), all(PriceStatus::Ok));
}

#[test]
fn a_chain_that_is_down_and_ahead_has_no_fresh_price() {
    let mut board = board();
    // By less than a minute, which is a clock that differs.
    board.take(&[tick("BTC", "feed", "USD", "60000", (30, 0))]);
    assert_eq!(announce(&mut board, NOW).len(), 1);
    board.set_silent(Silent {
        down: [1].into_iter().collect(),
        ..Silent::default()
    });
    let stale = board.evaluate_all(NOW + 1);
    assert_eq!(stale[0].status, PriceStatus::Stale);
    assert_eq!(stale[0].reason, Some(PriceReason::NodeDown));
}

#[test]
fn a_new_writer_keeps_stale_what_a_silent_node_left_stale() {
    let mut first = board();
    for one in [
        tick("BTC", "feed", "USD", "60000", (1, 0)),
        tick("ETH", "feed", "USD", "3000", (1, 1)),
    ] {
        after(&mut first, one, NOW + 1_000);
    }
    let mut btc = first.announced(&"BTC".parse().unwrap()).unwrap().clone();
    let eth = first.announced(&"ETH".parse().unwrap()).unwrap().clone();
    btc.status = PriceStatus::Stale;
    // An earlier version stored no reason.
    for (reason, kept) in [
        (Some(PriceReason::NodeDown), true),
        (None, true),
        (Some(PriceReason::Old), false),
    ] {
        let mut next = board();
        next.recall(
            Price {
                reason,
                ..btc.clone()
            },
            NOW + 2_000,
        );
        next.recall(eth.clone(), NOW + 2_000);
        next.take(&[
            tick("BTC", "feed", "USD", "60000", (1, 0)),
            tick("ETH", "feed", "USD", "3000", (1, 1)),
        ]);
        next.set_silent(Silent {
            unseen: [1].into_iter().collect(),
            ..Silent::default()
        });
        // ETH was ok: the store may have been away, and not the node.
        let news = announce(&mut next, NOW + 3_000);
        let ok = match kept {
            true => vec![],
            false => vec![said("BTC", "60000")],
        };
        assert_eq!(news, ok, "{reason:?}");
        // The node answers.
        next.set_silent(Silent::default());
        let later = announce(&mut next, NOW + 4_000);
        assert_eq!(news.len() + later.len(), 1, "{reason:?}");
        let btc = next.announced(&"BTC".parse().unwrap()).unwrap();
        assert_eq!(btc.status, PriceStatus::Ok);
    }
}

#[test]
fn a_new_writer_takes_too_few_venues_for_no_jump() {
    let keys = "max_jump_bps = 1000\njump_hold_ms = 30000\nmin_sources = 2\n";
    let mut first = with(keys);
    first.take(&[tick("BTC", "feed", "USD", "60000", (1, 0))]);
    let few = first.evaluate_all(NOW + 1_000);
    assert_eq!(few[0].reason, Some(PriceReason::FewVenues));
    let mut next = with(keys);
    next.recall(few[0].clone(), NOW + 1_000);
    // Near the level of before: no doubt, and so no news but the price.
    next.take(&[tick("BTC", "feed", "USD", "60001", (2, 0))]);
    let news = next.evaluate_all(NOW + 2_000);
    assert_eq!(news[0].reason, Some(PriceReason::FewVenues));
    assert!(!news[0].doubtful);
}

#[test]
fn a_jump_of_a_venue_that_falls_silent_stays_held() {
    let mut board = with("max_jump_bps = 1000\njump_hold_ms = 30000\n");
    let at = |price, second: i64| Tick {
        origin: None,
        observed_at: NOW + second * 1_000,
        ..tick("BTC", "feed", "USD", price, (0, 0))
    };
    let status = |board: &mut Board, second: i64| {
        let news = board.evaluate_all(NOW + second * 1_000);
        let said: Vec<PriceStatus> = news.iter().map(|price| price.status).collect();
        commit(board, news, NOW + second * 1_000);
        said
    };
    board.take(&[at("3000", 1)]);
    assert_eq!(status(&mut board, 1), [PriceStatus::Ok]);
    board.take(&[at("30", 2)]);
    assert_eq!(status(&mut board, 2), [PriceStatus::Degraded]);
    assert_eq!(status(&mut board, 40), []);
    board.take(&[at("30", 41)]);
    assert_eq!(status(&mut board, 41), [PriceStatus::Ok]);
    // And so when it went stale meanwhile, and another writer begins.
    board.take(&[at("3000", 42)]);
    assert_eq!(status(&mut board, 42), [PriceStatus::Degraded]);
    assert_eq!(status(&mut board, 142), [PriceStatus::Stale]);
    let stale = board.announced(&"BTC".parse().unwrap()).unwrap().clone();
    let mut next = with("max_jump_bps = 1000\njump_hold_ms = 30000\n");
    next.recall(stale, NOW + 142_000);
    next.take(&[at("3000", 143)]);
    assert_eq!(status(&mut next, 143), [PriceStatus::Degraded]);
}

#[test]
fn a_source_that_becomes_an_outlier_is_announced_though_price_and_status_stay() {
    let mut text = "publish_bps = 100\n[[tokens]]\nsymbol = 'BTC'\n".to_owned();
    for (at, name) in ["a", "b", "c"].iter().enumerate() {
        text += &format!(
            "[[sources]]\nkind = 'chainlink'\ntoken = 'BTC'\nname = '{name}'\ndecimals = 8\nmax_age_ms = 60000\n\
             address = '0x{:040x}'\n",
            at + 1
        );
    }
    let mut board = Board::new(&toml::from_str(&text).unwrap(), 1);
    board.take(&[
        tick("BTC", "a", "USD", "100", (1, 0)),
        tick("BTC", "b", "USD", "100", (1, 1)),
        tick("BTC", "c", "USD", "100.5", (1, 2)),
    ]);
    assert_eq!(announce(&mut board, NOW), [said("BTC", "100")]);
    for (price, used) in [("200", 2), ("100.5", 3)] {
        let affected = board.take(&[tick("BTC", "c", "USD", price, (used, 0))]);
        let news = board.evaluate(affected, NOW);
        assert_eq!(news.len(), 1, "{price}");
        assert_eq!(news[0].status, PriceStatus::Ok);
        assert_eq!(news[0].sources.len() as u64, used, "{price}");
        assert_eq!(commit(&mut board, news, NOW), [said("BTC", "100")]);
    }
}

#[test]
fn a_price_goes_stale_once_and_comes_back() {
    let mut board = board();
    board.take(&[tick("BTC", "feed", "USD", "60000", (0, 0))]);
    announce(&mut board, NOW);
    assert!(announce(&mut board, NOW + 60_000).is_empty());
    let late = NOW + 60_001;
    let stale = board.evaluate_all(late);
    assert_eq!(stale[0].status, PriceStatus::Stale);
    assert_eq!(stale[0].price, decimal("60000"));
    assert_eq!(announce(&mut board, late).len(), 1);
    assert!(announce(&mut board, late + 5_000).is_empty());
    board.take(&[tick("BTC", "feed", "USD", "60000", (61, 0))]);
    let back = board.evaluate_all(late);
    assert_eq!(back[0].status, PriceStatus::Ok);
}

#[test]
fn a_pool_is_not_used_once_its_quote_token_has_no_fresh_price() {
    let mut board = board();
    board.take(&[
        tick("BTC", "feed", "USD", "60000", (0, 0)),
        tick("ETH", "feed", "USD", "3000", (50, 0)),
        tick("ETH", "pool", "BTC", "0.0501", (50, 1)),
    ]);
    assert_eq!(announce(&mut board, NOW)[0], said("ETH", "3003"));
    let later = NOW + 60_001;
    assert_eq!(announce(&mut board, later)[0], said("ETH", "3000"));
}

#[test]
fn a_reload_takes_back_what_the_store_no_longer_has() {
    let mut board = board();
    board.take(&[tick("BTC", "feed", "USD", "60000", (1, 0))]);
    board.take(&[tick("BTC", "feed", "USD", "90000", (2, 0))]);
    announce(&mut board, NOW);
    let of_a_venue = Tick {
        origin: None,
        ..tick("ETH", "feed", "USD", "3000", (1, 0))
    };
    board.take(&[of_a_venue]);
    assert_eq!(announce(&mut board, NOW), [said("ETH", "3000")]);
    board.replace_chain_ticks(&[tick("BTC", "feed", "USD", "60000", (1, 0))]);
    assert_eq!(announce(&mut board, NOW), [said("BTC", "60000")]);
}

#[test]
fn a_first_tick_that_is_old_makes_a_stale_price() {
    let mut board = board();
    let later = NOW + 3_600_000;
    let btc = tick("BTC", "feed", "USD", "60000", (1, 0));
    let affected = board.take(&[btc]);
    let news = board.evaluate(affected, later);
    assert_eq!(news[0].status, PriceStatus::Stale);
    assert_eq!(news[0].observed_at, NOW + 1_000);
    assert_eq!(news[0].expires_at, NOW + 1_000);
    assert_eq!(commit(&mut board, news, later), [said("BTC", "60000")]);
    // Converted by an old rate it is no less stale; and said once.
    let pool = tick("ETH", "pool", "BTC", "0.05", (3_600, 0));
    let affected = board.take(&[pool]);
    let news = board.evaluate(affected, later);
    assert_eq!(news[0].status, PriceStatus::Stale);
    assert_eq!(commit(&mut board, news, later), [said("ETH", "3000")]);
    assert!(announce(&mut board, later).is_empty());
    // A fresh one takes its place.
    let btc = tick("BTC", "feed", "USD", "61000", (3_600, 1));
    let affected = board.take(&[btc]);
    let news = board.evaluate(affected, later);
    let statuses: Vec<_> = news.iter().map(|price| price.status).collect();
    assert_eq!(statuses, [PriceStatus::Ok, PriceStatus::Ok]);
}

#[test]
fn a_chain_that_is_ahead_keeps_no_price_fresh_for_ever() {
    let mut board = board();
    board.take(&[tick("BTC", "feed", "USD", "60000", (7_200, 0))]);
    let news = board.evaluate_all(NOW);
    assert_eq!(news[0].observed_at, NOW);
    commit(&mut board, news, NOW);
    let stale = board.evaluate_all(NOW + 60_001);
    assert_eq!(stale[0].status, PriceStatus::Stale);
}

#[test]
fn a_jump_is_held_and_released_by_time_alone() {
    let mut board = with("max_jump_bps = 1000\njump_hold_ms = 30000\n");
    let status = |board: &mut Board, price: Option<&str>, after: i64| {
        let ticks = price.map(|price| {
            tick(
                "BTC",
                "feed",
                "USD",
                price,
                (after.unsigned_abs() / 1_000, 0),
            )
        });
        let affected = board.take(ticks.as_slice());
        let news = match price {
            Some(_) => board.evaluate(affected, NOW + after),
            None => board.evaluate_all(NOW + after),
        };
        let said: Vec<PriceStatus> = news.iter().map(|price| price.status).collect();
        commit(board, news, NOW + after);
        said
    };
    assert_eq!(status(&mut board, Some("3000"), 1_000), [PriceStatus::Ok]);
    assert_eq!(
        status(&mut board, Some("30"), 2_000),
        [PriceStatus::Degraded]
    );
    assert_eq!(status(&mut board, None, 31_999), []);
    assert_eq!(status(&mut board, None, 32_000), [PriceStatus::Ok]);
    // Another writer knows what was announced.
    let announced = board.announced(&"BTC".parse().unwrap()).unwrap().clone();
    let mut next = with("max_jump_bps = 1000\njump_hold_ms = 30000\n");
    next.recall(announced, NOW + 32_000);
    assert_eq!(
        status(&mut next, Some("3000"), 33_000),
        [PriceStatus::Degraded]
    );
}

#[test]
fn a_rate_that_is_held_degrades_what_is_counted_in_it() {
    let mut board = with("max_jump_bps = 1000\njump_hold_ms = 30000\n");
    board.take(&[
        tick("BTC", "feed", "USD", "60000", (1, 0)),
        tick("ETH", "pool", "BTC", "0.05", (1, 1)),
        tick("UNI", "pool", "ETH", "0.002", (1, 2)),
    ]);
    announce(&mut board, NOW);
    let affected = board.take(&[tick("BTC", "feed", "USD", "600", (2, 0))]);
    let news = board.evaluate(affected, NOW + 1_000);
    let said: Vec<(String, PriceStatus, bool)> = news
        .iter()
        .map(|price| (price.token.to_string(), price.status, price.doubtful))
        .collect();
    // ETH has a feed too, but no tick of it: its rate is none, so UNI has no price.
    let held = |token: &str| (token.to_owned(), PriceStatus::Degraded, true);
    assert_eq!(said, [held("ETH"), held("BTC")]);
    commit(&mut board, news, NOW + 1_000);
    let released = board.evaluate_all(NOW + 31_000);
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
    let mut board = Board::new(&config, 1);
    let of = |source: &str, price: &str| Tick {
        origin: None,
        observed_at: NOW,
        ..tick("BTC", source, "USD", price, (0, 0))
    };
    board.take(&[of("trades", "60010"), of("book", "60000")]);
    let news = board.evaluate_all(NOW);
    assert_eq!(news[0].status, PriceStatus::Degraded);
    assert_eq!(commit(&mut board, news, NOW), [said("BTC", "60000")]);
    board.take(&[of("other", "60004")]);
    let news = board.evaluate_all(NOW);
    assert_eq!(news[0].status, PriceStatus::Ok);
    assert_eq!(commit(&mut board, news, NOW), [said("BTC", "60002")]);
}
