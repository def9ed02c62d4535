//! Common settings of Uniswap V2 and V3 pools, and the role of the priced token.

use std::str::FromStr;

use bigdecimal::{BigDecimal, num_traits::Zero};
use serde::{Deserialize, Deserializer, de};

use super::config::upper_case;
use crate::model::{Address, ChainId};

/// Limits of `twap_seconds`.
pub(super) const TWAP_SECONDS: std::ops::RangeInclusive<u64> = 10..=86_400;
/// Maximum length of a minimum in bytes.
const MAX_TEXT: usize = 64;

/// A pool of two tokens. Omitted values are read from the contracts; given ones must match them.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PoolConfig {
    /// The first configured chain if omitted.
    pub chain_id: Option<ChainId>,
    /// Address of a pair that emits `Sync` (V2), or of a pool that emits `Swap` (V3).
    pub address: Address,
    /// Index of the priced token in the pool: 0 or 1. If omitted, the one at the priced token's address.
    pub base: Option<u8>,
    pub token0: Option<Address>,
    pub token1: Option<Address>,
    pub base_decimals: Option<u8>,
    pub quote_decimals: Option<u8>,
    /// The other token: `USD`, or a tracked token whose own price converts. Upper case.
    #[serde(deserialize_with = "upper_case")]
    pub quote: String,
    /// V2: minimum reserve of the quote token, in units of it; there is no price below.
    #[serde(default, deserialize_with = "exact_amount")]
    pub min_reserve: Option<BigDecimal>,
    /// V3: minimum *virtual* reserve of the quote token at the current price, `L · √P` or `L / √P`, which is the
    /// reserve of a V2 pair of the same depth; in units of the quote.
    #[serde(default, deserialize_with = "exact_amount")]
    pub min_liquidity: Option<BigDecimal>,
    #[serde(default)]
    pub price: PoolPrice,
    /// Window of the average, with `price = "twap"`: 10 to 86,400.
    pub twap_seconds: Option<u64>,
}

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

/// A non-negative exact amount: an integer, or a decimal string. A TOML float is not exact.
fn exact_amount<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<BigDecimal>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Input {
        Integer(i64),
        Text(String),
    }
    let wrong = || {
        de::Error::custom(
            "must be zero or more: an integer such as 100000, or a string such as \"0.5\"",
        )
    };
    let value = match Input::deserialize(deserializer).map_err(|_| wrong())? {
        Input::Integer(value) => BigDecimal::from(value),
        Input::Text(text) => {
            let plain = text.bytes().all(|c| c.is_ascii_digit() || c == b'.');
            let has_digit = text.bytes().any(|c| c.is_ascii_digit());
            if !plain || !has_digit || text.len() > MAX_TEXT {
                return Err(wrong());
            }
            BigDecimal::from_str(&text).map_err(|_| wrong())?
        }
    };
    if value < BigDecimal::zero() {
        return Err(wrong());
    }
    Ok(Some(value))
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
