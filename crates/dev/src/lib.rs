//! The development environment: what `chaincast dev` and the tests run around the service.
//!
//! - [`PrivatePostgres`]: a private database server in the data directory, from an installed PostgreSQL (`postgres`,
//!   `cluster`, `server_user`).
//! - [`Anvil`]: a local chain whose blocks are kept in a file (`anvil`, `anvil_state`).
//! - [`deploy_or_load`]: deploys the demo contracts of `contracts/` once per chain, and finds them again ([`Deployment`]).
//! - [`Market`], [`run_market`]: moves the prices on those contracts and sends transfers (`market`, `random_walk`).
//! - [`ChainControl`], [`Node`]: mines, reorganizes and rolls back a chain on demand.
//! - `child`, `lock`, `binaries`, `orphan_processes`: processes that end with this one.
//!
//! Promises: everything started here is stopped by `stop`, and ends with this process even if it is killed. Leftovers
//! of a killed process do not prevent the next start. Assumes a Unix system. Not used in production.
//!
//! ```no_run
//! use chaincast_dev::{Anvil, AnvilOptions, DevError, Node};
//!
//! # async fn example() -> Result<(), DevError> {
//! let anvil = Anvil::start(&AnvilOptions::default()).await?;
//! let node = Node::connect(&anvil.http_url())?;
//! println!("chain {} at block {}", node.chain_id().await?, node.block_number().await?);
//! anvil.stop().await
//! # }
//! ```

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
