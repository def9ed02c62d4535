//! The price sources that are contracts: finds whose log it is, and decodes it.
//!
//! Pure but for its metrics and its log lines: nothing is fetched, nothing is stored. What the contracts say of
//! themselves (decimals, tokens, the aggregator behind a proxy) is learnt from whoever asks them, and the logs of a
//! source count from when all that is needed of it is known. What is read from logs is told as ticks of those logs; so
//! ticks are stored and dropped with their blocks, whatever was learnt meanwhile.

use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwap;
use bigdecimal::BigDecimal;
use parking_lot::Mutex;
use rustc_hash::FxHashMap;

use super::{
    FeedState, LogView, PriceConfig, PriceConfigError, Silence, SourceKind, TickError, TickSink,
    chainlink::{self, Round},
    contract_facts::{About, ContractFacts, Question},
    contract_source::{Observation, Source, end_of, time_ms},
    standing::{Reader, Spec, Standing},
    uniswap_v2, uniswap_v3,
};
use crate::model::{Address, B256, BlockRef, ChainId, Tick, Token};

/// Every contract that is watched for prices.
#[derive(Debug)]
pub struct OnChainSources {
    pub(super) sources: Vec<Source>,
    /// What is known of each source, in the same order. Whoever holds it also replaces the routes.
    pub(super) standings: Mutex<Vec<Standing>>,
    /// Whose logs are read, made from the standings.
    pub(super) routes: ArcSwap<Routes>,
    /// Who hears how the sources stand.
    reports: OnceLock<TickSink>,
    follow_interval_ms: u64,
}

pub(super) type Routes = FxHashMap<(ChainId, Address), Vec<Route>>;

/// A contract whose logs a source reads, in blocks from `from` to `until`.
#[derive(Debug, Clone)]
pub(super) struct Route {
    pub(super) source: usize,
    topic: B256,
    pub(super) reader: Reader,
    from: u64,
    until: u64,
}

/// A source that averages a pool's prices.
#[derive(Debug, Clone, Copy)]
pub struct Averaged {
    pub source: usize,
    pub seconds: u64,
    /// Whose logs it reads, and which.
    pub address: Address,
    pub topic: B256,
}

/// An answer that was read from a contract, at the end of a block.
#[derive(Debug, Clone, Copy)]
pub struct FirstAnswer {
    pub source: usize,
    pub round: Round,
    pub block: BlockRef,
}

