//! Validates the keys of each kind of source.

use super::{
    super::{
        ChainlinkConfig, MAX_AGE_LIMIT_MS, PoolConfig, PoolPrice, SourceConfig, SourceKind,
        pool::TWAP_SECONDS,
    },
    PriceConfigError, SourceEntry,
};
use crate::model::{Address, Token};

/// Checks the keys of one kind.
pub(super) fn check_kind(
    source: &SourceConfig,
    token_address: impl Fn() -> Option<Address>,
    at: impl Fn() -> SourceEntry,
) -> Result<(), PriceConfigError> {
    let key_error = |(key, expected): (&'static str, String)| {
        let at = at();
        Err(PriceConfigError::Key { at, key, expected })
    };
    let found = match &source.kind {
        SourceKind::Chainlink(feed) => check_feed(feed, source.max_age_ms),
        SourceKind::UniswapV2(pool) | SourceKind::UniswapV3(pool) => {
            if let Some(given) = pool.base
                && given > 1
            {
                return Err(PriceConfigError::Base { at: at(), given });
            }
            if source.unit.invert {
                let expected = "is not allowed for pools: `base` selects the priced token";
                return key_error(("invert", expected.to_owned()));
            }
            let is_v3 = matches!(source.kind, SourceKind::UniswapV3(_));
            check_pool(pool, is_v3, &source.token, token_address)
        }
        SourceKind::Pyth(feed) => feed.validate(),
        SourceKind::Http(page) => page.validate(),
        SourceKind::Exchange(_) => Ok(()),
    };
    found.or_else(key_error)
}

fn check_feed(feed: &ChainlinkConfig, max_age_ms: u64) -> Result<(), (&'static str, String)> {
    match feed.heartbeat_ms {
        Some(given) if !(1..=MAX_AGE_LIMIT_MS).contains(&given) => {
            let expected = format!("must be 1 to {MAX_AGE_LIMIT_MS}, not {given}");
            Err(("heartbeat_ms", expected))
        }
        // An answer rejected at this age cannot be used for longer.
        Some(heartbeat_ms) if max_age_ms > heartbeat_ms => {
            let expected =
                format!("must be at most heartbeat_ms, {heartbeat_ms}, not {max_age_ms}");
            Err(("max_age_ms", expected))
        }
        _ => Ok(()),
    }
}

fn check_pool(
    pool: &PoolConfig,
    is_v3: bool,
    token: &Token,
    token_address: impl Fn() -> Option<Address>,
) -> Result<(), (&'static str, String)> {
    if pool.base.is_none() && token_address().is_none() {
        let expected = format!("must be 0 or 1, or {token} needs its `address` in prices.tokens");
        return Err(("base", expected));
    }
    if pool.token0.is_some() && pool.token0 == pool.token1 {
        return Err(("token1", "must differ from token0".to_owned()));
    }
    if is_v3 && pool.min_reserve.is_some() {
        return Err((
            "min_reserve",
            "is for uniswap-v2; use min_liquidity".to_owned(),
        ));
    }
    if !is_v3 && pool.min_liquidity.is_some() {
        return Err((
            "min_liquidity",
            "is for uniswap-v3; use min_reserve".to_owned(),
        ));
    }
    let (least, most) = (TWAP_SECONDS.start(), TWAP_SECONDS.end());
    match (pool.price, pool.twap_seconds) {
        (PoolPrice::Twap, Some(given)) if TWAP_SECONDS.contains(&given) => Ok(()),
        (PoolPrice::Spot, None) => Ok(()),
        (PoolPrice::Spot, Some(_)) => Err(("twap_seconds", "requires price = \"twap\"".to_owned())),
        (PoolPrice::Twap, None) => Err((
            "twap_seconds",
            format!("is missing: price = \"twap\" requires {least} to {most}"),
        )),
        (PoolPrice::Twap, Some(given)) => Err((
            "twap_seconds",
            format!("must be {least} to {most}, not {given}"),
        )),
    }
}
