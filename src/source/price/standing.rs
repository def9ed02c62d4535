//! What is known of a source on a chain: from its configuration, and from what its contract says.
//!
//! What both tell must agree, or the source is refused. Nothing here is fetched.

use bigdecimal::BigDecimal;

use super::{
    ChainlinkConfig, FeedState, PoolConfig, Silence, chainlink, contract_facts::ContractFacts,
    pool::PoolShape,
};
use crate::model::{Address, B256};

/// Aggregators of one proxy that are remembered.
const MOST_PHASES: usize = 16;

/// A source as it is configured.
#[derive(Debug, Clone)]
pub(super) enum Spec {
    Feed(ChainlinkConfig),
    Pool {
        config: Box<PoolConfig>,
        topic: B256,
        /// Where the priced token is on this chain.
        token: Option<Address>,
    },
}

/// What is needed to read a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reader {
    Feed { decimals: u8 },
    Pool(PoolShape),
}

/// A contract that emits for a source, in blocks from `from` to `until`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Phase {
    pub address: Address,
    pub from: u64,
    pub until: u64,
}

/// How a source stands.
#[derive(Debug)]
pub(super) struct Standing {
    reader: Option<Reader>,
    phases: Vec<Phase>,
    refusal: Option<String>,
    /// Why its contract did not say all that it was asked when it was last asked.
    silence: Option<Silence>,
    /// The last block at which the newest phase's contract was seen to be the one.
    seen_at: Option<u64>,
    /// Whether its contract was asked and said enough.
    settled: bool,
    /// Whether the proxy has another aggregator since the newest answer was read.
    moved: bool,
    /// Whether the newest answer is still to be read.
    pub wants_answer: bool,
}

impl Spec {
    pub(super) fn feed(config: &ChainlinkConfig) -> Self {
        Self::Feed(config.clone())
    }

    pub(super) fn pool(config: &PoolConfig, topic: B256, token: Option<Address>) -> Self {
        Self::Pool {
            config: Box::new(config.clone()),
            topic,
            token,
        }
    }

    pub(super) fn address(&self) -> Address {
        match self {
            Self::Feed(config) => config.address,
            Self::Pool { config, .. } => config.address,
        }
    }

    /// Topic 0 of the event that is read.
    pub(super) fn topic(&self) -> B256 {
        match self {
            Self::Feed(_) => chainlink::TOPIC,
            Self::Pool { topic, .. } => *topic,
        }
    }

    pub(super) fn heartbeat_ms(&self) -> Option<u64> {
        match self {
            Self::Feed(config) => config.heartbeat_ms,
            Self::Pool { .. } => None,
        }
    }

    /// The least that a pool has to hold of the quote.
    pub(super) fn minimum(&self) -> Option<&BigDecimal> {
        match self {
            Self::Feed(_) => None,
            Self::Pool { config, .. } => config.minimum(),
        }
    }

    /// The window of an average in seconds, the contract and the event.
    pub(super) fn average(&self) -> Option<(u64, Address, B256)> {
        match self {
            Self::Feed(_) => None,
            Self::Pool { config, topic, .. } => {
                Some((config.average_seconds()?, config.address, *topic))
            }
        }
    }

    pub(super) fn is_average(&self) -> bool {
        self.average().is_some()
    }

    /// What is read and how, in words of which another meaning has others.
    pub(super) fn definition(&self) -> String {
        match self {
            Self::Feed(config) => format!(
                "chainlink {} decimals {:?} heartbeat {:?}",
                config.address, config.decimals, config.heartbeat_ms
            ),
            Self::Pool {
                config,
                topic,
                token,
            } => {
                let spot = format!(
                    "pool {} {topic} token {token:?} base {:?} decimals {:?} {:?} minimum {:?}",
                    config.address,
                    config.base,
                    config.base_decimals,
                    config.quote_decimals,
                    config.minimum().map(BigDecimal::to_plain_string),
                );
                match config.average_seconds() {
                    Some(seconds) => format!("{spot} averaged over {seconds} s"),
                    None => spot,
                }
            }
        }
    }

    /// Whether both give the same price of the same contract.
    pub(super) fn reads_as(&self, other: &Self) -> bool {
        self.address() == other.address()
            && self.average().map(|average| average.0) == other.average().map(|average| average.0)
    }
}

