//! The embedded development environment: everything that `chaincast dev` and the tests run around the indexer.
//!
//! - [`PrivatePostgres`]: a private database server in the data directory, from an installed PostgreSQL.
//! - [`Anvil`]: a local chain whose blocks are kept in a file.
//! - [`deploy_or_load`]: deploys the demo contracts of `contracts/` once per chain, and finds them again.
//! - [`Market`], [`run_market`]: moves the prices on those contracts and sends transfers.
//! - [`ChainControl`]: mines, snapshots and reorganizes a chain on demand.
//!
//! Promises: everything started here is stopped by `stop`, and ends with this process even if it is killed. Leftovers
//! of a killed process do not prevent the next start. Assumes a Unix system. Not used in production.

mod anvil;
mod anvil_state;
mod binaries;
mod chain_control;
mod child;
mod cluster;
mod contracts;
mod deployment;
mod error;
mod lock;
mod market;
mod node;
mod orphan_processes;
mod postgres;
mod random_walk;
mod server_user;
mod settings;

pub use self::{
    anvil::{Anvil, AnvilOptions},
    chain_control::ChainControl,
    contracts::deploy_or_load,
    deployment::{DemoFeed, DemoPair, DemoToken, Deployment},
    error::DevError,
    market::{Market, MarketOptions, run_market},
    node::{Node, Transaction},
    postgres::PrivatePostgres,
    settings::price_settings,
};
