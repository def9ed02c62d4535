//! Common settings of Uniswap V2 and V3 pools, and the role of the priced token.

use bigdecimal::BigDecimal;
use serde::Deserialize;

use super::spelling::upper_case;
use chaincast_base::settings::{lower_case_word, plain_settings, settings};
use chaincast_protocol::{Address, ChainId};

settings! {
    /// A pool of two tokens. Omitted values are read from the contracts; given ones must match them.
    pub struct PoolConfig {
        /// Default: the first configured chain; it must have logs.
        chain_id: Option<ChainId> = None, example("1");
        /// The pool: for uniswap-v2 a pair that emits Sync, for uniswap-v3 a pool that emits Swap.
        address: Address = Address::ZERO, required(), example("\"0x…\"");
        /// Index of the priced token in the pool; default: the token with the configured address. This and the four keys
        /// below are read from the contracts by default; if one is set and differs, the source is rejected.
        base: Option<u8> = None, range(0, 1), example("0");
        token0: Option<Address> = None, example("\"0x…\"");
        token1: Option<Address> = None, example("\"0x…\"");
        base_decimals: Option<u8> = None, example("18");
        quote_decimals: Option<u8> = None, example("6");
        /// The other token: `"USD"`, or a tracked token whose price converts it to USD.
        quote: String as upper_case = String::new(), required(), example("\"USDC\"");
        /// uniswap-v2: no price while the pair holds less of the quote, in units of it; an integer, or `"0.5"`.
        min_reserve: Option<BigDecimal> = None, example("100000");
        /// uniswap-v3: no price while the virtual reserve of the quote at the pool's price is less, in units of it: L · √P
        /// when the quote is token1, L / √P when it is token0.
        min_liquidity: Option<BigDecimal> = None, example("100000");
        /// `"spot"`, or `"twap"`, an average over `twap_seconds`; a pool may have a source for each.
        price: PoolPrice = PoolPrice::Spot;
        /// Window of the average; required with "twap", and only allowed there.
        twap_seconds: Option<u64> = None, range(10, 86_400), example("300");
    }
}

plain_settings! { PoolPrice = lower_case_word }

/// The price of a pool that a source reads.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PoolPrice {
    /// The price after each trade.
    #[default]
    Spot,
    /// The time-weighted average over the window.
    Twap,
}

impl PoolConfig {
    /// The minimum reserve of the quote token, from either key.
    pub(super) fn minimum(&self) -> Option<&BigDecimal> {
        self.min_reserve.as_ref().or(self.min_liquidity.as_ref())
    }

    /// The window in seconds, if the price is averaged.
    pub(super) fn average_seconds(&self) -> Option<u64> {
        match self.price {
            PoolPrice::Spot => None,
            PoolPrice::Twap => self.twap_seconds,
        }
    }
}

/// Index of the priced token in a pool, and the decimals of both tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PoolShape {
    /// 0 or 1.
    pub base: u8,
    pub base_decimals: u8,
    pub quote_decimals: u8,
}

impl PoolShape {
    /// The power of ten that corrects the ratio of raw amounts, quote by base.
    pub(super) fn shift(self) -> i64 {
        i64::from(self.base_decimals) - i64::from(self.quote_decimals)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(more: &str) -> Result<PoolConfig, String> {
        let text = format!(
            "address = '0x88e6A0c2dDD26FEEb64F039a2c41296FcB3f5640'\nquote = 'usdc'\n{more}"
        );
        toml::from_str(&text).map_err(|error| error.to_string())
    }

    #[test]
    fn minimum_is_integer_or_decimal_string() {
        for (given, plain) in [("100000", "100000"), ("'0.25'", "0.25"), ("0", "0")] {
            let pool = read(&format!("min_reserve = {given}")).unwrap();
            assert_eq!(pool.minimum().unwrap().to_plain_string(), plain);
        }
        for given in ["-1", "0.5", "'-1'", "'1e9'", "'x'", "true", "'.'"] {
            let error = read(&format!("min_liquidity = {given}")).unwrap_err();
            assert!(error.contains("zero or more"), "{given}: {error}");
        }
        assert!(read("").unwrap().minimum().is_none());
    }
}
