//! One stream: its readers, what was received, and its state.

use ::metrics::Counter;
use bigdecimal::BigDecimal;
use tokio::time::Instant;

use super::super::{
    super::{
        FeedState, PriceFault, metrics::tick_counter, price_text::is_plausible_size,
        sanitized::sanitized,
    },
    dedup::{Dedup, SlotState},
    readers::{StreamReader, source_label},
};
use chaincast_base::telemetry::log_limit::LogLimit;

pub(super) struct Stream {
    pub(super) name: Box<str>,
    pub(super) readers: Vec<(StreamReader, Counter)>,
    /// Whether `by_name` also has the venue's own name for it.
    pub(super) has_alias: bool,
    /// Removes the copies of other connections.
    pub(super) dedup: Dedup,
    /// When any connection last delivered a price.
    pub(super) last_price_at: Option<Instant>,
    /// Event time of the newest tick of any connection, in ms.
    pub(super) newest: i64,
    /// Its state, apart from restricted trading of the whole venue.
    pub(super) state: FeedState,
    /// The kind of fault that leaves a document without a price, if `state` reports one.
    pub(super) missing: Option<&'static str>,
    /// The kind of fault logged last; `None` once there is a price.
    pub(super) logged_missing: Option<&'static str>,
    /// Limits log lines about its state.
    pub(super) logged: LogLimit,
}

/// What one connection has received of one stream.
#[derive(Debug, Clone, Default)]
pub(in super::super::super) struct StreamProgress {
    pub(super) order: Option<u64>,
    /// Consecutive messages with a number below `order`.
    pub(super) out_of_order: u32,
    /// Whether any price arrived, even if it is not a tick.
    pub(super) has_price: bool,
    pub(super) has_tick: bool,
    pub(in super::super::super) is_rejected: bool,
    pub(super) dedup: SlotState,
}

impl StreamProgress {
    /// For the connection in this slot; see [`SlotState::slot`].
    pub(in super::super::super) fn for_slot(slot: u8) -> Self {
        Self {
            dedup: SlotState::for_slot(slot),
            ..Self::default()
        }
    }
}

impl Stream {
    /// A stream without data.
    pub(super) fn new(name: String, readers: Vec<StreamReader>) -> Self {
        let counted = readers.into_iter().map(|reader| {
            let counter = tick_counter(&reader.token, &reader.source);
            (reader, counter)
        });
        Self {
            name: name.into(),
            readers: counted.collect(),
            has_alias: false,
            dedup: Dedup::default(),
            last_price_at: None,
            newest: i64::MIN,
            state: FeedState::Live,
            missing: None,
            logged_missing: None,
            logged: LogLimit::default(),
        }
    }

    /// The names of its readers, for logs.
    pub(super) fn sources(&self) -> String {
        let readers = self.readers.iter().map(|(reader, _)| reader);
        let named: Vec<String> = readers
            .map(|reader| source_label(&reader.token, &reader.source))
            .collect();
        named.join(", ")
    }
}

/// Converts a venue's price to the price of one of the reader's tokens.
pub(super) fn in_price_unit(
    reader: &StreamReader,
    price: &BigDecimal,
    confidence: Option<&BigDecimal>,
) -> Result<(BigDecimal, Option<BigDecimal>), PriceFault> {
    let out_of_range = |text: String| PriceFault::OutOfRange(sanitized(&text));
    let (price, confidence) = reader
        .unit
        .apply(price, confidence)
        .map_err(|_| out_of_range(format!("1/{price} with an interval that reaches zero")))?;
    if is_plausible_size(&price) {
        Ok((price, confidence))
    } else {
        Err(out_of_range(price.to_scientific_notation()))
    }
}
