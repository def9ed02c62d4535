//! The state of a source on a chain, from its configuration and the facts that its contract reports.
//!
//! Both must agree, or the source is rejected. Performs no I/O.

use bigdecimal::BigDecimal;

use super::{
    ContractError, FeedState, SourceKind,
    chainlink::{self, ChainlinkConfig},
    contract_facts::ContractFacts,
    pool::{Pool, PoolConfig, PoolShape},
};
use chaincast_protocol::{Address, B256};

/// Maximum number of remembered aggregators of a proxy.
const MAX_PHASES: usize = 16;

/// The configuration of a source.
#[derive(Debug, Clone)]
pub(super) enum Spec {
    Feed(ChainlinkConfig),
    Pool {
        pool: Box<Pool>,
        /// Address of the priced token on this chain.
        token: Option<Address>,
    },
}

/// The parameters for decoding logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LogDecoder {
    Feed { decimals: u8 },
    Pool(PoolShape),
}

/// A contract whose logs count for a source, in the blocks `from..=until`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Phase {
    pub address: Address,
    pub from: u64,
    pub until: u64,
}

/// The state of a source.
#[derive(Debug)]
pub(super) struct ContractState {
    decoder: Option<LogDecoder>,
    phases: Vec<Phase>,
    refusal: Option<String>,
    /// Error of the last read, if a required fact is missing.
    error: Option<ContractError>,
    /// The last block at which the aggregator of the newest phase was confirmed.
    confirmed_at: Option<u64>,
    /// Whether the contract has reported all required facts.
    is_complete: bool,
    /// Whether the proxy changed its aggregator since the newest answer was read.
    has_new_aggregator: bool,
    /// Whether the newest answer still has to be read.
    pub wants_answer: bool,
}

impl Spec {
    /// The configuration of a source on a chain; `token` is the address of the priced token there.
    pub(super) fn from_kind(kind: &SourceKind, token: Option<Address>) -> Option<Self> {
        if let Some(feed) = kind.settings_as::<ChainlinkConfig>() {
            return Some(Self::Feed(feed.clone()));
        }
        let pool = kind.settings_as::<Pool>()?;
        Some(Self::Pool {
            pool: Box::new(pool.clone()),
            token,
        })
    }

    pub(super) fn address(&self) -> Address {
        match self {
            Self::Feed(config) => config.address,
            Self::Pool { pool, .. } => pool.config.address,
        }
    }

    /// Topic 0 of the event.
    pub(super) fn topic(&self) -> B256 {
        match self {
            Self::Feed(_) => chainlink::TOPIC,
            Self::Pool { pool, .. } => pool.contract.topic,
        }
    }

    pub(super) fn heartbeat_ms(&self) -> Option<u64> {
        match self {
            Self::Feed(config) => config.heartbeat_ms,
            Self::Pool { .. } => None,
        }
    }

    /// The window of an average in seconds, the contract and the event.
    pub(super) fn average(&self) -> Option<(u64, Address, B256)> {
        match self {
            Self::Feed(_) => None,
            Self::Pool { pool, .. } => Some((
                pool.config.average_seconds()?,
                pool.config.address,
                pool.contract.topic,
            )),
        }
    }

    pub(super) fn is_average(&self) -> bool {
        self.average().is_some()
    }

