//! What the pools of Uniswap V2 and V3 have in common: their keys, and how the priced token stands in them.

use std::str::FromStr;

use bigdecimal::{BigDecimal, num_traits::Zero};
use serde::{Deserialize, Deserializer, de};

use super::config::upper_case;
use crate::model::{Address, ChainId};

/// Least and most of `twap_seconds`.
pub(super) const TWAP_SECONDS: std::ops::RangeInclusive<u64> = 10..=86_400;
/// Longest text of a minimum, in bytes.
const MAX_TEXT: usize = 64;

/// A pool of two tokens. What is left out the contracts are asked; what is given they must agree with.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PoolConfig {
    /// The first configured chain when left out.
    pub chain_id: Option<ChainId>,
    /// Of the pool: a pair that emits `Sync` (V2), or a pool that emits `Swap` (V3).
    pub address: Address,
    /// Which of the pool's tokens is the priced one: 0 or 1. When left out, the one at the priced token's address.
    pub base: Option<u8>,
    pub token0: Option<Address>,
    pub token1: Option<Address>,
    pub base_decimals: Option<u8>,
    pub quote_decimals: Option<u8>,
    /// What the other token is: `USD`, or a tracked token whose own price converts. Upper case.
    #[serde(deserialize_with = "upper_case")]
    pub quote: String,
    /// V2: with a smaller reserve of the quote token there is no price, in units of the quote.
    #[serde(default, deserialize_with = "exact")]
    pub min_reserve: Option<BigDecimal>,
    /// V3: the same for the *virtual* reserve of the quote token at the current price, `L · √P` or `L / √P`, which is
    /// what a V2 pair of the same depth would hold; in units of the quote.
    #[serde(default, deserialize_with = "exact")]
    pub min_liquidity: Option<BigDecimal>,
    #[serde(default)]
    pub price: PoolPrice,
    /// Over how long the price is averaged, with `price = "twap"`: 10 to 86,400.
    pub twap_seconds: Option<u64>,
}

/// Which price of a pool a source gives.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PoolPrice {
    /// The price after each trade.
    #[default]
    Spot,
    /// The average over the last while, each price weighed by how long it held.
    Twap,
}

impl PoolConfig {
    /// The smallest reserve of the quote token, whichever key it came by.
    pub(super) fn minimum(&self) -> Option<&BigDecimal> {
        self.min_reserve.as_ref().or(self.min_liquidity.as_ref())
    }

    /// Over how many seconds the price is averaged, if it is.
    pub(super) fn average_seconds(&self) -> Option<u64> {
        match self.price {
            PoolPrice::Spot => None,
            PoolPrice::Twap => self.twap_seconds,
        }
    }
}

/// Which of a pool's tokens is priced, and how many decimals each has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PoolShape {
    /// 0 or 1.
    pub base: u8,
    pub base_decimals: u8,
    pub quote_decimals: u8,
}

impl PoolShape {
    /// By which power of ten the ratio of the raw amounts, quote by base, is off.
    pub(super) fn shift(self) -> i64 {
        i64::from(self.base_decimals) - i64::from(self.quote_decimals)
    }
}

/// An exact amount of zero or more: an integer, or a decimal as text. A TOML float would not be exact.
fn exact<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<BigDecimal>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Written {
        Integer(i64),
        Text(String),
    }
    let wrong =
        || de::Error::custom("must be an amount of zero or more: 100000, or \"0.5\" as text");
    let value = match Written::deserialize(deserializer).map_err(|_| wrong())? {
        Written::Integer(value) => BigDecimal::from(value),
        Written::Text(text) => {
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
    fn a_minimum_is_an_integer_or_a_decimal_as_text() {
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
