//! On-chain sources for price backfill: stored logs are decoded for one source at a time.

use alloy::primitives::keccak256;
use std::sync::Arc;

use super::{
    AveragedSource, LogView, OnChainSources, TickError, contract_state::Spec, on_chain::averaged,
};
use chaincast_model::Tick;
use chaincast_protocol::{Address, B256, ChainId, Token};

/// A source whose ticks follow from stored logs: one per log, or for an average one per block.
#[derive(Debug, Clone)]
pub struct BackfillSource {
    /// The position of the source, for the functions of [`OnChainSources`].
    pub source: usize,
    /// Whether its end-of-block ticks are answers that were read from the contract.
    pub has_answers: bool,
    /// `Some` for an average.
    pub average: Option<AveragedSource>,
    /// The priced token.
    pub token: Token,
    /// The name of the source in the `sources` of a price.
    pub name: Arc<str>,
    /// Hash of what is read, and how; another definition replaces the stored ticks.
    pub definition: B256,
}

impl OnChainSources {
    /// The sources on a chain.
    pub fn backfill_sources(&self, chain_id: ChainId) -> Vec<BackfillSource> {
        let all = self.sources.iter().enumerate();
        all.filter(|(_, source)| source.chain_id == chain_id)
            .map(|(at, source)| BackfillSource {
                source: at,
                has_answers: matches!(source.spec, Spec::Feed(_)),
                average: averaged(at, source),
                token: source.token.clone(),
                name: source.name.clone(),
                definition: keccak256(format!(
                    "{} in {} by {:?}",
                    source.spec.definition(),
                    source.quote,
                    source.unit
                )),
            })
            .collect()
    }

    /// Whether the logs of a source are decoded now: the needed facts of its contract are known, and it is not refused.
    pub fn is_read(&self, source: usize) -> bool {
        let states = self.states.lock();
        let state = states.get(source);
        state.is_some_and(|state| state.decoder().is_some())
    }

    /// The contracts that emit for a source, and the event topic; `None` while its logs are not decoded.
    pub fn emitting_contracts(&self, source: usize) -> Option<(Vec<Address>, B256)> {
        let states = self.states.lock();
        let state = states.get(source)?;
        state.decoder()?;
        let phases = state.phases().iter();
        let mut addresses: Vec<Address> = phases.map(|phase| phase.address).collect();
        addresses.sort_unstable();
        addresses.dedup();
        Some((addresses, self.sources.get(source)?.spec.topic()))
    }

    /// The tick of a log for one source. A rejected log has been counted and logged.
    pub fn decode_stored_log(
        &self,
        source: usize,
        log: &LogView<'_>,
    ) -> Option<Result<Tick, TickError>> {
        let of = self.sources.get(source)?;
        let routes = self.routes.load();
        let mut routes = routes.get(&(of.chain_id, log.address))?.iter();
        let route = routes.find(|route| route.source == source && route.reads(log))?;
        Some(of.tick(&route.decoder, log))
    }
}
