//! The only writers of the database's streams: one per chain and one for prices. They publish each commit on the bus.
//!
//! ```text
//! evm ─▶ chain writer ─▶ store ─▶ bus
//!             │ PriceSignals, after the commit
//!             ▼
//! feeds ─▶ price writer ─▶ store ─▶ bus
//! ```
//!
//! | modules | what they have |
//! |---|---|
//! | `chains`, `chain_context` | [`ChainWriters`]: the writers of all chains, each a failure domain of its own; halts |
//! | `chain` | `ChainIngest`: one writer, which opens a `ChainWriter` each time it gets the lock |
//! | `chain` `writer`, `catch_up`, `reorg`, `commit`, `updates`, `ticks` | what it knows; going on and going back; one transaction; what is announced |
//! | `chain` `load`, `bulk`, `backfill`, `progress`, `stall` | history: gathering and encoding, deferred indexes, a range on request, where the time goes |
//! | `chain` `contract`, `token_metadata`, `watched`, `price` | contract events, live and of the past; tokens; watched transactions and addresses; price contracts, averages and ticks of the past |
//! | `chain` `node_status`, `yield_lock`, `retry`, `timeouts` | where the node stands; giving the lock to a process whose nodes work; waiting |
//! | `price` | [`PriceIngest`]: the price writer, in rounds of one commit |
//! | `price` `price_state`, `token_state`, `publish_policy`, `commit`, `feeds` | the newest ticks and prices, of all tokens and of one; what is announced; one transaction; feeds while it has the lock |
//! | `price` `candles`, `alerts` | what changes in candles; which alerts a price fires, without looking at the others |
//! | `price_signal` | [`PriceSignals`] from the chain writers to the price writer |
//!
//! Promises: rows, cursor and seqs move in one transaction, and updates are published only after its commit. What waiting
//! can mend is waited out; a chain that fails for good takes no other with it.

mod chain;
mod chain_context;
mod chains;
mod price;
mod price_signal;

use chain::TickDecoder;
pub use chain::{Backfill, BackfillOutcome, IngestError, Progress, Rates};
pub use chain_context::ChainContext;
pub use chains::ChainWriters;
pub use price::PriceIngest;
use price_signal::PriceSignalQueue;
pub use price_signal::{PriceSignal, PriceSignals};
