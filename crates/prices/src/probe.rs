//! Tries every price source once, to check a configuration before the service runs.
//!
//! Uses the feeds and contract queries of the service, so the result is what the service would report. Nothing is
//! stored. Bounded by each feed's limits of connecting and silence, and by each node's timeouts.

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use futures_util::future::join_all;
use tokio::{
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{
    ContractQuery, FeedState, OnChainSources, PriceConfig, PriceConfigError, SourceKey, feeds,
    tick_queue,
};
use chaincast_evm::chain::{ChainConfig, Node, NodeError, Tag};
use chaincast_model::Tick;
use chaincast_protocol::ChainId;

/// Maximum time to wait for the first tick.
const MAX_FIRST_TICK_MS: u64 = 10_000;
/// Margin beyond the limits of connecting and silence.
const SLACK: Duration = Duration::from_secs(2);
/// Interval of polling the states, which have no notification.
const POLL_INTERVAL: Duration = Duration::from_millis(20);
/// Time for feeds to close their connections.
const STOP_TIMEOUT: Duration = Duration::from_millis(500);
/// Concurrent queries; a node that fails as many is skipped.
const MAX_CONCURRENT: usize = 4;

/// The result of one source.
#[derive(Debug, Clone)]
pub struct ProbeResult {
    /// The last state of the source.
    pub state: FeedState,
    /// The newest tick of the feed.
    pub tick: Option<Tick>,
}

/// The results of all feeds.
#[derive(Debug, Clone)]
pub struct FeedProbe {
    /// Every source that is not on a chain.
    pub sources: BTreeMap<SourceKey, ProbeResult>,
    /// How far this machine's clock is ahead, in ms, if every venue that reports its time shows an offset.
    pub clock_off_ms: Option<i64>,
}

/// Runs every feed until each of its sources has a price, is rejected or silent, or its connection failed.
pub async fn probe_feeds(config: &PriceConfig) -> FeedProbe {
    let mut config = config.clone();
    config.exchanges = config.exchanges.single_connections();
    config.exchanges.first_tick_ms = config.exchanges.first_tick_ms.min(MAX_FIRST_TICK_MS);
    let sources = config.sources.iter();
    let keys: Vec<SourceKey> = sources
        .filter(|source| source.kind.contract().is_none())
        .map(|source| (source.token.clone(), source.source_name()))
        .collect();
    let (sink, mut queue) = tick_queue(config.tick_queue);
    let stop = CancellationToken::new();
    let mut running = JoinSet::new();
    for feed in feeds(&config) {
        running.spawn(feed.run(sink.clone(), stop.clone()));
    }
    let decided = async {
        loop {
            let states = sink.states();
            let mut states = keys.iter().map(|key| states.get(key));
            if states.all(|state| state.is_some_and(is_decided)) {
                return;
            }
            sleep(POLL_INTERVAL).await;
        }
    };
    // Undecided sources are reported in their current state.
    timeout(time_limit(&config), decided).await.ok();
    let mut states = sink.states();
    stop.cancel();
    let ended = async { while running.join_next().await.is_some() {} };
    // Feeds that do not end in time are aborted with `running`.
    timeout(STOP_TIMEOUT, ended).await.ok();
    let ticks = queue.take().into_iter();
    let mut newest: HashMap<SourceKey, Tick> = ticks
        .map(|tick| ((tick.token.clone(), tick.source.clone()), tick))
        .collect();
    let probed = keys.into_iter().map(|key| {
        let state = states.remove(&key);
        let state = state.unwrap_or(FeedState::Connecting { reason: None });
        let tick = newest.remove(&key);
        (key, ProbeResult { state, tick })
    });
    let tolerance_ms = config.exchanges.clock_off_ms.cast_signed();
    FeedProbe {
        sources: probed.collect(),
        clock_off_ms: sink.clock().offset_by_lowest(tolerance_ms),
    }
}

/// Whether the state of a source is final for the probe.
fn is_decided(state: &FeedState) -> bool {
    !matches!(state, FeedState::Connecting { reason: None })
}

/// The time by which every feed, working or not, has reported.
fn time_limit(config: &PriceConfig) -> Duration {
    let exchanges = &config.exchanges;
    let exchanges = exchanges.connect_timeout_ms + exchanges.first_tick_ms;
    let requests = config.sources.iter();
    let requests = requests.map(|source| source.kind.settings().timeout_ms());
    let time_limit = requests.fold(exchanges, u64::max);
    Duration::from_millis(time_limit) + SLACK
}

/// Reads the facts of every price contract from the first provider of its chain that answers. Fails if the
/// configuration is inconsistent.
pub async fn probe_contracts(
    config: &PriceConfig,
    chains: &[ChainConfig],
    first_chain: ChainId,
) -> Result<BTreeMap<SourceKey, ProbeResult>, PriceConfigError> {
    let sources = OnChainSources::new(config, first_chain)?;
    let queried = chains.iter().map(|chain| query_chain(&sources, chain));
    let failed = join_all(queried).await.into_iter().flatten();
    let mut failed: HashMap<usize, String> = failed.collect();
    let states = sources.states().into_iter().enumerate();
    let probed = states.map(|(at, (key, state))| {
        let state = match failed.remove(&at) {
            Some(reason) => FeedState::Connecting {
                reason: Some(reason.into()),
            },
            None => state,
        };
        (key, ProbeResult { state, tick: None })
    });
    Ok(probed.collect())
}

/// Reads the contracts of a chain; returns those that failed at every provider, and why.
async fn query_chain(sources: &OnChainSources, chain: &ChainConfig) -> Vec<(usize, String)> {
    let mut left = sources.pending_queries(chain.chain_id);
    let mut reason = format!("chain {} has no provider", chain.chain_id);
    let mut reasons = HashMap::new();
    for (name, provider) in chain.named_providers() {
        if left.is_empty() {
            break;
        }
        let node = Node::of(chain, &name, &provider);
        let queried = match &node {
            Ok(node) => run_queries(sources, node, &mut left).await,
            Err(error) => {
                reason = error.to_string();
                continue;
            }
        };
        match queried {
            Ok(failed) => {
                for (query, error) in failed {
                    reason = error.to_string();
                    reasons.insert(query.source, reason.clone());
                    left.push(query);
                }
            }
            Err(error) => reason = error,
        }
    }
    let failed = left.into_iter().map(|query| {
        let own = reasons.remove(&query.source);
        (query.source, own.unwrap_or_else(|| reason.clone()))
    });
    failed.collect()
}

/// Runs the queries in `left` at a node; returns those that failed. Fails if the node has no head.
async fn run_queries(
    sources: &OnChainSources,
    node: &Node,
    left: &mut Vec<ContractQuery>,
) -> Result<Vec<(ContractQuery, NodeError)>, String> {
    let head = match node.tagged(Tag::Latest).await {
        Ok(Some(head)) => head,
        Ok(None) => return Err(format!("{} has no block yet", node.redacted_url())),
        Err(error) => return Err(error.to_string()),
    };
    let mut failed = Vec::new();
    while !left.is_empty() && failed.len() < MAX_CONCURRENT {
        let some = left.split_off(left.len().saturating_sub(MAX_CONCURRENT));
        let answers = join_all(some.iter().map(|query| query.fetch(node, head))).await;
        for (query, answer) in some.into_iter().zip(answers) {
            match answer {
                Ok((facts, error)) => {
                    sources.apply_facts(&query, &facts, head);
                    sources.set_error(&query, error);
                }
                Err(error) => failed.push((query, error)),
            }
        }
    }
    Ok(failed)
}

#[cfg(test)]
mod tests;
