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
    FeedState, LogView, PriceConfig, PriceConfigError, SourceKind, TickError, TickFault, TickSink,
    chainlink::{self, Round},
    contract_facts::{About, ContractFacts, Question},
    standing::{Reader, Spec, Standing},
    uniswap_v2, uniswap_v3,
};
use crate::model::{Address, B256, BlockRef, ChainId, LogOrigin, Tick, Token};

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

/// Every contract that is watched for prices.
#[derive(Debug)]
pub struct OnChainSources {
    sources: Vec<Source>,
    /// What is known of each source, in the same order. Whoever holds it also replaces the routes.
    standings: Mutex<Vec<Standing>>,
    /// Whose logs are read, made from the standings.
    routes: ArcSwap<Routes>,
    /// Who hears how the sources stand.
    reports: OnceLock<TickSink>,
    follow_interval_ms: u64,
}

type Routes = FxHashMap<(ChainId, Address), Vec<Route>>;

/// One token's reading of one contract.
#[derive(Debug)]
struct Source {
    token: Token,
    name: Arc<str>,
    quote: Arc<str>,
    chain_id: ChainId,
    spec: Spec,
}

/// A contract whose logs a source reads, in blocks from `from` to `until`.
#[derive(Debug, Clone)]
struct Route {
    source: usize,
    topic: B256,
    reader: Reader,
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
            .filter_map(|(source, one)| {
                let (seconds, address, topic) = one.spec.average()?;
                Some(Averaged {
                    source,
                    seconds,
                    address,
                    topic,
                })
            })
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
            match chainlink::price(first.round, decimals, heartbeat_ms, block_timestamp) {
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

    /// Whether a source on a chain still waits for what its contract says.
    pub fn is_waiting(&self, chain_id: ChainId) -> bool {
        let standings = self.standings.lock();
        let mut both = self.sources.iter().zip(standings.iter());
        both.any(|(source, standing)| source.chain_id == chain_id && standing.is_unknown())
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
            standing.wants_answer = false;
        }
        self.routes
            .store(Arc::new(routes(&self.sources, &standings)));
        Some(FirstAnswer {
            source: question.source,
            round: round?,
            block,
        })
    }

    /// Tells how each source stands, now and whenever that changes. Only the first call counts.
    pub fn report_to(&self, sink: TickSink) {
        for ((token, source), state) in self.states() {
            sink.tell(&token, &source, state);
        }
        self.reports.set(sink).ok();
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
    fn reads(&self, log: &LogView<'_>) -> bool {
        log.topics.first() == Some(&self.topic)
            && (self.from..=self.until).contains(&log.block_number)
    }
}

impl Source {
    fn observe(&self, reader: &Reader, log: &LogView<'_>) -> Result<Observation, TickFault> {
        match (reader, &self.spec) {
            (Reader::Feed { decimals }, spec) => {
                chainlink::observe(log, *decimals, spec.heartbeat_ms())
            }
            (Reader::Pool(shape), spec) if spec.topic() == uniswap_v3::TOPIC => {
                uniswap_v3::observe(log, *shape, spec.minimum())
            }
            (Reader::Pool(shape), spec) => uniswap_v2::observe(log, *shape, spec.minimum()),
        }
    }

    fn tick(&self, reader: &Reader, log: &LogView<'_>) -> Result<Tick, TickError> {
        let origin = log.origin(self.chain_id);
        match self.observe(reader, log) {
            Ok(observed) => Ok(self.accept(observed, origin)),
            Err(fault) => Err(self.refuse(fault, origin)),
        }
    }

    fn accept(&self, observed: Observation, origin: LogOrigin) -> Tick {
        super::metrics::tick(&self.token, &self.name);
        Tick {
            token: self.token.clone(),
            source: self.name.clone(),
            quote: self.quote.clone(),
            price: observed.price,
            confidence: None,
            observed_at: observed.observed_at,
            origin: Some(origin),
        }
    }

    fn refuse(&self, fault: TickFault, origin: LogOrigin) -> TickError {
        super::metrics::refused(&fault);
        tracing::warn!(
            token = %self.token, source = %self.name, chain_id = origin.chain_id,
            block = origin.block_number, log_index = origin.log_index, reason = %fault,
            "a price source's contract gave no price"
        );
        TickError {
            token: self.token.clone(),
            source_name: self.name.clone(),
            origin,
            fault,
        }
    }

    /// Says what is new of how it stands.
    fn tell(&self, standing: &Standing, was_refused: Option<&str>, moved: Option<Address>) {
        let (token, name) = (&self.token, &self.name);
        if let Some(aggregator) = moved {
            super::metrics::aggregator_changed(token, name);
            tracing::info!(%token, source = %name, %aggregator, "a feed's proxy has another aggregator");
        }
        let refusal = standing.refusal();
        if refusal == was_refused {
            return;
        }
        super::metrics::source_refused(token, name, refusal.is_some());
        match refusal {
            Some(reason) => tracing::error!(
                %token, source = %name, reason,
                "a price source is refused: its entry in [[prices.sources]] and its contract do not agree"
            ),
            None => tracing::info!(%token, source = %name, "a price source is refused no more"),
        }
    }
}

impl LogView<'_> {
    fn origin(&self, chain_id: ChainId) -> LogOrigin {
        LogOrigin {
            chain_id,
            block_number: self.block_number,
            block_hash: self.block_hash,
            log_index: self.log_index,
        }
    }
}