impl Standing {
    /// Before its contract was asked: readable when the configuration says all that is needed.
    pub(super) fn of(spec: &Spec) -> Self {
        let reader = match spec {
            Spec::Feed(config) => config.decimals.map(|decimals| Reader::Feed { decimals }),
            Spec::Pool { config, .. } => configured_shape(config).map(Reader::Pool),
        };
        Self {
            reader,
            phases: vec![Phase {
                address: spec.address(),
                from: 0,
                until: u64::MAX,
            }],
            refusal: None,
            silence: None,
            seen_at: None,
            settled: false,
            moved: false,
            wants_answer: true,
        }
    }

    /// How its logs are read; `None` while that is unknown, and when it is refused.
    pub(super) fn reader(&self) -> Option<Reader> {
        match self.refusal {
            Some(_) => None,
            None => self.reader,
        }
    }

    pub(super) fn phases(&self) -> &[Phase] {
        &self.phases
    }

    pub(super) fn refusal(&self) -> Option<&str> {
        self.refusal.as_deref()
    }

    /// Whether there is nothing more to ask about what never changes.
    pub(super) fn is_settled(&self) -> bool {
        self.settled && self.refusal.is_none()
    }

    /// Whether what is needed to read it is not known yet.
    pub(super) fn is_unknown(&self) -> bool {
        !self.settled && self.refusal.is_none()
    }

    /// Whether its contract is to be asked again soon: for what is needed, or for what another aggregator answers.
    pub(super) fn is_waiting(&self) -> bool {
        self.is_unknown() || self.moved
    }

    /// Whether it was asked for its newest answer, has never given one in this session, and said why.
    fn gave_no_answer(&self) -> bool {
        self.wants_answer && !matches!(self.silence, None | Some(Silence::Node(_)))
    }

    /// The newest answer was read.
    pub(super) fn answered(&mut self) {
        self.wants_answer = false;
        self.moved = false;
    }

    /// For people.
    pub(super) fn state(&self) -> FeedState {
        match self.refusal() {
            Some(reason) => FeedState::Refused {
                reason: reason.into(),
            },
            None if self.is_unknown() || self.gave_no_answer() => FeedState::Connecting {
                reason: Some(match &self.silence {
                    Some(silence) => silence.to_string().into(),
                    None => "its contract did not say what is needed yet".into(),
                }),
            },
            None => FeedState::Live,
        }
    }

    /// Takes in why the contract did not say all, or that it did. Returns whether that is news: one trouble in other
    /// words is none.
    pub(super) fn explain(&mut self, silence: Option<Silence>) -> bool {
        let is_known = match (&self.silence, &silence) {
            (Some(old), Some(new)) => old.is_as(new),
            (old, new) => old.is_none() && new.is_none(),
        };
        if !is_known {
            self.silence = silence;
        }
        !is_known
    }

    pub(super) fn silence(&self) -> Option<&Silence> {
        self.silence.as_ref()
    }

    /// Takes in what the contract said at a block. Returns its new aggregator when that is another than before.
    pub(super) fn learn(
        &mut self,
        spec: &Spec,
        facts: &ContractFacts,
        block: u64,
    ) -> Option<Address> {
        match (spec, facts) {
            (
                Spec::Feed(config),
                ContractFacts::Feed {
                    aggregator,
                    decimals,
                    ..
                },
            ) => {
                match agreed("decimals", config.decimals, *decimals) {
                    Ok(decimals) => {
                        self.refusal = None;
                        if let Some(decimals) = decimals {
                            self.reader = Some(Reader::Feed { decimals });
                        }
                    }
                    Err(reason) => self.refusal = Some(reason),
                }
                // An aggregator says neither more nor less than a contract that is none; its decimals tell them apart.
                let said = decimals.is_some() || aggregator.is_some();
                self.settled |= said && self.reader.is_some();
                self.follow(*aggregator, block)
            }
            (Spec::Pool { config, token, .. }, ContractFacts::Pool { tokens, decimals }) => {
                match shape(config, *token, *tokens, *decimals) {
                    Ok(Some(shape)) => {
                        self.refusal = None;
                        self.reader = Some(Reader::Pool(shape));
                        // It may be readable as it is configured although nothing is there.
                        self.settled |= tokens.is_some();
                    }
                    Ok(None) => {}
                    Err(reason) => self.refusal = Some(reason),
                }
                None
            }
            _ => None,
        }
    }

