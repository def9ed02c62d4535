//! Common settings of Uniswap V2 and V3 pools, and the role of the priced token.

use std::sync::Arc;

use alloy::primitives::B256;
use bigdecimal::BigDecimal;
use serde::Deserialize;
use toml::Value;

use super::{
    LogView, TickFault,
    contract_facts::Probe,
    max_age::DEFAULT_MAX_AGE_MS,
    observation::Observation,
    source_config::{KeyProblem, SourceConfig, SourceSettings},
    spelling::upper_case,
};
use chaincast_base::settings::{Key, Problems, Setting, lower_case_word, plain_settings, settings};
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
        /// The contract of the token with index 0.
        token0: Option<Address> = None, example("\"0x…\"");
        /// The contract of the token with index 1.
        token1: Option<Address> = None, example("\"0x…\"");
        /// Decimals of the priced token.
        base_decimals: Option<u8> = None, example("18");
        /// Decimals of the other token.
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

/// A pool as a source: its settings, and how contracts of its kind are read.
#[derive(Debug, Clone)]
pub(super) struct Pool {
    pub config: PoolConfig,
    pub contract: &'static PoolContract,
}

/// A kind of pool: its event, and how it differs from other kinds.
#[derive(Debug)]
pub(super) struct PoolContract {
    /// Topic 0 of the event that gives the price.
    pub topic: B256,
    /// Decodes one event; the last argument is the least amount of the quote token.
    pub observe: fn(&LogView<'_>, PoolShape, Option<&BigDecimal>) -> Result<Observation, TickFault>,
    /// A call that only pools of this kind answer.
    pub probe: Probe,
    /// The default name of a source that averages.
    pub average_name: &'static str,
    /// The key of the least amount that other kinds have, and what to do instead.
    pub foreign_minimum: (&'static str, &'static str),
}

impl Pool {
    /// Reads the keys of a source; see [`Setting::read`].
    pub(super) fn read(
        contract: &'static PoolContract,
        keys: Value,
        key: &Key,
        path: &str,
        problems: &mut Problems,
    ) -> Option<Arc<dyn SourceSettings>> {
        let config = PoolConfig::read(keys, key, path, problems)?;
        Some(Arc::new(Self { config, contract }))
    }
}

impl SourceSettings for Pool {
    fn quote(&self) -> &str {
        &self.config.quote
    }

    fn default_name(&self) -> Option<&'static str> {
        (self.config.price == PoolPrice::Twap).then_some(self.contract.average_name)
    }

    fn default_max_age_ms(&self) -> u64 {
        DEFAULT_MAX_AGE_MS
    }

    fn contract(&self) -> Option<(Option<ChainId>, Address)> {
        Some((self.config.chain_id, self.config.address))
    }

    fn average_seconds(&self) -> Option<u64> {
        self.config.average_seconds()
    }

    fn problems(
        &self,
        source: &SourceConfig,
        has_address: bool,
        is_reported: &dyn Fn(&str) -> bool,
    ) -> Vec<KeyProblem> {
        let pool = &self.config;
        let mut found = Vec::new();
        if pool.token0.is_some() && pool.token0 == pool.token1 {
            found.push(("token1", "must differ from token0".to_owned()));
        }
        let (foreign, expected) = self.contract.foreign_minimum;
        if pool.sets_minimum(foreign) {
            found.push((foreign, expected.to_owned()));
        }
        if pool.base.is_none() && !has_address {
            let token = &source.token;
            let expected =
                format!("must be 0 or 1, or {token} needs its `address` in prices.tokens");
            found.push(("base", expected));
        }
        if !is_reported("price") {
            found.extend(pool.window_problem());
        }
        if source.unit.invert {
            let expected = "is not allowed for pools: `base` selects the priced token";
            found.push(("invert", expected.to_owned()));
        }
        found
    }
}

impl PoolConfig {
    /// Whether this key of the least amount is set.
    fn sets_minimum(&self, key: &str) -> bool {
        match key {
            "min_reserve" => self.min_reserve.is_some(),
            _ => self.min_liquidity.is_some(),
        }
    }

    fn window_problem(&self) -> Option<KeyProblem> {
        let expected = match (self.price, self.twap_seconds) {
            (PoolPrice::Twap, Some(_)) | (PoolPrice::Spot, None) => return None,
            (PoolPrice::Spot, Some(_)) => "requires price = \"twap\"",
            (PoolPrice::Twap, None) => "is missing: price = \"twap\" requires it",
        };
        Some(("twap_seconds", expected.to_owned()))
    }

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