fn end_of(chain_id: ChainId, block: BlockRef) -> LogOrigin {
    LogOrigin {
        chain_id,
        block_number: block.number,
        block_hash: block.hash,
        log_index: LogOrigin::END_OF_BLOCK,
    }
}

/// A block's time in ms.
pub(super) fn time_ms(block_timestamp: u64) -> Result<i64, TickFault> {
    if block_timestamp > LAST_SECOND {
        return Err(TickFault::Timestamp(block_timestamp));
    }
    Ok(block_timestamp.cast_signed() * 1_000)
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

    fn read(text: &str) -> OnChainSources {
        let config: PriceConfig = toml::from_str(text).unwrap();
        OnChainSources::new(&config, 1).unwrap()
    }

    fn at(number: u64) -> BlockRef {
        BlockRef {
            number,
            hash: B256::repeat_byte(9),
        }
    }

    #[test]
    fn a_pool_gives_its_price_to_one_source_and_its_average_to_another() {
        let pool = "[[sources]]\nkind = 'uniswap-v2'\ntoken = 'ETH'\nbase = 0\nquote = 'USD'\n\
            base_decimals = 0\nquote_decimals = 0\nmin_reserve = 10\n\
            address = '0x0000000000000000000000000000000000000002'\n";
        let sources = read(&format!(
            "[[tokens]]\nsymbol = 'ETH'\n{pool}{pool}price = 'twap'\ntwap_seconds = 60\n"
        ));
        let log = sync("4", "20");
        let ticks = sources.decode(1, &view(PAIR, &log));
        assert_eq!(ticks.len(), 1);
        assert_eq!(&*ticks[0].as_ref().unwrap().source, "uniswap-v2");

        let [averaged] = sources.averaged(1)[..] else {
            panic!("one source averages")
        };
        assert_eq!((averaged.seconds, averaged.address), (60, PAIR));
        assert!(sources.averaged(2).is_empty());
        let seen = sources.observe(1, &view(PAIR, &log));
        assert_eq!(seen, [(averaged.source, Some(BigDecimal::from(5)))]);
        let thin = sources.observe(1, &view(PAIR, &sync("1", "9")));
        assert_eq!(thin, [(averaged.source, None)]);

        let tick = sources.average_tick(averaged.source, at(12), 1_700_000_000, 7.into());
        let tick = tick.unwrap();
        assert_eq!(
            (&*tick.source, tick.observed_at),
            ("uniswap-v2-twap", 1_700_000_000_000)
        );
        assert_eq!(tick.origin.unwrap().log_index, LogOrigin::END_OF_BLOCK);
    }

    #[test]
    fn what_a_proxy_says_decides_whose_logs_are_read() {
        let sources = read(
            "[[tokens]]\nsymbol = 'ETH'\n
             [[sources]]\nkind = 'chainlink'\ntoken = 'ETH'\nheartbeat_ms = 60000
             address = '0x0000000000000000000000000000000000000001'",
        );
        let log = answer("345600000000".parse().unwrap(), U256::ZERO);
        let behind = Address::repeat_byte(7);
        let count = |address, number| {
            let mut view = view(address, &log);
            view.block_number = number;
            sources.decode(1, &view).len()
        };
        assert!(sources.is_waiting(1) && count(FEED, 12) == 0);
        let learn = |aggregator, number| {
            let [question] = sources.questions(1)[..] else {
                panic!("one question")
            };
            let round = Round {
                answer: I256::try_from(5_000_000_000_i64).unwrap(),
                updated_at: U256::from(1_699_999_990_u64),
            };
            let facts = ContractFacts::Feed {
                aggregator: Some(aggregator),
                decimals: Some(8),
                round: Some(round),
            };
            sources.learn(&question, &facts, at(number))
        };
        let first = learn(behind, 10).unwrap();
        assert!(!sources.is_waiting(1) && sources.questions(2).is_empty());
        assert_eq!((count(FEED, 12), count(behind, 12)), (0, 1));
        let tick = sources.first_tick(&first, 1_700_000_000).unwrap().unwrap();
        assert_eq!(tick.price.to_plain_string(), "50");
        assert_eq!(tick.observed_at, 1_699_999_990_000);
        // Read a while later, it is too old for its heartbeat.
        let refused = sources.first_tick(&first, 1_700_000_100).unwrap();
        assert_eq!(refused.unwrap_err().fault.reason(), "old");

        let next = Address::repeat_byte(8);
        learn(next, 20);
        assert_eq!((count(behind, 20), count(behind, 21)), (1, 0));
        assert_eq!((count(next, 10), count(next, 11)), (0, 1));
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