impl OnChainSources {
    /// `first_chain` is the chain of the sources that name none. Fails when the configuration contradicts itself.
    pub fn new(config: &PriceConfig, first_chain: ChainId) -> Result<Self, PriceConfigError> {
        config.validate()?;
        super::metrics::describe();
        let (mut sources, mut standings) = (Vec::<Source>::new(), Vec::new());
        for (index, source) in config.sources.iter().enumerate() {
            let Some((chain_id, _)) = source.kind.contract() else {
                continue;
            };
            let chain_id = chain_id.unwrap_or(first_chain);
            let of_token = config.tokens.iter().find(|one| one.symbol == source.token);
            let token_address = of_token
                .filter(|token| token.chain_id.unwrap_or(first_chain) == chain_id)
                .and_then(|token| token.address);
            let spec = match &source.kind {
                SourceKind::Chainlink(feed) => Spec::feed(feed),
                SourceKind::UniswapV2(pool) => Spec::pool(pool, uniswap_v2::TOPIC, token_address),
                SourceKind::UniswapV3(pool) => Spec::pool(pool, uniswap_v3::TOPIC, token_address),
                SourceKind::Pyth(_)
                | SourceKind::Http(_)
                | SourceKind::Binance(_)
                | SourceKind::Coinbase(_)
                | SourceKind::Kraken(_) => continue,
            };
            // Seen only now when one entry names the first chain and the other leaves it out.
            let same = |other: &Source| {
                other.token == source.token
                    && other.chain_id == chain_id
                    && other.spec.reads_as(&spec)
            };
            if sources.iter().any(same) {
                return Err(PriceConfigError::DuplicateContract {
                    at: source.place(index),
                    token: source.token.clone(),
                });
            }
            super::metrics::source_refused(&source.token, &source.source_name(), false);
            standings.push(Standing::of(&spec));
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
        let routes = ArcSwap::from_pointee(routes(&sources, &standings));
        Ok(Self {
            sources,
            standings: Mutex::new(standings),
            routes,
            reports: OnceLock::new(),
            follow_interval_ms: config.follow_interval_ms(),
        })
    }

    /// The ticks that a log gives: none for most logs, and more than one when several tokens read one contract.
    ///
    /// A refused one is counted and logged here already; the caller leaves it out and goes on.
    pub fn decode(&self, chain_id: ChainId, log: &LogView<'_>) -> Vec<Result<Tick, TickError>> {
        let routes = self.routes.load();
        let Some(routes) = routes.get(&(chain_id, log.address)) else {
            return Vec::new();
        };
        routes
            .iter()
            .filter(|route| route.reads(log) && !self.sources[route.source].spec.is_average())
            .map(|route| self.sources[route.source].tick(&route.reader, log))
            .collect()
    }

    /// The sources on a chain that average the prices of a pool.
    pub fn averaged(&self, chain_id: ChainId) -> Vec<Averaged> {
        let here = self.sources.iter().enumerate();
        here.filter(|(_, source)| source.chain_id == chain_id)
            .filter_map(|(at, source)| averaged(at, source))
            .collect()
    }

    /// What a log says to the sources that average: the source, and the price or that it cannot be used.
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
                let read = source.observe(&route.reader, log);
                let read = read.map_err(|fault| source.refuse(fault, log.origin(chain_id)));
                (route.source, read.ok().map(|observed| observed.price))
            })
            .collect()
    }

    /// An average as a tick, of the end of a block. `source` is one of [`OnChainSources::averaged`].
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

    /// An answer that was read at the end of a block of this time, as a tick.
    pub fn first_tick(
        &self,
        first: &FirstAnswer,
        block_timestamp: u64,
    ) -> Option<Result<Tick, TickError>> {
        let source = self.sources.get(first.source)?;
        let standings = self.standings.lock();
        let Some(Reader::Feed { decimals }) = standings.get(first.source)?.reader() else {
            return None;
        };
        drop(standings);
        let origin = end_of(source.chain_id, first.block);
        let heartbeat_ms = source.spec.heartbeat_ms();
        Some(
            match chainlink::price(first.round, decimals, heartbeat_ms, block_timestamp)
                .and_then(|told| source.in_units(told))
            {
                Ok(observed) => Ok(source.accept(observed, origin)),
                Err(fault) => Err(source.refuse(fault, origin)),
            },
        )
    }

    /// How often contracts are to be asked again, in ms.
    pub fn follow_interval_ms(&self) -> u64 {
        self.follow_interval_ms
    }

    /// The next questions are for the newest answer of every feed of a chain too.
    pub fn ask_anew(&self, chain_id: ChainId) {
        let mut standings = self.standings.lock();
        for (source, standing) in self.sources.iter().zip(standings.iter_mut()) {
            standing.wants_answer |= source.chain_id == chain_id;
        }
    }

    /// What is to be asked of the contracts of a chain now.
    pub fn questions(&self, chain_id: ChainId) -> Vec<Question> {
        let standings = self.standings.lock();
        let both = self.sources.iter().zip(standings.iter()).enumerate();
        both.filter(|(_, (source, _))| source.chain_id == chain_id)
            .filter_map(|(at, (source, standing))| {
                let about = match &source.spec {
                    Spec::Feed { .. } => About::Feed {
                        with_answer: standing.wants_answer,
                    },
                    Spec::Pool { .. } if standing.is_settled() => return None,
                    Spec::Pool { topic, .. } if *topic == uniswap_v2::TOPIC => About::Pair,
                    Spec::Pool { .. } => About::Pool,
                };
                Some(Question {
                    source: at,
                    address: source.spec.address(),
                    about,
                })
            })
            .collect()
    }

    /// Whether a source on a chain still waits for what its contract says, or for the answer of its next aggregator.
    pub fn is_waiting(&self, chain_id: ChainId) -> bool {
        let standings = self.standings.lock();
        let mut both = self.sources.iter().zip(standings.iter());
        both.any(|(source, standing)| source.chain_id == chain_id && standing.is_waiting())
    }

    /// Takes in what a contract said at a block; from now on its logs are read accordingly. Returns the answer that
    /// came with it, when that is to be a tick.
    pub fn learn(
        &self,
        question: &Question,
        facts: &ContractFacts,
        block: BlockRef,
    ) -> Option<FirstAnswer> {
        let source = self.sources.get(question.source)?;
        let mut standings = self.standings.lock();
        let standing = standings.get_mut(question.source)?;
        let was_refused = standing.refusal().map(str::to_owned);
        let moved = standing.learn(&source.spec, facts, block.number);
        source.tell(standing, was_refused.as_deref(), moved);
        if let Some(sink) = self.reports.get() {
            sink.tell(&source.token, &source.name, standing.state());
        }
        let round = match facts {
            ContractFacts::Feed { round, .. } if standing.reader().is_some() => *round,
            _ => None,
        };
        if round.is_some() {
            standing.answered();
        }
        self.routes
            .store(Arc::new(routes(&self.sources, &standings)));
        Some(FirstAnswer {
            source: question.source,
            round: round?,
            block,
        })
    }

    /// Takes in why a contract did not say all that it was asked, or that it did; after [`Self::learn`], where it said
    /// anything. What is news is told, and logged unless it is the node's trouble, which whoever asks it logs.
    pub fn explain(&self, question: &Question, silence: Option<Silence>) {
        let Some(source) = self.sources.get(question.source) else {
            return;
        };
        let mut standings = self.standings.lock();
        let Some(standing) = standings.get_mut(question.source) else {
            return;
        };
        let was_silent = !matches!(standing.silence(), None | Some(Silence::Node(_)));
        if !standing.explain(silence) {
            return;
        }
        source.tell_silence(standing.silence(), was_silent);
        if let Some(sink) = self.reports.get() {
            sink.tell(&source.token, &source.name, standing.state());
        }
    }

    /// Tells how each source stands whenever its contract was asked. One whose contract nobody asks here, because
    /// another process writes its chain, is not told of. Only the first call counts.
    pub fn report_to(&self, sink: TickSink) {
        let told = sink.clone();
        self.reports.set(sink).ok();
        for ((token, source), state) in self.states() {
            if !matches!(state, FeedState::Connecting { .. }) {
                told.tell(&token, &source, state);
            }
        }
    }

    /// How each source on a chain stands: refused, waiting for its contract, or read.
    pub fn states(&self) -> Vec<((Token, Arc<str>), FeedState)> {
        let standings = self.standings.lock();
        let both = self.sources.iter().zip(standings.iter());
        both.map(|(source, standing)| {
            let key = (source.token.clone(), source.name.clone());
            (key, standing.state())
        })
        .collect()
    }
}

/// A source as an average, if it is one.
pub(super) fn averaged(at: usize, source: &Source) -> Option<Averaged> {
    let (seconds, address, topic) = source.spec.average()?;
    Some(Averaged {
        source: at,
        seconds,
        address,
        topic,
    })
}

fn routes(sources: &[Source], standings: &[Standing]) -> Routes {
    let mut all = Routes::default();
    for (at, (source, standing)) in sources.iter().zip(standings).enumerate() {
        let Some(reader) = standing.reader() else {
            continue;
        };
        for phase in standing.phases() {
            let readers = all.entry((source.chain_id, phase.address)).or_default();
            readers.push(Route {
                source: at,
                topic: source.spec.topic(),
                reader,
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
