//! Helpers of the tests.

mod announcements;
mod holds;
mod staleness;

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
