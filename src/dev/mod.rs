//! The embedded development environment: everything that `chaincast dev` and the tests run around the indexer.
//!
//! - [`PrivatePostgres`]: a private database server in the data directory, from an installed PostgreSQL.
//! - [`Anvil`]: a local chain whose blocks are kept in a file.
//! - [`deploy_or_load`]: deploys the demo contracts of `contracts/` once per chain, and finds them again.
//! - [`Market`], [`run_market`]: moves the prices on those contracts and sends transfers.
//! - [`SyntheticChain`], [`SyntheticNode`]: a synthetic chain that passes every check, and a fast node that serves it.
//! - [`ChainControl`]: mines, snapshots and reorganizes a chain on demand.
//! - [`faulty_node`]: an in-memory chain, and nodes in front of it with scripted faults.
//! - [`price_servers`]: an HTTP price document and a Pyth stream, with scripted faults.
//! - [`venue`]: an exchange that publishes given prices, with scripted faults.
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
pub mod faulty_node;
mod lock;
mod market;
mod node;
mod orphan_processes;
mod postgres;
pub mod price_servers;
mod random_walk;
mod scenario_file;
mod server_user;
mod settings;
mod synthetic_node;
#[cfg(test)]
pub(crate) mod test_dir;
#[cfg(test)]
pub(crate) mod test_port;
pub mod venue;

pub use self::{
    anvil::{Anvil, AnvilOptions},
    chain_control::ChainControl,
    contracts::deploy_or_load,
    deployment::{DemoFeed, DemoPair, DemoToken, Deployment},
    error::DevError,
    market::{Market, MarketOptions, run_market},
    node::{Node, Transaction},
    postgres::PrivatePostgres,
    scenario_file::ScenarioError,
    settings::price_settings,
    synthetic_node::{
        SyntheticChain, SyntheticNode, SyntheticNodeOptions, SyntheticOptions, Traffic,
    },
};
