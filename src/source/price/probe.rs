//! Tries every price source once, for who wants to know before the service runs.
//!
//! The feeds are those of the service, on a queue of their own, and the contracts are asked its questions: what is told
//! here is what the service would tell. Nothing is stored. Bounded: a feed has its own limits of connecting and of
//! silence, a contract those of its node.

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
    FeedState, OnChainSources, PriceConfig, PriceConfigError, Question, SourceKey, SourceKind,
    feeds, tick_queue,
};
use crate::{
    model::{ChainId, Tick},
    source::chain::{ChainConfig, Node, NodeError, Tag},
};

/// A venue that says nothing is listened to for so long at most.
const MOST_QUIET_MS: u64 = 10_000;
/// For what comes after the limits of connecting and of silence.
const SLACK: Duration = Duration::from_secs(2);
/// States tell nobody when they change.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// What a feed has to take its leave of the venue.
const STOP_WITHIN: Duration = Duration::from_millis(500);
/// Contracts asked at once; a node that fails for as many is not asked any more.
const AT_ONCE: usize = 4;

/// What came of one source.
#[derive(Debug, Clone)]
pub struct Probed {
    pub state: FeedState,
    /// The newest that a feed told.
    pub tick: Option<Tick>,
}

/// What came of all feeds.
#[derive(Debug, Clone)]
pub struct ProbedFeeds {
    pub sources: BTreeMap<SourceKey, Probed>,
    /// By how much this machine's clock is ahead, in ms, when every venue that tells its time says that it is off.
    pub clock_off_ms: Option<i64>,
}

/// Runs every feed until each of its sources gave a price, was refused or was silent, or its connection failed.
pub async fn probe_feeds(config: &PriceConfig) -> ProbedFeeds {
    let mut config = config.clone();
    config.exchanges = config.exchanges.without_spares();
    config.exchanges.first_tick_ms = config.exchanges.first_tick_ms.min(MOST_QUIET_MS);
    let sources = config.sources.iter();
    let keys: Vec<SourceKey> = sources
        .filter(|source| source.kind.contract().is_none())
        .map(|source| (source.token.clone(), source.source_name()))
        .collect();
    let (sink, mut queue) = tick_queue(config.tick_queue());
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
            sleep(LOOK_EVERY).await;
        }
    };
    // What is undecided by then is told as it stands.
    timeout(longest(&config), decided).await.ok();
    let mut states = sink.states();
    stop.cancel();
    let ended = async { while running.join_next().await.is_some() {} };
    // Those that do not end are cut off with `running`.
    timeout(STOP_WITHIN, ended).await.ok();
    let ticks = queue.take().into_iter();
    let mut newest: HashMap<SourceKey, Tick> = ticks
        .map(|tick| ((tick.token.clone(), tick.source.clone()), tick))
        .collect();
    let probed = keys.into_iter().map(|key| {
        let state = states.remove(&key);
        let state = state.unwrap_or(FeedState::Connecting { reason: None });
        let tick = newest.remove(&key);
        (key, Probed { state, tick })
    });
    let tolerance_ms = config.exchanges.clock_off_ms.cast_signed();
    ProbedFeeds {
        sources: probed.collect(),
        clock_off_ms: sink.clock().off_at_least(tolerance_ms),
    }
}

/// Whether there is more to say of a source than that it is being connected to.
fn is_decided(state: &FeedState) -> bool {
    !matches!(state, FeedState::Connecting { reason: None })
}

/// After this long every feed that works and every one that does not has told so.
fn longest(config: &PriceConfig) -> Duration {
    let exchanges = &config.exchanges;
    let exchanges = exchanges.connect_timeout_ms + exchanges.first_tick_ms;
    let fetches = config.sources.iter().map(|source| match &source.kind {
        SourceKind::Http(page) => page.timeout_ms,
        _ => 0,
    });
    let longest = fetches.fold(exchanges, u64::max);
    Duration::from_millis(longest) + SLACK
}

/// Asks every price contract what it is, over the first provider of its chain that answers. Fails when the
/// configuration contradicts itself.
pub async fn probe_contracts(
    config: &PriceConfig,
    chains: &[ChainConfig],
    first_chain: ChainId,
) -> Result<BTreeMap<SourceKey, Probed>, PriceConfigError> {
    let sources = OnChainSources::new(config, first_chain)?;
    let asked = chains.iter().map(|chain| ask_chain(&sources, chain));
    let failed = join_all(asked).await.into_iter().flatten();
    let mut failed: HashMap<usize, String> = failed.collect();
    let states = sources.states().into_iter().enumerate();
    let probed = states.map(|(at, (key, state))| {
        let state = match failed.remove(&at) {
            Some(reason) => FeedState::Connecting {
                reason: Some(reason.into()),
            },
            None => state,
        };
        (key, Probed { state, tick: None })
    });
    Ok(probed.collect())
}

/// Asks the contracts of a chain; those that no provider could be asked about, and why.
async fn ask_chain(sources: &OnChainSources, chain: &ChainConfig) -> Vec<(usize, String)> {
    let mut left = sources.questions(chain.chain_id);
    let mut reason = format!("chain {} has no provider", chain.chain_id);
    let mut reasons = HashMap::new();
    for (name, provider) in chain.named_providers() {
        if left.is_empty() {
            break;
        }
        let node = Node::of(chain, &name, &provider);
        let asked = match &node {
            Ok(node) => ask(sources, node, &mut left).await,
            Err(error) => {
                reason = error.to_string();
                continue;
            }
        };
        match asked {
            Ok(failed) => {
                for (question, error) in failed {
                    reason = error.to_string();
                    reasons.insert(question.source, reason.clone());
                    left.push(question);
                }
            }
            Err(error) => reason = error,
        }
    }
    let failed = left.into_iter().map(|question| {
        let own = reasons.remove(&question.source);
        (question.source, own.unwrap_or_else(|| reason.clone()))
    });
    failed.collect()
}

/// Takes questions from `left` and asks a node; those that it failed to answer. Fails when it tells no head.
async fn ask(
    sources: &OnChainSources,
    node: &Node,
    left: &mut Vec<Question>,
) -> Result<Vec<(Question, NodeError)>, String> {
    let head = match node.tagged(Tag::Latest).await {
        Ok(Some(head)) => head,
        Ok(None) => return Err(format!("{} has no block yet", node.shown_url())),
        Err(error) => return Err(error.to_string()),
    };
    let mut failed = Vec::new();
    while !left.is_empty() && failed.len() < AT_ONCE {
        let some = left.split_off(left.len().saturating_sub(AT_ONCE));
        let answers = join_all(some.iter().map(|question| question.ask(node, head))).await;
        for (question, answer) in some.into_iter().zip(answers) {
            match answer {
                Ok((facts, silence)) => {
                    sources.learn(&question, &facts, head);
                    sources.explain(&question, silence);
                }
                Err(error) => failed.push((question, error)),
            }
        }
    }
    Ok(failed)
}

#[cfg(test)]
mod tests;
