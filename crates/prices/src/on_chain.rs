//! Price sources that are contracts: assigns logs to sources and decodes them.
//!
//! Performs no I/O apart from metrics and logs. Callers read the facts about the contracts (decimals, tokens, the
//! aggregator of a proxy) and pass them in; the logs of a source count once all required facts are known. Prices become
//! ticks of their logs, so ticks are stored and dropped with their blocks, whatever facts arrive in between.

use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwap;
use bigdecimal::BigDecimal;
use parking_lot::Mutex;
use rustc_hash::FxHashMap;

use super::{
    ContractError, FeedState, LogView, PriceConfig, PriceConfigError, TickError, TickSink,
    chainlink::{self, Round},
    contract_facts::{ContractFacts, ContractQuery, QueryKind},
    contract_source::{Source, end_of},
    contract_state::{ContractState, LogDecoder, Spec},
    observation::{Observation, time_ms},
};
use chaincast_model::Tick;
use chaincast_protocol::{Address, B256, BlockRef, ChainId, Token};

/// All price sources on the chains.
#[derive(Debug)]
pub struct OnChainSources {
    pub(super) sources: Vec<Source>,
    /// The state of each source, in the same order. The holder of the lock also replaces the routes.
    pub(super) states: Mutex<Vec<ContractState>>,
    /// The logs to read, derived from the states.
    pub(super) routes: ArcSwap<Routes>,
    /// Receives the states of the sources.
    reports: OnceLock<TickSink>,
    follow_interval_ms: u64,
}

pub(super) type Routes = FxHashMap<(ChainId, Address), Vec<Route>>;

/// A contract whose logs a source reads, in the blocks `from..=until`.
#[derive(Debug, Clone)]
pub(super) struct Route {
    pub(super) source: usize,
    topic: B256,
    pub(super) decoder: LogDecoder,
    from: u64,
    until: u64,
}

/// A source that averages the prices of a pool.
#[derive(Debug, Clone, Copy)]
pub struct AveragedSource {
    /// The position of the source, for the functions of [`OnChainSources`].
    pub source: usize,
    /// The length of the window.
    pub seconds: u64,
    /// The contract and the event that it reads.
    pub address: Address,
    /// The first topic of that event.
    pub topic: B256,
}

/// An answer read from a contract at the end of a block.
#[derive(Debug, Clone, Copy)]
pub struct FirstAnswer {
    /// The position of the source, for the functions of [`OnChainSources`].
    pub source: usize,
    /// The answer.
    pub round: Round,
    /// The block at whose end it was the newest.
    pub block: BlockRef,
}

impl OnChainSources {
    /// `first_chain` is the chain of sources without `chain_id`. Fails if the configuration is inconsistent.
    pub fn new(config: &PriceConfig, first_chain: ChainId) -> Result<Self, PriceConfigError> {
        config.validate()?;
        super::metrics::describe();
        let (mut sources, mut states) = (Vec::<Source>::new(), Vec::new());
        for (index, source) in config.sources.iter().enumerate() {
            let Some((chain_id, _)) = source.kind.contract() else {
                continue;
            };
            let chain_id = chain_id.unwrap_or(first_chain);
            let token_config = config.tokens.iter().find(|one| one.symbol == source.token);
            let token_address = token_config
                .filter(|token| token.chain_id.unwrap_or(first_chain) == chain_id)
                .and_then(|token| token.address);
            let Some(spec) = Spec::from_kind(&source.kind, token_address) else {
                continue;
            };
            // Detected only now if one entry names the first chain and another omits it.
            let same = |other: &Source| {
                other.token == source.token
                    && other.chain_id == chain_id
                    && other.spec.reads_same_price(&spec)
            };
            if sources.iter().any(same) {
                return Err(PriceConfigError::DuplicateContract {
                    at: source.entry(index),
                    token: source.token.clone(),
                });
            }
            super::metrics::source_refused(&source.token, &source.source_name(), false);
            states.push(ContractState::new(&spec));
            sources.push(Source {
                token: source.token.clone(),
                name: source.source_name(),
                quote: source.kind.quote().into(),
                chain_id,
                spec,
                unit: source.unit.clone(),
                logged: Mutex::default(),
            });
        }
        let routes = ArcSwap::from_pointee(routes(&sources, &states));
        Ok(Self {
            sources,
            states: Mutex::new(states),
            routes,
            reports: OnceLock::new(),
            follow_interval_ms: config.follow_interval_ms,
        })
    }

