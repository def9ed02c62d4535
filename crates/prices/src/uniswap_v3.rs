//! Uniswap V3 pools: `Swap(address indexed sender, address indexed recipient, int256 amount0, int256 amount1, uint160
//! sqrtPriceX96, uint128 liquidity, int24 tick)`, which has the state after the swap.
//!
//! Follows the whitepaper of Uniswap v3 core (sections 6.1 and 6.2) and TickMath: `sqrtPriceX96 / 2^96` is the square
//! root of the price of one raw unit of token 0 in raw units of token 1. Squares have up to 320 bits, so everything
//! uses big integers and is rounded once.

use alloy::{
    primitives::{B256, Uint},
    sol,
    sol_types::SolEvent,
};
use bigdecimal::{
    BigDecimal,
    num_bigint::{BigInt, Sign},
};

use super::{
    LogView, TickFault,
    contract_facts::Probe,
    decimal,
    kind_entry::{KindEntry, no_feeds},
    observation::{Observation, time_ms},
    pool::{Pool, PoolConfig, PoolContract, PoolShape},
    uniswap_v2::check_reserve,
};
use chaincast_base::settings::Kind;

sol!(PoolEvents, "../../abi/uniswap_v3_pool.json");

/// Topic 0 of the event.
pub(super) const TOPIC: B256 = PoolEvents::Swap::SIGNATURE_HASH;

pub(super) static KIND: KindEntry = KindEntry {
    kind: Kind {
        name: "uniswap-v3",
        text: "a pool that emits Swap",
        keys: PoolConfig::KEYS,
    },
    read: |keys, key, path, problems| Pool::read(&CONTRACT, keys, key, path, problems),
    feeds: no_feeds,
};

pub(super) static CONTRACT: PoolContract = PoolContract {
    topic: TOPIC,
    observe,
    probe: Probe::of::<calls::slot0Call>(),
    average_name: "uniswap-v3-twap",
    foreign_minimum: ("min_reserve", "is for uniswap-v2; use min_liquidity"),
};

mod calls {
    alloy::sol! {
        // The return values differ among forks.
        function slot0() external view;
    }
}

/// Fixed-point bits of `sqrtPriceX96`.
const RESOLUTION: usize = 96;
/// Bounds of `sqrtPriceX96` (TickMath): minimum inclusive, maximum exclusive.
const MIN_SQRT_RATIO: u64 = 4_295_128_739;
const MAX_SQRT_RATIO: &str = "1461446703485210103287273052203988822378723970342";

/// Decodes one `Swap`. With `P = (sqrtPriceX96 / 2^96)²` the price of token 0 is `P` and that of token 1 is `1 / P`,
/// each times `10^(base_decimals - quote_decimals)`, rounded once as described in [`decimal`]; the event time is that
/// of the block.
///
/// A pool without liquidity at its price gives no price, nor does one whose virtual reserve of the quote token, `L ·
/// √P` of token 1 or `L / √P` of token 0, is less than `min_reserve` in units of the quote.
fn observe(
    log: &LogView<'_>,
    shape: PoolShape,
    least: Option<&BigDecimal>,
) -> Result<Observation, TickFault> {
    let event = PoolEvents::Swap::decode_raw_log_validate(log.topics.iter().copied(), log.data)
        .map_err(|error| TickFault::Malformed(error.to_string()))?;
    let (root, liquidity) = (integer(event.sqrtPriceX96), event.liquidity);
    if !is_valid_root(&root) {
        return Err(TickFault::Malformed(format!(
            "sqrtPriceX96 {root} is out of range"
        )));
    }
    if liquidity == 0 {
        return Err(TickFault::EmptyReserve);
    }
    let one = BigInt::from(1) << RESOLUTION;
    let liquidity = BigInt::from(liquidity);
    // Raw units of the quote token, rounded down.
    let held = if shape.base == 0 {
        &liquidity * &root / &one
    } else {
        &liquidity * &one / &root
    };
    check_reserve(
        BigDecimal::new(held, i64::from(shape.quote_decimals)),
        least,
    )?;
    let price = price(&root, shape).ok_or(TickFault::EmptyReserve)?;
    Ok(Observation {
        price,
        observed_at: time_ms(log.block_timestamp)?,
    })
}

/// The price of the base token at a positive `sqrtPriceX96`.
fn price(root: &BigInt, shape: PoolShape) -> Option<BigDecimal> {
    let square = root * root;
    let one = BigInt::from(1) << (2 * RESOLUTION);
    if shape.base == 0 {
        decimal::quotient(&square, &one, shape.shift())
    } else {
        decimal::quotient(&one, &square, shape.shift())
    }
}

fn is_valid_root(root: &BigInt) -> bool {
    let most = MAX_SQRT_RATIO.parse::<BigInt>();
    *root >= BigInt::from(MIN_SQRT_RATIO) && most.is_ok_and(|most| *root < most)
}

fn integer<const BITS: usize, const LIMBS: usize>(value: Uint<BITS, LIMBS>) -> BigInt {
    BigInt::from_bytes_be(Sign::Plus, &value.to_be_bytes_vec())
}

#[cfg(test)]
pub(super) mod tests {
    use alloy::primitives::{
        Address, I256, LogData, U256,
        aliases::{I24, U160},
    };

