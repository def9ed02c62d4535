//! The sources on a chain as the logs that are stored already are decoded for them, one source at a time.

use alloy::primitives::keccak256;
use std::sync::Arc;

use super::{Averaged, LogView, OnChainSources, TickError, on_chain::averaged};
use crate::model::{Address, B256, ChainId, Tick, Token};

/// A source whose ticks stored logs give too: one for each log, or one for each block of the windows of an average.
#[derive(Debug, Clone)]
pub struct PastSource {
    pub source: usize,
    /// `Some` for an average.
    pub average: Option<Averaged>,
    pub token: Token,
    pub name: Arc<str>,
    /// Of what is read, and how.
    pub definition: B256,
}

impl OnChainSources {
    /// The sources of a chain.
    pub fn with_past(&self, chain_id: ChainId) -> Vec<PastSource> {
        let here = self.sources.iter().enumerate();
        here.filter(|(_, source)| source.chain_id == chain_id)
            .map(|(at, source)| PastSource {
                source: at,
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

    /// Whether the logs of a source are decoded now: what is needed of its contract is known, and it is not refused.
    pub fn is_read(&self, source: usize) -> bool {
        let standings = self.standings.lock();
        let standing = standings.get(source);
        standing.is_some_and(|standing| standing.reader().is_some())
    }

    /// Who emits for a source, and which event; `None` while it is not read.
    pub fn emitters(&self, source: usize) -> Option<(Vec<Address>, B256)> {
        let standings = self.standings.lock();
        let standing = standings.get(source)?;
        standing.reader()?;
        let phases = standing.phases().iter();
        let mut addresses: Vec<Address> = phases.map(|phase| phase.address).collect();
        addresses.sort_unstable();
        addresses.dedup();
        Some((addresses, self.sources.get(source)?.spec.topic()))
    }

    /// The tick that a log gives to one source. A refused one is counted and logged here already.
    pub fn decode_for(&self, source: usize, log: &LogView<'_>) -> Option<Result<Tick, TickError>> {
        let of = self.sources.get(source)?;
        let routes = self.routes.load();
        let mut routes = routes.get(&(of.chain_id, log.address))?.iter();
        let route = routes.find(|route| route.source == source && route.reads(log))?;
        Some(of.tick(&route.reader, log))
    }
}
