//! The price sources that are contracts: finds whose log it is, and decodes it.
//!
//! Pure but for its metrics and its log lines: nothing is fetched, nothing is stored.

use std::sync::Arc;

use bigdecimal::BigDecimal;
use rustc_hash::FxHashMap;

use super::{
    LogView, PriceConfig, PriceConfigError, SourceKind, TickError, TickFault, chainlink, uniswap_v2,
};
use crate::model::{Address, B256, ChainId, LogOrigin, Tick, Token};

/// The last second whose milliseconds every store and every client can hold: the end of the year 9999.
const LAST_SECOND: u64 = 253_402_300_799;

/// What a decoder reads from a log.
#[derive(Debug)]
pub(super) struct Observation {
    /// Above zero, in the source's quote.
    pub price: BigDecimal,
    /// In ms since the Unix epoch.
    pub observed_at: i64,
}

/// Every contract that is watched for prices. Built once, then only read.
#[derive(Debug)]
pub struct OnChainSources {
    by_contract: FxHashMap<(ChainId, Address), Vec<Source>>,
}

/// One token's reading of one contract.
#[derive(Debug)]
struct Source {
    token: Token,
    name: Arc<str>,
    quote: Arc<str>,
    topic: B256,
    reader: Reader,
}

#[derive(Debug)]
enum Reader {
    Chainlink { decimals: u8 },
    UniswapV2(uniswap_v2::PairShape),
}

impl OnChainSources {
    /// `first_chain` is the chain of the sources that name none. Fails when the configuration contradicts itself.
    pub fn new(config: &PriceConfig, first_chain: ChainId) -> Result<Self, PriceConfigError> {
        config.validate()?;
        super::metrics::describe();
        let mut by_contract = FxHashMap::<_, Vec<Source>>::default();
        for (index, source) in config.sources.iter().enumerate() {
            let Some((chain_id, address)) = source.kind.contract() else {
                continue;
            };
            let (topic, reader) = match &source.kind {
                SourceKind::Chainlink(feed) => (
                    chainlink::TOPIC,
                    Reader::Chainlink {
                        decimals: feed.decimals,
                    },
                ),
                SourceKind::UniswapV2(pair) => (
                    uniswap_v2::TOPIC,
                    Reader::UniswapV2(uniswap_v2::PairShape {
                        base: pair.base,
                        base_decimals: pair.base_decimals,
                        quote_decimals: pair.quote_decimals,
                    }),
                ),
                SourceKind::Binance(_) | SourceKind::Coinbase(_) | SourceKind::Kraken(_) => {
                    continue;
                }
            };
            let watched = Source {
                token: source.token.clone(),
                name: source.source_name(),
                quote: source.kind.quote().into(),
                topic,
                reader,
            };
            let readers = by_contract
                .entry((chain_id.unwrap_or(first_chain), address))
                .or_default();
            // Seen only now when one entry names the first chain and the other leaves it out.
            if readers.iter().any(|other| other.token == source.token) {
                return Err(PriceConfigError::DuplicateContract {
                    at: source.place(index),
                    token: source.token.clone(),
                });
            }
            readers.push(watched);
        }
        Ok(Self { by_contract })
    }

    /// The ticks that a log gives: none for most logs, and more than one when several tokens read one contract.
    ///
    /// A refused one is counted and logged here already; the caller leaves it out and goes on.
    pub fn decode(&self, chain_id: ChainId, log: &LogView<'_>) -> Vec<Result<Tick, TickError>> {
        let Some(sources) = self.by_contract.get(&(chain_id, log.address)) else {
            return Vec::new();
        };
        sources
            .iter()
            .filter(|source| log.topics.first() == Some(&source.topic))
            .map(|source| source.tick(chain_id, log))
            .collect()
    }
}

impl Source {
    fn tick(&self, chain_id: ChainId, log: &LogView<'_>) -> Result<Tick, TickError> {
        let observed = match &self.reader {
            Reader::Chainlink { decimals } => chainlink::observe(log, *decimals),
            Reader::UniswapV2(shape) => uniswap_v2::observe(log, *shape),
        };
        let origin = LogOrigin {
            chain_id,
            block_number: log.block_number,
            block_hash: log.block_hash,
            log_index: log.log_index,
        };
        match observed {
            Ok(Observation { price, observed_at }) => {
                super::metrics::tick(&self.token, &self.name);
                Ok(Tick {
                    token: self.token.clone(),
                    source: self.name.clone(),
                    quote: self.quote.clone(),
                    price,
                    confidence: None,
                    observed_at,
                    origin: Some(origin),
                })
            }
            Err(fault) => {
                super::metrics::refused(&fault);
                tracing::warn!(
                    token = %self.token, source = %self.name, chain_id,
                    block = log.block_number, log_index = log.log_index, reason = %fault,
                    "a price source's log gave no price"
                );
                Err(TickError {
                    token: self.token.clone(),
                    source_name: self.name.clone(),
                    origin,
                    fault,
                })
            }
        }
    }
}

