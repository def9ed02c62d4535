//! The only writers of the database's streams: one per chain and one for prices. They publish each commit on the bus.

mod chain;
mod chain_context;
mod chains;
mod price;
mod price_signal;

pub use chain::{
    Backfill, BackfillOutcome, Bottleneck, ChainIngest, Goal, IngestError, Progress, Rates,
    TickDecoder,
};
pub use chain_context::ChainContext;
pub use chains::ChainWriters;
pub use price::{PriceIngest, PriceIngestError};
pub use price_signal::{PriceSignal, PriceSignalQueue, PriceSignals};