    /// The ticks of a log: none for most logs, several if several tokens read one contract.
    ///
    /// Rejected ones are already counted and logged; callers skip them.
    pub fn decode(&self, chain_id: ChainId, log: &LogView<'_>) -> Vec<Result<Tick, TickError>> {
        let routes = self.routes.load();
        let Some(routes) = routes.get(&(chain_id, log.address)) else {
            return Vec::new();
        };
        routes
            .iter()
            .filter(|route| route.reads(log) && !self.sources[route.source].spec.is_average())
            .map(|route| self.sources[route.source].tick(&route.decoder, log))
            .collect()
    }

    /// The sources on a chain that average the prices of a pool.
    pub fn averaged(&self, chain_id: ChainId) -> Vec<AveragedSource> {
        let all = self.sources.iter().enumerate();
        all.filter(|(_, source)| source.chain_id == chain_id)
            .filter_map(|(at, source)| averaged(at, source))
            .collect()
    }

    /// The prices of a log for the averaging sources: the source, and the price or `None` if it is unusable.
    pub fn observe(
        &self,
        chain_id: ChainId,
        log: &LogView<'_>,
    ) -> Vec<(usize, Option<BigDecimal>)> {
        let routes = self.routes.load();
        let Some(routes) = routes.get(&(chain_id, log.address)) else {
            return Vec::new();
        };
        routes
            .iter()
            .filter(|route| route.reads(log) && self.sources[route.source].spec.is_average())
            .map(|route| {
                let source = &self.sources[route.source];
                let read = source.observe(&route.decoder, log);
                let read = read.map_err(|fault| source.reject(fault, log.origin(chain_id)));
                (route.source, read.ok().map(|observed| observed.price))
            })
            .collect()
    }

    /// Turns an average into a tick at the end of a block. `source` is one of [`OnChainSources::averaged`].
    pub fn average_tick(
        &self,
        source: usize,
        block: BlockRef,
        block_timestamp: u64,
        average: BigDecimal,
    ) -> Option<Tick> {
        let source = self.sources.get(source)?;
        let observed = Observation {
            price: average,
            observed_at: time_ms(block_timestamp).ok()?,
        };
        Some(source.accept(observed, end_of(source.chain_id, block)))
    }

    /// Turns an answer read at the end of a block into a tick; `block_timestamp` is that of the block.
    pub fn answer_tick(
        &self,
        first: &FirstAnswer,
        block_timestamp: u64,
    ) -> Option<Result<Tick, TickError>> {
        let source = self.sources.get(first.source)?;
        let states = self.states.lock();
        let Some(LogDecoder::Feed { decimals }) = states.get(first.source)?.decoder() else {
            return None;
        };
        drop(states);
        let origin = end_of(source.chain_id, first.block);
        let heartbeat_ms = source.spec.heartbeat_ms();
        Some(
            match chainlink::price(first.round, decimals, heartbeat_ms, block_timestamp)
                .and_then(|observed| source.in_price_unit(observed))
            {
                Ok(observed) => Ok(source.accept(observed, origin)),
                Err(fault) => Err(source.reject(fault, origin)),
            },
        )
    }

    /// Interval of reading the contracts, in ms.
    pub fn follow_interval_ms(&self) -> u64 {
        self.follow_interval_ms
    }

    /// Adds the newest answer of every feed of a chain to the next queries.
    pub fn request_answers(&self, chain_id: ChainId) {
        let mut states = self.states.lock();
        for (source, state) in self.sources.iter().zip(states.iter_mut()) {
            state.wants_answer |= source.chain_id == chain_id;
        }
    }

    /// The queries to run now for the contracts of a chain.
    pub fn pending_queries(&self, chain_id: ChainId) -> Vec<ContractQuery> {
        let states = self.states.lock();
        let both = self.sources.iter().zip(states.iter()).enumerate();
        both.filter(|(_, (source, _))| source.chain_id == chain_id)
            .filter_map(|(at, (source, state))| {
                let kind = match &source.spec {
                    Spec::Feed { .. } => QueryKind::Feed {
                        with_answer: state.wants_answer,
                    },
                    Spec::Pool { .. } if state.is_complete() => return None,
                    Spec::Pool { pool, .. } => QueryKind::Pool(pool.contract.probe),
                };
                Some(ContractQuery {
                    source: at,
                    address: source.spec.address(),
                    kind,
                })
            })
            .collect()
    }

