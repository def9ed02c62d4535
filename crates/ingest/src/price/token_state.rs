//! The state of one token, the newest ticks of its sources, and the chains whose ticks do not count.

use std::{collections::BTreeSet, sync::Arc};

use super::publish_policy::PublishedPrice;
use chaincast_model::Tick;
use chaincast_prices::{
    AggregateRules, JumpGuard, MAX_AHEAD_MS, PriceConfig, PublishRules, SourceTick, TokenConfig,
};
use chaincast_protocol::{ChainId, Token};

/// Tokens by their position in the configuration, which is the order of announcements.
pub(super) type TokenPositions = BTreeSet<usize>;

/// Chains with an unresponsive node: their ticks may be outdated.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct SilentChains {
    /// The node is down: no tick of the chain is fresh.
    pub(super) down: BTreeSet<ChainId>,
    /// The store has no recent answer of the node, but this writer has not been open long enough to tell whether the store
    /// was the cause. A price that is stale because the node was down stays stale.
    pub(super) unseen: BTreeSet<ChainId>,
}

/// The state of one token.
#[derive(Debug)]
pub(super) struct TokenState {
    pub(super) token: Token,
    pub(super) name: Arc<str>,
    pub(super) rules: AggregateRules,
    pub(super) publish: PublishRules,
    pub(super) sources: Vec<Source>,
    /// Tokens with a source that is quoted in this one.
    pub(super) quoting: TokenPositions,
    /// The references for jumps of its price and its rate while only one venue has it.
    pub(super) level: JumpGuard,
    pub(super) rate_level: JumpGuard,
    pub(super) published: Option<PublishedPrice>,
    /// An earlier writer left it stale, possibly because a node was down.
    pub(super) cut_off: bool,
    /// The times in `published` changed since they were stored.
    pub(super) times_changed: bool,
    pub(super) due: Option<i64>,
}

#[derive(Debug)]
pub(super) struct Source {
    pub(super) name: Arc<str>,
    pub(super) quote: Arc<str>,
    pub(super) max_age_ms: u64,
    pub(super) on_chain: bool,
    /// A Chainlink contract.
    pub(super) feed: bool,
    /// Equal for sources of one venue.
    pub(super) venue: usize,
    /// Whether the token's rate uses this source.
    pub(super) nearer: bool,
    pub(super) latest: Option<Tick>,
}

impl SilentChains {
    /// Whether a tick of a token with this `cut_off` must not be used.
    pub(super) fn excludes(&self, tick: &Tick, cut_off: bool) -> bool {
        let is_of = |chains: &BTreeSet<ChainId>| {
            let origin = tick.origin.as_ref();
            origin.is_some_and(|from| chains.contains(&from.chain_id))
        };
        is_of(&self.down) || (cut_off && is_of(&self.unseen))
    }
}

impl TokenState {
    pub(super) fn new(config: &PriceConfig, token: &TokenConfig) -> Self {
        Self {
            token: token.symbol.clone(),
            name: token.symbol.as_str().into(),
            rules: config.aggregate_rules(token),
            publish: config.publish_rules(token),
            sources: Vec::new(),
            quoting: TokenPositions::new(),
            level: JumpGuard::default(),
            rate_level: JumpGuard::default(),
            published: None,
            cut_off: false,
            times_changed: false,
            due: None,
        }
    }

    /// The position of a tick's source. A tick in another quote belongs to an earlier configuration of the source.
    pub(super) fn source(&self, tick: &Tick) -> Option<usize> {
        self.sources
            .iter()
            .position(|source| source.name == tick.source && source.quote == tick.quote)
    }

    /// Bounds the times of ticks. A feed's tick is never newer than its arrival; if it is in the future, our clock was set
    /// back since, and it counts as of now. Otherwise it would stay fresh, and the newest, until the clock reaches its time.
    /// The same applies to a tick of a chain whose blocks are more than a minute ahead of our clock.
    pub(super) fn bound_times(&mut self, now_ms: i64) {
        let ticks = self
            .sources
            .iter_mut()
            .filter_map(|source| source.latest.as_mut());
        for tick in ticks {
            let allowed = match tick.origin {
                Some(_) => now_ms.saturating_add(MAX_AHEAD_MS.cast_signed()),
                None => now_ms,
            };
            if tick.observed_at > allowed {
                tick.observed_at = now_ms;
            }
        }
    }
}

/// The newest ticks of the selected sources of a token, in their order. Those of `silent` chains are unusable; `cut_off`
/// is the token's.
pub(super) fn ticks<'a>(
    sources: &'a [Source],
    silent: &SilentChains,
    cut_off: bool,
    used: impl Fn(&Source) -> bool,
) -> Vec<SourceTick<'a>> {
    let sources = sources.iter().filter(|source| used(source));
    sources
        .filter_map(|source| {
            let tick = source.latest.as_ref()?;
            Some(SourceTick {
                tick,
                max_age_ms: source.max_age_ms,
                is_usable: !silent.excludes(tick, cut_off),
                venue: source.venue,
                feed: source.feed,
            })
        })
        .collect()
}

/// On one chain the order of logs decides: a later log may claim an earlier time. Otherwise the event time decides, and
/// for equal times the arrival.
pub(super) fn is_newer(tick: &Tick, known: &Tick) -> bool {
    match (&tick.origin, &known.origin) {
        (Some(new), Some(old)) if new.chain_id == old.chain_id => {
            (new.block_number, new.log_index) > (old.block_number, old.log_index)
        }
        _ => tick.observed_at >= known.observed_at,
    }
}
