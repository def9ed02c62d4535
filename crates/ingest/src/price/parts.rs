//! What the connections of the price writer share, and its inputs.

use crate::PriceSignalQueue;
use chaincast_bus::Publisher;
use chaincast_prices::{PriceConfig, TickQueue};
use chaincast_protocol::{ChainId, ChainLimits};
use chaincast_store::{
    Store,
    tokens::{TrackedSource, TrackedToken},
};

/// The inputs of the writer.
pub(super) struct Incoming {
    /// From the chain writers of this process.
    pub(super) signals: PriceSignalQueue,
    /// From the feeds.
    pub(super) ticks: TickQueue,
}

/// Shared by the connections that the writer opens one after another.
pub(super) struct Parts {
    pub(super) config: PriceConfig,
    /// The chain of sources that name none.
    pub(super) first_chain: ChainId,
    pub(super) tokens: Vec<TrackedToken>,
    pub(super) sources: Vec<TrackedSource>,
    pub(super) store: Store,
    pub(super) publisher: Publisher,
    /// When a chain's node counts as down, so that ticks of the chain are stale.
    pub(super) chains: Vec<ChainLimits>,
}
