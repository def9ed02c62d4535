//! The embedded development environment: everything `chaincast dev` and the tests need around the indexer.
//!
//! - [`PrivatePostgres`]: a database server of our own, in the data dir, from an installed PostgreSQL.
//! - [`Anvil`]: a local chain that keeps its blocks in a file.
//! - [`deploy_or_load`]: the demo contracts of `contracts/`, deployed once to a chain and found again.
//! - [`Market`], [`run_market`]: moves the prices on those contracts and sends transfers.
//! - [`SyntheticChain`], [`SyntheticNode`]: a made-up chain that passes every check, and a fast node that serves it.
//! - [`ChainControl`]: mines, snapshots and reorganises a chain on demand.
//! - [`faulty_node`]: a chain in memory, and nodes in front of it that err as a script says.
//! - [`price_web`]: a JSON document with prices, and a stream of Pyth's, that err as they are told.
//! - [`venue`]: an exchange that tells the prices it is given, and errs as it is told.
//!
//! Promises: what is started here is stopped by `stop`, and dies with this process even when it is killed; what a
//! killed process left behind does not hinder the next start. Assumes a Unix; nothing here is used in production.

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
mod orphan;
mod postgres;
pub mod price_web;
mod scenario_file;
mod server_user;
mod settings;
mod synthetic_node;
#[cfg(test)]
pub(crate) mod test_dir;
#[cfg(test)]
pub(crate) mod test_port;
pub mod venue;
mod walk;

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
