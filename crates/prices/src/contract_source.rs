//! A source of one token that reads one contract: turns logs and answers into ticks, or into rejections that are
//! counted and logged at intervals.

use std::sync::Arc;

use parking_lot::Mutex;

use super::{
    ContractError, LogView, TickError, TickFault, Unit, chainlink,
    contract_state::{ContractState, LogDecoder, Spec},
    decimal::is_price,
    observation::Observation,
};
use chaincast_base::telemetry::log_limit::LogLimit;
use chaincast_model::{LogOrigin, Tick};
use chaincast_protocol::{Address, BlockRef, ChainId, Token};

/// A source of one token that reads one contract.
#[derive(Debug)]
pub(super) struct Source {
    pub token: Token,
    pub name: Arc<str>,
    pub quote: Arc<str>,
    pub chain_id: ChainId,
    pub spec: Spec,
    /// Converts the contract's price to the price of one token.
    pub unit: Unit,
    /// Limits warnings by kind of fault: any trader in a pool can cause logs without a price.
    pub logged: Mutex<LogLimit>,
}

impl Source {
    pub(super) fn observe(
        &self,
        decoder: &LogDecoder,
        log: &LogView<'_>,
    ) -> Result<Observation, TickFault> {
        let raw = match (&self.spec, decoder) {
            (Spec::Feed(feed), LogDecoder::Feed { decimals }) => {
                chainlink::observe(log, *decimals, feed.heartbeat_ms)
            }
            (Spec::Pool { pool, .. }, LogDecoder::Pool(shape)) => {
                (pool.contract.observe)(log, *shape, pool.config.minimum())
            }
            // Not reached: a source makes its decoder itself.
            _ => Err(TickFault::Malformed("decoder of another kind".to_owned())),
        };
        self.in_price_unit(raw?)
    }

    /// Converts a contract's price to the price of one token.
    pub(super) fn in_price_unit(&self, raw: Observation) -> Result<Observation, TickFault> {
        let applied = self.unit.apply(&raw.price, None);
        let (price, _) = applied.map_err(|_| TickFault::OutOfBounds)?;
        if !is_price(&price) {
            return Err(TickFault::OutOfBounds);
        }
        Ok(Observation { price, ..raw })
    }

    pub(super) fn tick(&self, decoder: &LogDecoder, log: &LogView<'_>) -> Result<Tick, TickError> {
        let origin = log.origin(self.chain_id);
        match self.observe(decoder, log) {
            Ok(observed) => Ok(self.accept(observed, origin)),
            Err(fault) => Err(self.reject(fault, origin)),
        }
    }

    pub(super) fn accept(&self, observed: Observation, origin: LogOrigin) -> Tick {
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

    pub(super) fn reject(&self, fault: TickFault, origin: LogOrigin) -> TickError {
        super::metrics::refused(&fault);
        if self.logged.lock().is_due(fault.reason()) {
            tracing::warn!(
                token = %self.token, source = %self.name, chain_id = origin.chain_id,
                block = origin.block_number, log_index = origin.log_index, reason = %fault,
                "no price from the contract of a price source"
            );
        }
        TickError {
            token: self.token.clone(),
            source_name: self.name.clone(),
            origin: Box::new(origin),
            fault,
        }
    }

    /// Logs that facts are missing and why, or that they are complete again.
    pub(super) fn log_contract_error(&self, error: Option<&ContractError>, had_error: bool) {
        let (token, name, chain_id) = (&self.token, &self.name, self.chain_id);
        match error {
            Some(ContractError::Node(_)) => {}
            Some(reason) => tracing::warn!(
                %token, source = %name, chain_id, %reason,
                "missing facts from the contract of a price source; retrying"
            ),
            None if had_error => tracing::info!(
                %token, source = %name, chain_id, "the contract of a price source reports all required facts"
            ),
            None => {}
        }
    }

    /// Logs a new aggregator, and a change between rejected and accepted.
    pub(super) fn log_changes(
        &self,
        state: &ContractState,
        old_refusal: Option<&str>,
        new_aggregator: Option<Address>,
    ) {
        let (token, name) = (&self.token, &self.name);
        if let Some(aggregator) = new_aggregator {
            super::metrics::aggregator_changed(token, name);
            tracing::info!(%token, source = %name, %aggregator, "the proxy of a feed has a new aggregator");
        }
        let refusal = state.refusal();
        if refusal == old_refusal {
            return;
        }
        super::metrics::source_refused(token, name, refusal.is_some());
        match refusal {
            Some(reason) => tracing::error!(
                %token, source = %name, reason,
                "price source rejected: its entry in [[prices.sources]] contradicts its contract"
            ),
            None => tracing::info!(%token, source = %name, "price source accepted again"),
        }
    }
}

impl LogView<'_> {
    pub(super) fn origin(&self, chain_id: ChainId) -> LogOrigin {
        LogOrigin {
            chain_id,
            block_number: self.block_number,
            block_hash: self.block_hash,
            log_index: self.log_index,
        }
    }
}

/// The origin of a tick made at the end of a block rather than from a log.
pub(super) fn end_of(chain_id: ChainId, block: BlockRef) -> LogOrigin {
    LogOrigin {
        chain_id,
        block_number: block.number,
        block_hash: block.hash,
        log_index: LogOrigin::END_OF_BLOCK,
    }
}