/// The block's time in ms.
pub(super) fn block_time_ms(log: &LogView<'_>) -> Result<i64, TickFault> {
    if log.block_timestamp > LAST_SECOND {
        return Err(TickFault::Timestamp(log.block_timestamp));
    }
    Ok(log.block_timestamp.cast_signed() * 1_000)
}

#[cfg(test)]
mod tests {
    use alloy::primitives::{I256, LogData, U256, address};

    use super::{super::chainlink::tests::answer, super::uniswap_v2::tests::sync, *};

    const FEED: Address = address!("0x0000000000000000000000000000000000000001");
    const PAIR: Address = address!("0x0000000000000000000000000000000000000002");

    fn sources() -> OnChainSources {
        let config: PriceConfig = toml::from_str(
            "[[tokens]]\nsymbol = 'ETH'\n[[tokens]]\nsymbol = 'BTC'\n
             [[sources]]\nkind = 'chainlink'\ntoken = 'ETH'\ndecimals = 8
             address = '0x0000000000000000000000000000000000000001'
             [[sources]]\nkind = 'chainlink'\ntoken = 'BTC'\ndecimals = 8\nchain_id = 10
             address = '0x0000000000000000000000000000000000000001'
             [[sources]]\nkind = 'uniswap-v2'\ntoken = 'ETH'\nbase = 0\nquote = 'BTC'
             base_decimals = 18\nquote_decimals = 8
             address = '0x0000000000000000000000000000000000000002'
             [[sources]]\nkind = 'uniswap-v2'\ntoken = 'BTC'\nbase = 1\nquote = 'ETH'
             base_decimals = 8\nquote_decimals = 18
             address = '0x0000000000000000000000000000000000000002'",
        )
        .unwrap();
        OnChainSources::new(&config, 1).unwrap()
    }

    fn view(address: Address, log: &LogData) -> LogView<'_> {
        LogView {
            address,
            topics: log.topics(),
            data: &log.data,
            block_number: 12,
            block_hash: B256::repeat_byte(9),
            block_timestamp: 1_700_000_000,
            log_index: 3,
        }
    }

    #[test]
    fn a_log_is_read_by_the_source_of_its_chain_and_address() {
        let log = answer("345600000000".parse().unwrap(), U256::from(1_699_999_999));
        let ticks = sources().decode(1, &view(FEED, &log));
        let [Ok(tick)] = ticks.as_slice() else {
            panic!("{ticks:?}")
        };
        assert_eq!(
            (tick.token.as_str(), &*tick.source, &*tick.quote),
            ("ETH", "chainlink", "USD")
        );
        assert_eq!(tick.observed_at, 1_699_999_999_000);
        let origin = tick.origin.unwrap();
        assert_eq!(
            (origin.chain_id, origin.block_number, origin.log_index),
            (1, 12, 3)
        );

        let other_chain = sources().decode(10, &view(FEED, &log));
        assert_eq!(other_chain[0].as_ref().unwrap().token.as_str(), "BTC");
    }

    #[test]
    fn one_sync_prices_both_tokens_of_its_pair() {
        let log = sync("20000000000000000000", "100000000"); // 20 ETH, 1 BTC
        let ticks = sources().decode(1, &view(PAIR, &log));
        let read: Vec<_> = ticks
            .iter()
            .map(|tick| {
                let tick = tick.as_ref().unwrap();
                (
                    tick.token.as_str(),
                    &*tick.quote,
                    tick.price.to_plain_string(),
                )
            })
            .collect();
        assert_eq!(
            read,
            [
                ("ETH", "BTC", "0.05".to_owned()),
                ("BTC", "ETH", "20".to_owned())
            ]
        );
    }

    #[test]
    fn other_events_and_other_addresses_are_nobodys() {
        let sources = sources();
        let log = sync("1", "1");
        assert!(sources.decode(1, &view(FEED, &log)).is_empty());
        assert!(sources.decode(1, &view(Address::ZERO, &log)).is_empty());
        assert!(sources.decode(2, &view(PAIR, &log)).is_empty());
        let anonymous = LogData::new_unchecked(vec![], log.data.clone());
        assert!(sources.decode(1, &view(PAIR, &anonymous)).is_empty());
    }

    #[test]
    fn a_refusal_says_whose_log_it_was() {
        let log = answer(I256::ZERO, U256::from(1));
        let refused = sources()
            .decode(1, &view(FEED, &log))
            .remove(0)
            .unwrap_err();
        assert_eq!(
            refused.to_string(),
            "chainlink of ETH gave no price in block 12 of chain 1, log 3: its answer is 0, and a \
             price is above zero"
        );
    }

    #[test]
    fn a_block_from_beyond_the_calendar_is_refused() {
        let log = sync("1", "1");
        let mut view = view(PAIR, &log);
        view.block_timestamp = u64::MAX;
        let refused = sources().decode(1, &view).remove(0).unwrap_err();
        assert_eq!(refused.fault, TickFault::Timestamp(u64::MAX));
    }
}
