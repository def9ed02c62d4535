//! The status of price sources, as listed by `/status`: from their newest tick, the state that their feed reported, and
//! the chain that they are on.

use serde::Serialize;
use utoipa::ToSchema;

use super::wire::Decimal;
use chaincast_protocol::{ChainHealth, ChainStatus};
use chaincast_store::read::{SourceRow, SourceStateRow};

/// The health of a chain with price sources.
pub(super) struct SourceChain {
    pub(super) health: ChainHealth,
    /// Whether its writer has halted until an operator intervenes.
    pub(super) is_halted: bool,
}

/// Status of a price source.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct SourceStatus {
    #[schema(examples("ETH"))]
    token: String,
    #[schema(examples("chainlink"))]
    source: String,
    #[schema(examples("USD"))]
    quote: String,
    health: Health,
    /// Why `health` is not `ok`, human-readable; null while it is.
    #[schema(required)]
    reason: Option<String>,
    /// When it observed its newest tick, in ms since the Unix epoch.
    #[schema(required)]
    last_tick_at: Option<i64>,
    /// In `quote`.
    #[schema(required)]
    last_price: Option<Decimal>,
    /// Ticks older than this are not used, in ms.
    max_age_ms: u64,
    /// The last state reported by the price writer; null before the first report.
    #[schema(required)]
    feed: Option<FeedStatus>,
}

/// The last state of a source reported by the price writer.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct FeedStatus {
    /// Name of the feed in logs and in the metrics label `feed`; null for a source on a chain.
    #[schema(required, examples("http@api.example.org"))]
    name: Option<String>,
    /// `connecting`; `live`: ticks have arrived on this connection; `silent`: connected, but no tick has arrived;
    /// `limited`: connected, and the venue reports that it does not trade as usual, or soon will not, with the text in
    /// `reason`; `refused`: the venue does not serve it, or its document contains no price. On a chain: `connecting`,
    /// its contract has not yet returned the required values; `live`, its logs are read; `refused`, its contract
    /// contradicts its configuration.
    #[schema(examples("live"))]
    state: String,
    /// Why the last connection ended, the venue's notice, or why it is refused; human-readable.
    #[schema(required)]
    reason: Option<String>,
    /// In ms since the Unix epoch.
    since: i64,
}

impl FeedStatus {
    fn new(name: Option<String>, row: SourceStateRow) -> Self {
        Self {
            name,
            state: row.state,
            reason: row.reason,
            since: row.since,
        }
    }
}

/// `ok`; `stale`: its newest tick is too old, or its chain's node does not answer; `silent`: it has no tick, or its
/// venue sends no data for it; `limited`: its newest tick is usable, but its venue reports that it does not trade as
/// usual, such as during maintenance, or its chain lags; `refused`: its venue does not serve it, or its contract
/// contradicts its configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Health {
    Ok,
    Limited,
    Stale,
    Silent,
    Refused,
}

impl SourceStatus {
    /// Builds the status of a source that may be on one of these chains, at `now` (ms since the Unix epoch).
    pub(super) fn new(row: SourceRow, chains: &[SourceChain], now: i64) -> Self {
        let mut chains = chains.iter();
        let on = chains.find(|chain| Some(chain.health.chain_id) == row.chain_id);
        let (health, reason) = assess(&row, on, now);
        let (price, at) = row.last.unzip();
        Self {
            token: row.token.to_string(),
            source: row.source,
            quote: row.quote,
            health,
            reason,
            last_tick_at: at,
            last_price: price.map(Decimal::from),
            max_age_ms: row.max_age_ms,
            feed: row.state.map(|state| FeedStatus::new(row.feed, state)),
        }
    }
}

/// The health of a source, and why it is not `ok`.
fn assess(row: &SourceRow, on: Option<&SourceChain>, now: i64) -> (Health, Option<String>) {
    let reported = row.state.as_ref().and_then(|state| state.reason.clone());
    let state = row.state.as_ref().map(|state| state.state.as_str());
    let status = on.map(|chain| chain.health.status);
    match (state, row.age_ms(now), status) {
        (Some("refused"), ..) => (Health::Refused, reported),
        (Some("silent"), ..) => {
            let reason =
                reported.unwrap_or_else(|| "no data received for it from its venue".to_owned());
            (Health::Silent, Some(reason))
        }
        (_, None, _) => {
            let reason = reported.or_else(|| on.and_then(SourceChain::problem));
            let reason = reason.unwrap_or_else(|| "no tick received yet".to_owned());
            (Health::Silent, Some(reason))
        }
        (.., Some(ChainStatus::Down)) => (Health::Stale, on.and_then(SourceChain::problem)),
        (_, Some(age), _) if age > row.max_age_ms => {
            let reason = format!(
                "its newest tick is {age} ms old; ticks are used for {} ms",
                row.max_age_ms
            );
            (Health::Stale, Some(reason))
        }
        (Some("limited"), ..) => (Health::Limited, reported),
        (.., Some(ChainStatus::Lagging)) => (Health::Limited, on.and_then(SourceChain::problem)),
        (.., Some(ChainStatus::Ok) | None) => (Health::Ok, None),
    }
}

