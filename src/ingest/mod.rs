//! The only writers: each chain, and the price feed. What they commit they announce on the bus.

mod chain;
mod chains;
mod outage;
mod price;
mod signal;

pub use chain::{
    Backfill, Bottleneck, ChainIngest, Filled, Goal, IngestError, Progress, Rates, TickDecoder,
};
pub use chains::{ChainContext, ChainWriters};
pub use price::{PriceIngest, PriceIngestError};
pub use signal::{PriceSignal, PriceSignalQueue, PriceSignals};
