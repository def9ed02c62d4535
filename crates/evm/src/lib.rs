//! EVM nodes to proved blocks, and logs to decoded events. Nothing here writes to the database.
//!
//! - [`chain`]: follows a head over several nodes, fetches blocks or logs, checks them, and decodes rows.
//! - [`contract`]: whose log it is, and what it says by the contract's ABI. Pure.

pub mod chain;
pub mod contract;
