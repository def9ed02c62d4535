//! chaincast indexes EVM chains and token prices into Postgres and streams both, live and without gaps.
//!
//! This crate assembles the service from the crates of `crates/`: configuration, commands, and the live page. Data flows
//! in one direction, and the crates are in its order:
//!
//! ```text
//! evm, prices → ingest → store ⇒ (after commit) bus → gateway
//!                          └──→ api
//! ```

pub mod app;
pub mod cli;
pub mod config;
mod page;
