//! Checks the keys of each kind of source that no key shows by itself.

use super::super::{ChainlinkConfig, PoolConfig, PoolPrice, SourceConfig, SourceKind};
use chaincast_protocol::Token;

/// A key and what it must be.
type KeyProblem = (&'static str, String);

/// The problems of the keys of one kind. `has_address` is whether the address of the token is configured; a key that
/// `is_reported` does not have the configured value.
pub(super) fn kind_problems(
    source: &SourceConfig,
    has_address: impl Fn() -> bool,
    is_reported: impl Fn(&str) -> bool,
) -> Vec<KeyProblem> {
    match &source.kind {
        SourceKind::Chainlink(feed) => feed_problem(feed, source.max_age_ms).into_iter().collect(),
        SourceKind::UniswapV2(pool) | SourceKind::UniswapV3(pool) => {
            let is_v3 = matches!(source.kind, SourceKind::UniswapV3(_));
            let mut found = pool_problems(pool, is_v3);
            if pool.base.is_none() && !has_address() {
                found.push(("base", base_expected(&source.token)));
            }
            if !is_reported("price") {
                found.extend(window_problem(pool));
            }
            if source.unit.invert {
                let expected = "is not allowed for pools: `base` selects the priced token";
                found.push(("invert", expected.to_owned()));
            }
            found
        }
        SourceKind::Pyth(feed) => feed.problems(),
        SourceKind::Http(page) => page.problems(),
        SourceKind::Exchange(_) => Vec::new(),
    }
}

fn feed_problem(feed: &ChainlinkConfig, max_age_ms: u64) -> Option<KeyProblem> {
    // An answer rejected at this age cannot be used for longer.
    let heartbeat_ms = feed
        .heartbeat_ms
        .filter(|heartbeat| max_age_ms > *heartbeat)?;
    let expected = format!("must be at most heartbeat_ms, {heartbeat_ms}, not {max_age_ms}");
    Some(("max_age_ms", expected))
}

fn base_expected(token: &Token) -> String {
    format!("must be 0 or 1, or {token} needs its `address` in prices.tokens")
}

fn pool_problems(pool: &PoolConfig, is_v3: bool) -> Vec<KeyProblem> {
    let mut found = Vec::new();
    if pool.token0.is_some() && pool.token0 == pool.token1 {
        found.push(("token1", "must differ from token0".to_owned()));
    }
    if is_v3 && pool.min_reserve.is_some() {
        let expected = "is for uniswap-v2; use min_liquidity";
        found.push(("min_reserve", expected.to_owned()));
    }
    if !is_v3 && pool.min_liquidity.is_some() {
        let expected = "is for uniswap-v3; use min_reserve";
        found.push(("min_liquidity", expected.to_owned()));
    }
    found
}

fn window_problem(pool: &PoolConfig) -> Option<KeyProblem> {
    let expected = match (pool.price, pool.twap_seconds) {
        (PoolPrice::Twap, Some(_)) | (PoolPrice::Spot, None) => return None,
        (PoolPrice::Spot, Some(_)) => "requires price = \"twap\"",
        (PoolPrice::Twap, None) => "is missing: price = \"twap\" requires it",
    };
    Some(("twap_seconds", expected.to_owned()))
}
