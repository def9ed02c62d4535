//! One token's reading of one contract: from what it says to ticks, or to a refusal that is counted, and
//! logged now and then.

use std::sync::Arc;

use bigdecimal::BigDecimal;
use parking_lot::Mutex;

use super::{
    LogView, Silence, TickError, TickFault, Unit, chainlink,
    decimal::is_price,
    seldom::Seldom,
    standing::{Reader, Spec, Standing},
    uniswap_v2, uniswap_v3,
};
use crate::model::{Address, BlockRef, ChainId, LogOrigin, Tick, Token};

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

/// One token's reading of one contract.
#[derive(Debug)]
pub(super) struct Source {
    pub token: Token,
    pub name: Arc<str>,
    pub quote: Arc<str>,
    pub chain_id: ChainId,
    pub spec: Spec,
    /// What one price that the contract tells is of.
    pub unit: Unit,
    /// Lines of faults by their kind: whoever trades in a pool makes logs, and some give no price.
    pub logged: Mutex<Seldom>,
}

impl Source {
    pub(super) fn observe(
        &self,
        reader: &Reader,
        log: &LogView<'_>,
    ) -> Result<Observation, TickFault> {
        let told = match (reader, &self.spec) {
            (Reader::Feed { decimals }, spec) => {
                chainlink::observe(log, *decimals, spec.heartbeat_ms())
            }
            (Reader::Pool(shape), spec) if spec.topic() == uniswap_v3::TOPIC => {
                uniswap_v3::observe(log, *shape, spec.minimum())
            }
            (Reader::Pool(shape), spec) => uniswap_v2::observe(log, *shape, spec.minimum()),
        };
        self.in_units(told?)
    }

    /// What a contract told, as the price of one token.
    pub(super) fn in_units(&self, told: Observation) -> Result<Observation, TickFault> {
        let applied = self.unit.apply(&told.price, None);
        let (price, _) = applied.map_err(|_| TickFault::OutOfBounds)?;
        if !is_price(&price) {
            return Err(TickFault::OutOfBounds);
        }
        Ok(Observation { price, ..told })
    }

    pub(super) fn tick(&self, reader: &Reader, log: &LogView<'_>) -> Result<Tick, TickError> {
        let origin = log.origin(self.chain_id);
        match self.observe(reader, log) {
            Ok(observed) => Ok(self.accept(observed, origin)),
            Err(fault) => Err(self.refuse(fault, origin)),
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

    pub(super) fn refuse(&self, fault: TickFault, origin: LogOrigin) -> TickError {
        super::metrics::refused(&fault);
        if self.logged.lock().due(fault.reason()) {
            tracing::warn!(
                token = %self.token, source = %self.name, chain_id = origin.chain_id,
                block = origin.block_number, log_index = origin.log_index, reason = %fault,
                "a price source's contract gave no price"
            );
        }
        TickError {
            token: self.token.clone(),
            source_name: self.name.clone(),
            origin: Box::new(origin),
            fault,
        }
    }

    /// Says why its contract does not say what it is asked, or that it does again.
    pub(super) fn tell_silence(&self, silence: Option<&Silence>, was_silent: bool) {
        let (token, name, chain_id) = (&self.token, &self.name, self.chain_id);
        match silence {
            Some(Silence::Node(_)) => {}
            Some(reason) => tracing::warn!(
                %token, source = %name, chain_id, %reason,
                "a price source's contract does not say what is needed; it is asked again"
            ),
            None if was_silent => tracing::info!(
                %token, source = %name, chain_id, "a price source's contract says what is needed"
            ),
            None => {}
        }
    }

    /// Says what is new of how it stands.
    pub(super) fn tell(
        &self,
        standing: &Standing,
        was_refused: Option<&str>,
        moved: Option<Address>,
    ) {
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
    pub(super) fn origin(&self, chain_id: ChainId) -> LogOrigin {
        LogOrigin {
            chain_id,
            block_number: self.block_number,
            block_hash: self.block_hash,
            log_index: self.log_index,
        }
    }
}

/// What is of a block and of no log.
pub(super) fn end_of(chain_id: ChainId, block: BlockRef) -> LogOrigin {
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
