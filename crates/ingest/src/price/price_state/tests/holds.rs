//! Prices that are held, and the number of venues.

use super::*;

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
