//! Chainlink aggregators: `AnswerUpdated(int256 indexed current, uint256 indexed roundId, uint256 updatedAt)`, and
//! `latestRoundData()` of the proxy in front of one.
//!
//! Follows AggregatorV3Interface and AggregatorProxyInterface of Chainlink's contracts, and their documentation: an
//! answer is above zero and no older than the feed's heartbeat.

use alloy::{
    primitives::{B256, I256, U256},
    sol,
    sol_types::SolEvent,
};
use bigdecimal::{BigDecimal, num_bigint::BigInt};

use super::{
    LogView, TickFault,
    kind_entry::{KindEntry, no_feeds, read},
    max_age::{DEFAULT_MAX_AGE_MS, MAX_AGE_LIMIT_MS},
    observation::{Observation, time_ms},
    source_config::{KeyProblem, SourceConfig, SourceSettings},
    venue_time::{self, MAX_AHEAD_MS},
};
use chaincast_base::settings::{Kind, settings};
use chaincast_protocol::{Address, ChainId, USD};

sol!(Aggregator, "../../abi/chainlink_aggregator.json");

/// Topic 0 of the event.
pub(super) const TOPIC: B256 = Aggregator::AnswerUpdated::SIGNATURE_HASH;

pub(super) static KIND: KindEntry = KindEntry {
    kind: Kind {
        name: "chainlink",
        text: "a Chainlink feed, priced in USD",
        keys: ChainlinkConfig::KEYS,
    },
    read: read::<ChainlinkConfig>,
    feeds: no_feeds,
};

settings! {
    /// A Chainlink aggregator that emits `AnswerUpdated`, or the proxy in front of it; priced in USD.
    pub struct ChainlinkConfig {
        /// Default: the first configured chain; it must have logs.
        chain_id: Option<ChainId> = None, example("1");
        /// The proxy, whose current aggregator is used, or an aggregator.
        address: Address = Address::ZERO, required(), example("\"0x…\"");
        /// Decimals of the answer; read from the contract. If it is set and differs, the source is rejected.
        decimals: Option<u8> = None, example("8");
        /// An answer older than this at the time of its block is rejected; use the feed's own heartbeat plus some minutes.
        /// It is also the default of `max_age_ms`.
        heartbeat_ms: Option<u64> = None, range(1, MAX_AGE_LIMIT_MS), example("4000000");
    }
}

impl SourceSettings for ChainlinkConfig {
    fn quote(&self) -> &str {
        USD
    }

    fn default_max_age_ms(&self) -> u64 {
        // An answer rejected at this age cannot be used for longer.
        self.heartbeat_ms.unwrap_or(DEFAULT_MAX_AGE_MS)
    }

    fn contract(&self) -> Option<(Option<ChainId>, Address)> {
        Some((self.chain_id, self.address))
    }

    fn has_answers(&self) -> bool {
        true
    }

    fn problems(
        &self,
        source: &SourceConfig,
        _has_address: bool,
        _is_reported: &dyn Fn(&str) -> bool,
    ) -> Vec<KeyProblem> {
        let max_age_ms = source.max_age_ms;
        let shorter = self
            .heartbeat_ms
            .filter(|heartbeat| max_age_ms > *heartbeat);
        // An answer rejected at this age cannot be used for longer.
        let problem = shorter.map(|heartbeat_ms| {
            let expected =
                format!("must be at most heartbeat_ms, {heartbeat_ms}, not {max_age_ms}");
            ("max_age_ms", expected)
        });
        problem.into_iter().collect()
    }
}

/// An answer of an aggregator or a proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Round {
    /// The price, scaled by 10 to the power of the feed's `decimals`.
    pub answer: I256,
    /// In seconds since the Unix epoch; 0 if the contract does not report it.
    pub updated_at: U256,
}

/// Decodes one `AnswerUpdated`; see [`price`].
pub(super) fn observe(
    log: &LogView<'_>,
    decimals: u8,
    heartbeat_ms: Option<u64>,
) -> Result<Observation, TickFault> {
    let event =
        Aggregator::AnswerUpdated::decode_raw_log_validate(log.topics.iter().copied(), log.data)
            .map_err(|error| TickFault::Malformed(error.to_string()))?;
    let round = Round {
        answer: event.current,
        updated_at: event.updatedAt,
    };
    price(round, decimals, heartbeat_ms, log.block_timestamp)
}

/// The price of an answer: `answer / 10^decimals`, exactly.
///
/// The event time is `updatedAt`, in seconds or another unit of [`venue_time`], but at most the block's time. An
/// `updatedAt` more than a minute ahead of its block is rejected: an oracle with a fast clock must not keep its answer
/// fresh for longer. Zero means that the aggregator does not report the time; the block's time is used instead.
pub(super) fn price(
    round: Round,
    decimals: u8,
    heartbeat_ms: Option<u64>,
    block_timestamp: u64,
) -> Result<Observation, TickFault> {
    if !round.answer.is_positive() {
        return Err(TickFault::NotPositive(round.answer.to_string()));
    }
    let answer = BigInt::from_signed_bytes_be(&round.answer.to_be_bytes::<32>());
    let block_ms = time_ms(block_timestamp)?;
    let observed_at = updated_at(round.updated_at, block_ms)?;
    let age_ms = block_ms.saturating_sub(observed_at).unsigned_abs();
    match heartbeat_ms {
        Some(heartbeat_ms) if age_ms > heartbeat_ms => Err(TickFault::Old {
            age_ms,
            heartbeat_ms,
        }),
        _ => Ok(Observation {
            price: BigDecimal::new(answer, i64::from(decimals)).normalized(),
            observed_at,
        }),
    }
}

