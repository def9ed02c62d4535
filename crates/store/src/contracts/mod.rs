//! Configured contracts, their decoded events, and the addresses that factories announced.
//!
//! Each definition has its own row in `contracts`. Its events cover the blocks from `decoded_from` to
//! `decoded_through`, which is the chain's head at every commit of its writer. Everything here runs in the transactions
//! of that writer.

mod backfill;
mod event;
mod state;
mod stored_events;

pub use backfill::{StoredLogQuery, stored_logs};
pub(crate) use event::unwind;
pub use event::{channels_above, insert, insert_events};
pub use state::{
    ContractState, Definition, delete_retired, found_addresses, record_decoded, record_found, sync,
};
pub use stored_events::{InForce, StoredEvent, events_between, in_force, unannounced_addresses};
