//! Configured contracts, their decoded events, and the addresses that factories announced.
//!
//! A definition has a row of its own in `contracts`; its events are of the blocks from `decoded_from` to
//! `decoded_through`, which is the chain's head at every commit of its writer. Everything here runs in the
//! transactions of that writer.

mod audit;
mod event;
mod past;
mod state;

pub use audit::{InForce, StoredEvent, events_between, in_force, unannounced};
pub(in crate::store) use event::unwind;
pub use event::{channels_above, insert, insert_past};
pub(in crate::store) use past::log_of;
pub use past::{PastLogs, past_logs};
pub use state::{
    ContractState, Definition, delete_retired, found_addresses, record_decoded, record_found, sync,
};