    use super::{super::log_view::tests::view, *};

    /// A `Swap` as a pool emits it.
    pub(in super::super) fn swap(root: &str, liquidity: u128) -> LogData {
        PoolEvents::Swap {
            sender: Address::ZERO,
            recipient: Address::ZERO,
            amount0: I256::MINUS_ONE,
            amount1: I256::ONE,
            sqrtPriceX96: root.parse::<U160>().unwrap(),
            liquidity,
            tick: I24::ZERO,
        }
        .encode_log_data()
    }

    /// USDC (6 decimals) is token 0 of the pool with WETH (18) on Ethereum.
    const ETH_IN_USDC: PoolShape = PoolShape {
        base: 1,
        base_decimals: 18,
        quote_decimals: 6,
    };
    const USDC_IN_ETH: PoolShape = PoolShape {
        base: 0,
        base_decimals: 6,
        quote_decimals: 18,
    };

    fn read(log: &LogData, shape: PoolShape, least: &str) -> Result<Observation, TickFault> {
        observe(
            &view(log, 1_700_000_000),
            shape,
            Some(&least.parse().unwrap()),
        )
    }

    fn text(root: &str, shape: PoolShape) -> String {
        let read = read(&swap(root, 1 << 100), shape, "0").unwrap();
        read.price.to_plain_string()
    }

    #[test]
    fn topic_matches_deployed_pools() {
        assert_eq!(
            TOPIC.to_string(),
            "0xc42079f94a6350d7e6235f29174924f928cc2ac818eb64fed8004e115fbcca67"
        );
    }

    #[test]
    fn prices_usdc_weth_pool_example() {
        // The pool's slot0 in Uniswap's primer on the arithmetic of v3, which calculates 1,540.82 USDC.
        let root = "2018382873588440326581633304624437";
        assert_eq!(text(root, USDC_IN_ETH), "0.000649004842701370077");
        assert_eq!(text(root, ETH_IN_USDC), "1540.82055202804569");
    }

    #[test]
    fn root_of_two_is_price_of_four() {
        let even = |base| PoolShape {
            base,
            base_decimals: 18,
            quote_decimals: 18,
        };
        let root = (BigInt::from(2) << RESOLUTION).to_string();
        assert_eq!(text(&root, even(0)), "4");
        assert_eq!(text(&root, even(1)), "0.25");
        let shape = PoolShape {
            base_decimals: 8,
            quote_decimals: 6,
            ..even(0)
        };
        assert_eq!(text(&root, shape), "400");
    }

    #[test]
    fn extreme_roots_keep_18_digits() {
        let last: BigInt = MAX_SQRT_RATIO.parse::<BigInt>().unwrap() - 1_u8;
        for root in [MIN_SQRT_RATIO.to_string(), last.to_string()] {
            for base in [0, 1] {
                for (base_decimals, quote_decimals) in [(0, 255), (255, 0), (18, 6), (6, 18)] {
                    let shape = PoolShape {
                        base,
                        base_decimals,
                        quote_decimals,
                    };
                    let price = read(&swap(&root, u128::MAX), shape, "0").unwrap().price;
                    assert!(price > 0 && price.digits() <= 18, "{price}");
                }
            }
        }
    }

    #[test]
    fn rejects_root_out_of_range() {
        let below = (MIN_SQRT_RATIO - 1).to_string();
        for root in ["0", "1", below.as_str(), MAX_SQRT_RATIO] {
            let refused = read(&swap(root, 1), ETH_IN_USDC, "0").unwrap_err();
            assert!(matches!(refused, TickFault::Malformed(_)), "{root}");
        }
    }

    #[test]
    fn rejects_virtual_reserve_below_minimum() {
        // At a root of 2, a liquidity of 1,000 is 2,000 of token 1 and 500 of token 0.
        let log = swap(&(BigInt::from(2) << RESOLUTION).to_string(), 1_000);
        for (base, held) in [(0, 2_000), (1, 500)] {
            let shape = PoolShape {
                base,
                base_decimals: 0,
                quote_decimals: 0,
            };
            assert!(read(&log, shape, &held.to_string()).is_ok());
            let more = (held + 1).to_string();
            let refused = read(&log, shape, &more).unwrap_err();
            let expected = TickFault::Thin {
                held: held.to_string().into(),
                least: more.into(),
            };
            assert_eq!(refused, expected);
        }
        let none = swap(&(BigInt::from(2) << RESOLUTION).to_string(), 0);
        assert_eq!(
            read(&none, ETH_IN_USDC, "0").unwrap_err(),
            TickFault::EmptyReserve
        );
    }

    #[test]
    fn truncated_event_is_malformed() {
        let log = swap("79228162514264337593543950336", 1);
        let cut = LogData::new_unchecked(log.topics().to_vec(), log.data.slice(..159));
        assert!(matches!(
            read(&cut, ETH_IN_USDC, "0"),
            Err(TickFault::Malformed(_))
        ));
        let mut data = log.data.to_vec();
        data[64..96].copy_from_slice(&U256::MAX.to_be_bytes::<32>());
        let wide = LogData::new_unchecked(log.topics().to_vec(), data.into());
        assert!(matches!(
            read(&wide, ETH_IN_USDC, "0"),
            Err(TickFault::Malformed(_))
        ));
    }
}
