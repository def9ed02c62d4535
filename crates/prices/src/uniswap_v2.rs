//! Uniswap V2-style pairs: `Sync(uint112 reserve0, uint112 reserve1)`.

use alloy::{primitives::B256, sol, sol_types::SolEvent};
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
};
use chaincast_base::settings::Kind;

sol!(Pair, "../../abi/uniswap_v2_pair.json");

/// Topic 0 of the event.
pub(super) const TOPIC: B256 = Pair::Sync::SIGNATURE_HASH;

pub(super) static KIND: KindEntry = KindEntry {
    kind: Kind {
        name: "uniswap-v2",
        text: "a pair that emits Sync",
        keys: PoolConfig::KEYS,
    },
    read: |keys, key, path, problems| Pool::read(&CONTRACT, keys, key, path, problems),
    feeds: no_feeds,
};

pub(super) static CONTRACT: PoolContract = PoolContract {
    topic: TOPIC,
    observe,
    probe: Probe::of::<calls::getReservesCall>(),
    average_name: "uniswap-v2-twap",
    foreign_minimum: ("min_liquidity", "is for uniswap-v3; use min_reserve"),
};

mod calls {
    alloy::sol! {
        // The return values differ among forks.
        function getReserves() external view;
    }
}

/// Decodes one `Sync`: the price is `(quote / 10^quote_decimals) / (base / 10^base_decimals)`, rounded once as
/// described in [`decimal`]; the event time is that of the block. A pair with less than `min_reserve` of the quote
/// token gives no price: it is easily moved.
fn observe(
    log: &LogView<'_>,
    shape: PoolShape,
    least: Option<&BigDecimal>,
) -> Result<Observation, TickFault> {
    let event = Pair::Sync::decode_raw_log_validate(log.topics.iter().copied(), log.data)
        .map_err(|error| TickFault::Malformed(error.to_string()))?;
    let reserves = [event.reserve0, event.reserve1]
        .map(|reserve| BigInt::from_bytes_be(Sign::Plus, &reserve.to_be_bytes_vec()));
    if reserves.iter().any(|reserve| reserve.sign() != Sign::Plus) {
        return Err(TickFault::EmptyReserve);
    }
    let [reserve0, reserve1] = &reserves;
    let (base, quote) = if shape.base == 0 {
        (reserve0, reserve1)
    } else {
        (reserve1, reserve0)
    };
    let held = BigDecimal::new(quote.clone(), i64::from(shape.quote_decimals));
    check_reserve(held, least)?;
    let price = decimal::quotient(quote, base, shape.shift()).ok_or(TickFault::EmptyReserve)?;
    Ok(Observation {
        price,
        observed_at: time_ms(log.block_timestamp)?,
    })
}

/// Fails if a pool holds less than `min_reserve` of the quote token.
pub(super) fn check_reserve(held: BigDecimal, least: Option<&BigDecimal>) -> Result<(), TickFault> {
    match least {
        Some(least) if held < *least => Err(TickFault::Thin {
            held: decimal::rounded(&held).to_plain_string().into(),
            least: least.to_plain_string().into(),
        }),
        _ => Ok(()),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use alloy::primitives::{LogData, U256, aliases::U112};

    use super::{super::log_view::tests::view, *};

    /// A `Sync` as a pair emits it.
    pub(in super::super) fn sync(reserve0: &str, reserve1: &str) -> LogData {
        Pair::Sync {
            reserve0: reserve0.parse().unwrap(),
            reserve1: reserve1.parse().unwrap(),
        }
        .encode_log_data()
    }

    const ETH_USDC: PoolShape = PoolShape {
        base: 1,
        base_decimals: 18,
        quote_decimals: 6,
    };

    fn read(log: &LogData, shape: PoolShape) -> Result<Observation, TickFault> {
        read_above(log, shape, None)
    }

    fn read_above(
        log: &LogData,
        shape: PoolShape,
        least: Option<&BigDecimal>,
    ) -> Result<Observation, TickFault> {
        observe(&view(log, 1_700_000_000), shape, least)
    }

    #[test]
    fn topic_matches_deployed_pairs() {
        assert_eq!(
            TOPIC.to_string(),
            "0x1c411e9a96e071241c2f21f7726b17ae89e3cab4c78be50e062b03a9fffbbad1"
        );
    }

    #[test]
    fn prices_either_token() {
        // 34,561,200 USDC (6 decimals) and 10,000 ETH (18 decimals).
        let log = sync("34561200000000", "10000000000000000000000");
        let eth = read(&log, ETH_USDC).unwrap();
        assert_eq!(eth.price.to_plain_string(), "3456.12");
        assert_eq!(eth.observed_at, 1_700_000_000_000);
        let usdc = PoolShape {
            base: 0,
            base_decimals: 6,
            quote_decimals: 18,
        };
        assert_eq!(
            read(&log, usdc).unwrap().price.to_plain_string(),
            "0.000289341805261391387"
        );
    }

    #[test]
    fn extreme_reserves_keep_18_digits() {
        let most = U112::MAX.to_string();
        for (log, base_decimals, quote_decimals) in [
            (sync("1", &most), 0, 255),
            (sync(&most, "1"), 255, 0),
            (sync(&most, &most), 18, 18),
        ] {
            let shape = PoolShape {
                base: 0,
                base_decimals,
                quote_decimals,
            };
            let price = read(&log, shape).unwrap().price;
            assert!(price > 0 && price.digits() <= 18, "{price}");
        }
    }

    #[test]
    fn rejects_empty_reserve() {
        for log in [sync("0", "5"), sync("5", "0"), sync("0", "0")] {
            assert_eq!(read(&log, ETH_USDC).unwrap_err(), TickFault::EmptyReserve);
        }
    }

    #[test]
    fn rejects_reserve_below_minimum() {
        // 99,999.999999 USDC.
        let log = sync("99999999999", "30000000000000000000");
        let least = |text: &str| text.parse::<BigDecimal>().unwrap();
        let refused = read_above(&log, ETH_USDC, Some(&least("100000"))).unwrap_err();
        let expected = TickFault::Thin {
            held: "99999.999999".into(),
            least: "100000".into(),
        };
        assert_eq!(refused, expected);
        assert!(read_above(&log, ETH_USDC, Some(&least("99999.999999"))).is_ok());
    }

    #[test]
    fn reserve_over_112_bits_is_malformed() {
        let log = sync("1", "1");
        let mut data = log.data.to_vec();
        data[..32].copy_from_slice(&U256::MAX.to_be_bytes::<32>());
        let bad = LogData::new_unchecked(log.topics().to_vec(), data.into());
        assert!(matches!(read(&bad, ETH_USDC), Err(TickFault::Malformed(_))));
    }
}