    /// Whether a source of a chain still lacks facts from its contract, or the answer of its new aggregator.
    pub fn needs_retry(&self, chain_id: ChainId) -> bool {
        let states = self.states.lock();
        let mut both = self.sources.iter().zip(states.iter());
        both.any(|(source, state)| source.chain_id == chain_id && state.needs_retry())
    }

    /// Applies facts read at a block; logs are decoded accordingly from now on. Returns the included answer if it
    /// becomes a tick.
    pub fn apply_facts(
        &self,
        query: &ContractQuery,
        facts: &ContractFacts,
        block: BlockRef,
    ) -> Option<FirstAnswer> {
        let source = self.sources.get(query.source)?;
        let mut states = self.states.lock();
        let state = states.get_mut(query.source)?;
        let old_refusal = state.refusal().map(str::to_owned);
        let new_aggregator = state.apply_facts(&source.spec, facts, block.number);
        source.log_changes(state, old_refusal.as_deref(), new_aggregator);
        if let Some(sink) = self.reports.get() {
            sink.set_state(&source.token, &source.name, state.state());
        }
        let round = match facts {
            ContractFacts::Feed { round, .. } if state.decoder().is_some() => *round,
            _ => None,
        };
        if round.is_some() {
            state.mark_answered();
        }
        self.routes.store(Arc::new(routes(&self.sources, &states)));
        Some(FirstAnswer {
            source: query.source,
            round: round?,
            block,
        })
    }

    /// Sets the error of the last read, or clears it; call after [`Self::apply_facts`]. A changed error is reported,
    /// and logged unless the node failed, which the caller logs.
    pub fn set_error(&self, query: &ContractQuery, error: Option<ContractError>) {
        let Some(source) = self.sources.get(query.source) else {
            return;
        };
        let mut states = self.states.lock();
        let Some(state) = states.get_mut(query.source) else {
            return;
        };
        let had_error = !matches!(state.error(), None | Some(ContractError::Node(_)));
        if !state.set_error(error) {
            return;
        }
        source.log_contract_error(state.error(), had_error);
        if let Some(sink) = self.reports.get() {
            sink.set_state(&source.token, &source.name, state.state());
        }
    }

    /// Reports the state of each source to `sink` after each read of its contract. Not reported: sources whose chain
    /// another process writes. Only the first call has an effect.
    pub fn report_to(&self, sink: TickSink) {
        let feed_states = sink.clone();
        self.reports.set(sink).ok();
        for ((token, source), state) in self.states() {
            if !matches!(state, FeedState::Connecting { .. }) {
                feed_states.set_state(&token, &source, state);
            }
        }
    }

    /// The state of each source on a chain: rejected, incomplete, or live.
    pub fn states(&self) -> Vec<((Token, Arc<str>), FeedState)> {
        let states = self.states.lock();
        let both = self.sources.iter().zip(states.iter());
        both.map(|(source, state)| {
            let key = (source.token.clone(), source.name.clone());
            (key, state.state())
        })
        .collect()
    }
}

/// A source as an average; `None` if it is not one.
pub(super) fn averaged(at: usize, source: &Source) -> Option<AveragedSource> {
    let (seconds, address, topic) = source.spec.average()?;
    Some(AveragedSource {
        source: at,
        seconds,
        address,
        topic,
    })
}

fn routes(sources: &[Source], states: &[ContractState]) -> Routes {
    let mut all = Routes::default();
    for (at, (source, state)) in sources.iter().zip(states).enumerate() {
        let Some(decoder) = state.decoder() else {
            continue;
        };
        for phase in state.phases() {
            let readers = all.entry((source.chain_id, phase.address)).or_default();
            readers.push(Route {
                source: at,
                topic: source.spec.topic(),
                decoder,
                from: phase.from,
                until: phase.until,
            });
        }
    }
    all
}

impl Route {
    pub(super) fn reads(&self, log: &LogView<'_>) -> bool {
        log.topics.first() == Some(&self.topic)
            && (self.from..=self.until).contains(&log.block_number)
    }
}

#[cfg(test)]
#[path = "on_chain_tests.rs"]
mod tests;