    /// A text that changes whenever the meaning of the source changes.
    pub(super) fn definition(&self) -> String {
        match self {
            Self::Feed(config) => format!(
                "chainlink {} decimals {:?} heartbeat {:?}",
                config.address, config.decimals, config.heartbeat_ms
            ),
            Self::Pool { pool, token } => {
                let (config, topic) = (&pool.config, pool.contract.topic);
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

    /// Whether both read the same price of the same contract.
    pub(super) fn reads_same_price(&self, other: &Self) -> bool {
        self.address() == other.address()
            && self.average().map(|average| average.0) == other.average().map(|average| average.0)
    }
}

impl ContractState {
    /// The state before the first read: usable if the configuration is complete.
    pub(super) fn new(spec: &Spec) -> Self {
        let decoder = match spec {
            Spec::Feed(config) => config
                .decimals
                .map(|decimals| LogDecoder::Feed { decimals }),
            Spec::Pool { pool, .. } => configured_shape(&pool.config).map(LogDecoder::Pool),
        };
        Self {
            decoder,
            phases: vec![Phase {
                address: spec.address(),
                from: 0,
                until: u64::MAX,
            }],
            refusal: None,
            error: None,
            confirmed_at: None,
            is_complete: false,
            has_new_aggregator: false,
            wants_answer: true,
        }
    }

    /// The decoder of its logs; `None` while it is unknown or the source is rejected.
    pub(super) fn decoder(&self) -> Option<LogDecoder> {
        match self.refusal {
            Some(_) => None,
            None => self.decoder,
        }
    }

    pub(super) fn phases(&self) -> &[Phase] {
        &self.phases
    }

    pub(super) fn refusal(&self) -> Option<&str> {
        self.refusal.as_deref()
    }

    /// Whether all immutable facts are known.
    pub(super) fn is_complete(&self) -> bool {
        self.is_complete && self.refusal.is_none()
    }

    /// Whether required facts are still missing.
    pub(super) fn is_incomplete(&self) -> bool {
        !self.is_complete && self.refusal.is_none()
    }

    /// Whether to read the contract again soon: facts or the answer of a new aggregator are missing.
    pub(super) fn needs_retry(&self) -> bool {
        self.is_incomplete() || self.has_new_aggregator
    }

    /// Whether reading the newest answer has failed since the process started, for a reason of the contract.
    fn failed_to_answer(&self) -> bool {
        self.wants_answer && !matches!(self.error, None | Some(ContractError::Node(_)))
    }

    /// Marks the newest answer as read.
    pub(super) fn mark_answered(&mut self) {
        self.wants_answer = false;
        self.has_new_aggregator = false;
    }

    /// The state for `/status`.
    pub(super) fn state(&self) -> FeedState {
        match self.refusal() {
            Some(reason) => FeedState::Refused {
                reason: reason.into(),
            },
            None if self.is_incomplete() || self.failed_to_answer() => FeedState::Connecting {
                reason: Some(match &self.error {
                    Some(error) => error.to_string().into(),
                    None => "waiting for facts from the contract".into(),
                }),
            },
            None => FeedState::Live,
        }
    }

    /// Sets or clears the error of the last read. Returns whether it changed; a different text of the same error is no
    /// change.
    pub(super) fn set_error(&mut self, error: Option<ContractError>) -> bool {
        let is_known = match (&self.error, &error) {
            (Some(old), Some(new)) => old.is_same_as(new),
            (old, new) => old.is_none() && new.is_none(),
        };
        if !is_known {
            self.error = error;
        }
        !is_known
    }

    pub(super) fn error(&self) -> Option<&ContractError> {
        self.error.as_ref()
    }

    /// Applies facts read at a block. Returns the new aggregator if it changed.
    pub(super) fn apply_facts(
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
                match consistent("decimals", config.decimals, *decimals) {
                    Ok(decimals) => {
                        self.refusal = None;
                        if let Some(decimals) = decimals {
                            self.decoder = Some(LogDecoder::Feed { decimals });
                        }
                    }
                    Err(reason) => self.refusal = Some(reason),
                }
                // An aggregator reports no aggregator, like an address without a contract; decimals distinguish them.
                let reported = decimals.is_some() || aggregator.is_some();
                self.is_complete |= reported && self.decoder.is_some();
                self.set_aggregator(*aggregator, block)
            }
            (Spec::Pool { pool, token }, ContractFacts::Pool { tokens, decimals }) => {
                match shape(&pool.config, *token, *tokens, *decimals) {
                    Ok(Some(shape)) => {
                        self.refusal = None;
                        self.decoder = Some(LogDecoder::Pool(shape));
                        // The configuration may be complete although there is no contract.
                        self.is_complete |= tokens.is_some();
                    }
                    Ok(None) => {}
                    Err(reason) => self.refusal = Some(reason),
                }
                None
            }
            _ => None,
        }
    }

    /// Applies the aggregator of a proxy at the end of a block. The previous one is read up to that block, and the new
    /// one from the first block at which the previous one was not confirmed: both are read in between.
    fn set_aggregator(&mut self, aggregator: Option<Address>, block: u64) -> Option<Address> {
        // Ignore a lagging node. A contract that is not a proxy is its own aggregator.
        if self.confirmed_at.is_some_and(|confirmed| block < confirmed) {
            return None;
        }
        let aggregator = aggregator?;
        let is_first = self.confirmed_at.is_none();
        let from = self
            .confirmed_at
            .map_or(0, |confirmed| confirmed.saturating_add(1));
        self.confirmed_at = Some(block);
        if is_first {
            self.phases.clear();
        }
        if let Some(last) = self.phases.last_mut() {
            if last.address == aggregator {
                return None;
            }
            last.until = block;
        }
        if self.phases.len() >= MAX_PHASES {
            self.phases.remove(0);
        }
        self.phases.push(Phase {
            address: aggregator,
            from,
            until: u64::MAX,
        });
        if is_first {
            return None;
        }
        self.wants_answer = true;
        self.has_new_aggregator = true;
        Some(aggregator)
    }
}

/// The configured or the reported value; fails if they differ.
fn consistent<T: PartialEq + Copy + std::fmt::Display>(
    key: &str,
    given: Option<T>,
    reported: Option<T>,
) -> Result<Option<T>, String> {
    match (given, reported) {
        (Some(given), Some(reported)) if given != reported => Err(format!(
            "{key} is {given} in the configuration but {reported} in the contract"
        )),
        (given, reported) => Ok(reported.or(given)),
    }
}

/// The shape of a pool with a complete configuration.
fn configured_shape(config: &PoolConfig) -> Option<PoolShape> {
    Some(PoolShape {
        base: config.base?,
        base_decimals: config.base_decimals?,
        quote_decimals: config.quote_decimals?,
    })
}

fn wrong_base(base: u8, token: Address) -> String {
    format!("base is {base}, but the priced token at {token} is the other token of the pool")
}

/// The shape of a pool from its configuration and the reported facts; `None` if values are missing.
fn shape(
    config: &PoolConfig,
    token: Option<Address>,
    tokens: Option<[Address; 2]>,
    decimals: [Option<u8>; 2],
) -> Result<Option<PoolShape>, String> {
    let reported = tokens.map_or([None; 2], |tokens| tokens.map(Some));
    let token0 = consistent("token0", config.token0, reported[0])?;
    let token1 = consistent("token1", config.token1, reported[1])?;
    let base = match (config.base, token, token0, token1) {
        (_, Some(token), Some(token0), Some(token1)) if token != token0 && token != token1 => {
            return Err(format!(
                "the pool does not hold the priced token at {token}: it holds {token0} and \
                 {token1}; correct `address` of the source or of the token"
            ));
        }
        (Some(0), Some(token), Some(token0), _) if token != token0 => {
            return Err(wrong_base(0, token));
        }
        (Some(1), Some(token), _, Some(token1)) if token != token1 => {
            return Err(wrong_base(1, token));
        }
        (Some(base), ..) => base,
        (None, Some(token), Some(token0), _) if token == token0 => 0,
        (None, Some(token), _, Some(token1)) if token == token1 => 1,
        (None, ..) => return Ok(None),
    };
    let [base_reported, quote_reported] = match base {
        0 => decimals,
        _ => [decimals[1], decimals[0]],
    };
    let base_decimals = consistent("base_decimals", config.base_decimals, base_reported)?;
    let quote_decimals = consistent("quote_decimals", config.quote_decimals, quote_reported)?;
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
#[path = "contract_state_tests.rs"]
mod tests;