impl SourceChain {
    /// Why the chain is not healthy, human-readable.
    fn problem(&self) -> Option<String> {
        let ChainHealth {
            chain_id,
            head,
            head_age_ms,
            node_age_ms,
            status,
        } = &self.health;
        match (status, node_age_ms) {
            (ChainStatus::Ok, _) => None,
            _ if self.is_halted => Some(format!(
                "chain {chain_id} is halted; see `halted` of the chain"
            )),
            (ChainStatus::Down, Some(age)) => Some(format!(
                "the node of chain {chain_id} has not answered for {age} ms"
            )),
            (ChainStatus::Down, None) => Some(format!(
                "no process has received an answer from the node of chain {chain_id}"
            )),
            (ChainStatus::Lagging, _) => Some(match (head, head_age_ms) {
                (Some(head), Some(age)) => format!(
                    "chain {chain_id} lags: its newest indexed block is {head}, {age} ms old"
                ),
                _ => format!("chain {chain_id} lags: no block is indexed"),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_700_000_000_000;

    fn source(state: Option<&str>, age_ms: Option<i64>) -> SourceRow {
        SourceRow {
            token: "ETH".parse().unwrap(),
            source: "chainlink".to_owned(),
            quote: "USD".to_owned(),
            max_age_ms: 60_000,
            last: age_ms.map(|age| (1.into(), NOW - age)),
            feed: None,
            chain_id: Some(1),
            state: state.map(|state| SourceStateRow {
                state: state.to_owned(),
                reason: Some(format!("{state} of a test")),
                since: 0,
            }),
        }
    }

    fn chain(status: ChainStatus, is_halted: bool) -> SourceChain {
        SourceChain {
            health: ChainHealth {
                chain_id: 1,
                head: Some(100),
                head_age_ms: Some(5_000),
                node_age_ms: Some(16_000),
                status,
            },
            is_halted,
        }
    }

    #[test]
    fn source_is_not_healthier_than_its_chain() {
        use {ChainStatus as On, Health as Is};
        for (state, age_ms, on, health, words) in [
            (Some("live"), Some(9), On::Ok, Is::Ok, None),
            (
                Some("live"),
                Some(9),
                On::Down,
                Is::Stale,
                Some("node of chain 1"),
            ),
            (None, Some(9), On::Down, Is::Stale, Some("for 16000 ms")),
            (
                None,
                Some(9),
                On::Lagging,
                Is::Limited,
                Some("chain 1 lags"),
            ),
            (
                None,
                Some(60_001),
                On::Lagging,
                Is::Stale,
                Some("60001 ms old"),
            ),
            (None, Some(60_001), On::Ok, Is::Stale, Some("60001 ms old")),
            (None, Some(60_000), On::Ok, Is::Ok, None),
            (
                Some("limited"),
                Some(9),
                On::Ok,
                Is::Limited,
                Some("limited of"),
            ),
            (
                Some("refused"),
                Some(9),
                On::Down,
                Is::Refused,
                Some("refused of"),
            ),
            (
                Some("silent"),
                Some(9),
                On::Ok,
                Is::Silent,
                Some("silent of"),
            ),
            (None, None, On::Ok, Is::Silent, Some("no tick received")),
            (None, None, On::Down, Is::Silent, Some("node of chain 1")),
        ] {
            let found = assess(&source(state, age_ms), Some(&chain(on, false)), NOW);
            assert_eq!(found.0, health, "{state:?} {age_ms:?} {on:?}");
            match (&found.1, words) {
                (Some(reason), Some(words)) => assert!(reason.contains(words), "{reason}"),
                (reason, words) => assert_eq!(reason.as_deref(), words),
            }
        }
        let halted = assess(&source(None, Some(9)), Some(&chain(On::Down, true)), NOW);
        assert!(halted.1.unwrap().contains("halted"));
        // Without a chain, or if its chain's health is unknown, only its tick counts.
        assert_eq!(assess(&source(None, Some(9)), None, NOW), (Is::Ok, None));
    }
}