    /// Takes in the aggregator that a proxy had at the end of a block. The one before is read up to that block, and
    /// this one from the first block at which the one before was not seen any more: in between both are.
    fn follow(&mut self, aggregator: Option<Address>, block: u64) -> Option<Address> {
        // A node that lags tells what was; and a contract that is no proxy is its own aggregator.
        if self.seen_at.is_some_and(|seen| block < seen) {
            return None;
        }
        let aggregator = aggregator?;
        let first = self.seen_at.is_none();
        let from = self.seen_at.map_or(0, |seen| seen.saturating_add(1));
        self.seen_at = Some(block);
        if first {
            self.phases.clear();
        }
        if let Some(last) = self.phases.last_mut() {
            if last.address == aggregator {
                return None;
            }
            last.until = block;
        }
        if self.phases.len() >= MOST_PHASES {
            self.phases.remove(0);
        }
        self.phases.push(Phase {
            address: aggregator,
            from,
            until: u64::MAX,
        });
        if first {
            return None;
        }
        self.wants_answer = true;
        self.moved = true;
        Some(aggregator)
    }
}

/// What is given and what is said, when they do not contradict each other.
fn agreed<T: PartialEq + Copy + std::fmt::Display>(
    key: &str,
    given: Option<T>,
    said: Option<T>,
) -> Result<Option<T>, String> {
    match (given, said) {
        (Some(given), Some(said)) if given != said => Err(format!(
            "{key} is {given} in the configuration and {said} in the contract"
        )),
        (given, said) => Ok(said.or(given)),
    }
}

/// The shape of a pool whose configuration says all of it.
fn configured_shape(config: &PoolConfig) -> Option<PoolShape> {
    Some(PoolShape {
        base: config.base?,
        base_decimals: config.base_decimals?,
        quote_decimals: config.quote_decimals?,
    })
}

fn other_base(base: u8, token: Address) -> String {
    format!("base is {base}, and the priced token, at {token}, is the pool's other one")
}

/// The shape of a pool from its configuration and from what it and its tokens say; `None` when that is not all.
fn shape(
    config: &PoolConfig,
    token: Option<Address>,
    tokens: Option<[Address; 2]>,
    decimals: [Option<u8>; 2],
) -> Result<Option<PoolShape>, String> {
    let said = tokens.map_or([None; 2], |tokens| tokens.map(Some));
    let token0 = agreed("token0", config.token0, said[0])?;
    let token1 = agreed("token1", config.token1, said[1])?;
    let base = match (config.base, token, token0, token1) {
        (_, Some(token), Some(token0), Some(token1)) if token != token0 && token != token1 => {
            return Err(format!(
                "the pool does not hold the priced token: that is at {token}, and the pool's are at {token0} and \
                 {token1}; correct `address` of the source or of the token"
            ));
        }
        (Some(0), Some(token), Some(token0), _) if token != token0 => {
            return Err(other_base(0, token));
        }
        (Some(1), Some(token), _, Some(token1)) if token != token1 => {
            return Err(other_base(1, token));
        }
        (Some(base), ..) => base,
        (None, Some(token), Some(token0), _) if token == token0 => 0,
        (None, Some(token), _, Some(token1)) if token == token1 => 1,
        (None, ..) => return Ok(None),
    };
    let [base_said, quote_said] = match base {
        0 => decimals,
        _ => [decimals[1], decimals[0]],
    };
    let base_decimals = agreed("base_decimals", config.base_decimals, base_said)?;
    let quote_decimals = agreed("quote_decimals", config.quote_decimals, quote_said)?;
    let (Some(base_decimals), Some(quote_decimals)) = (base_decimals, quote_decimals) else {
        return Ok(None);
    };
    Ok(Some(PoolShape {
        base,
        base_decimals,
        quote_decimals,
    }))
}

#[cfg(test)]
#[path = "standing_tests.rs"]
mod tests;