/// The event time of an answer in ms; `block_ms` is the time of its block.
fn updated_at(seconds: U256, block_ms: i64) -> Result<i64, TickFault> {
    if seconds.is_zero() {
        return Ok(block_ms);
    }
    let no_time = || TickFault::NoTime(seconds.to_string());
    let number = u128::try_from(seconds).map_err(|_| no_time())?;
    let at = venue_time::from_integer(number).ok_or_else(no_time)?;
    let ahead_ms = at.saturating_sub(block_ms);
    if ahead_ms > MAX_AHEAD_MS.cast_signed() {
        return Err(TickFault::Ahead {
            ahead_ms: ahead_ms.unsigned_abs(),
            clock: "the block timestamp",
        });
    }
    Ok(at.min(block_ms))
}

#[cfg(test)]
pub(super) mod tests {
    use alloy::primitives::LogData;

    use super::{super::log_view::tests::view, *};

    /// An `AnswerUpdated` as a contract emits it.
    pub(in super::super) fn answer(current: I256, updated_at: U256) -> LogData {
        Aggregator::AnswerUpdated {
            current,
            roundId: U256::from(7),
            updatedAt: updated_at,
        }
        .encode_log_data()
    }

    const BLOCK_TIME: u64 = 1_700_000_000;

    fn read(log: &LogData, decimals: u8) -> Result<Observation, TickFault> {
        read_within(log, decimals, None)
    }

    fn read_within(
        log: &LogData,
        decimals: u8,
        heartbeat_ms: Option<u64>,
    ) -> Result<Observation, TickFault> {
        observe(&view(log, BLOCK_TIME), decimals, heartbeat_ms)
    }

    fn text(value: &str, decimals: u8) -> String {
        let log = answer(value.parse().unwrap(), U256::from(BLOCK_TIME));
        read(&log, decimals).unwrap().price.to_plain_string()
    }

    #[test]
    fn topic_matches_deployed_aggregators() {
        assert_eq!(
            TOPIC.to_string(),
            "0x0559884fd3a460db3073b7fc896cc77986f16e378210ded43186175bf646fc5f"
        );
    }

    #[test]
    fn answer_keeps_every_digit() {
        assert_eq!(text("345612000001", 8), "3456.12000001");
        assert_eq!(text("1", 18), "0.000000000000000001");
        assert_eq!(text("345600000000", 8), "3456");
        let most = I256::MAX.to_string();
        assert_eq!(text(&most, 0), most);
        assert_eq!(text("1", 255).len(), 257);
    }

    #[test]
    fn rejects_answer_not_above_zero() {
        for bad in [I256::ZERO, I256::MINUS_ONE, I256::MIN] {
            let refused = read(&answer(bad, U256::from(BLOCK_TIME)), 8).unwrap_err();
            assert_eq!(refused, TickFault::NotPositive(bad.to_string()));
        }
    }

    #[test]
    fn answer_time_is_at_most_block_time() {
        let at = |updated_at: U256| {
            let log = answer(I256::ONE, updated_at);
            read(&log, 8).unwrap().observed_at / 1_000
        };
        let block = BLOCK_TIME as i64;
        assert_eq!(at(U256::from(BLOCK_TIME - 90)), block - 90);
        assert_eq!(at(U256::from(BLOCK_TIME + 60)), block);
        assert_eq!(at(U256::ZERO), block);
        for unit in [1_000_u64, 1_000_000, 1_000_000_000] {
            assert_eq!(
                at(U256::from((BLOCK_TIME - 90) * unit)),
                block - 90,
                "{unit}"
            );
        }
    }

    #[test]
    fn rejects_answer_over_a_minute_ahead_of_block() {
        for updated_at in [
            U256::from(BLOCK_TIME + 61),
            U256::from((BLOCK_TIME + 61) * 1_000_000_000),
            U256::from(BLOCK_TIME) * U256::from(1_000_000_000_000_u64),
            U256::MAX,
        ] {
            let refused = read(&answer(I256::ONE, updated_at), 8).unwrap_err();
            assert_eq!(refused.reason(), "timestamp", "{updated_at}: {refused}");
        }
    }

    #[test]
    fn rejects_answer_older_than_heartbeat() {
        let aged = |seconds: u64| {
            let log = answer(I256::ONE, U256::from(BLOCK_TIME - seconds));
            read_within(&log, 8, Some(3_600_000))
        };
        assert!(aged(0).is_ok());
        assert!(aged(3_600).is_ok());
        let expected = TickFault::Old {
            age_ms: 3_601_000,
            heartbeat_ms: 3_600_000,
        };
        assert_eq!(aged(3_601).unwrap_err(), expected);
        // Without a time, an answer is as old as its block.
        let log = answer(I256::ONE, U256::ZERO);
        assert!(read_within(&log, 8, Some(1)).is_ok());
    }

    #[test]
    fn truncated_event_is_malformed() {
        let log = answer(I256::ONE, U256::from(1));
        let cut = LogData::new_unchecked(log.topics().to_vec(), log.data.slice(..31));
        assert!(matches!(read(&cut, 8), Err(TickFault::Malformed(_))));
        let fewer = LogData::new_unchecked(log.topics()[..2].to_vec(), log.data.clone());
        assert!(matches!(read(&fewer, 8), Err(TickFault::Malformed(_))));
    }
}
