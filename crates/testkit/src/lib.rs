//! Servers that fail by a script, for tests and measurements; never part of the product.
//!
//! - [`faulty_node`]: an in-memory chain, and nodes in front of it with scripted faults.
//! - [`SyntheticChain`], [`SyntheticNode`]: a synthetic chain that passes every check, and a fast node that serves it.
//! - [`price_servers`]: an HTTP price document and a Pyth stream, with scripted faults.
//! - [`venue`]: an exchange that publishes given prices, with scripted faults.
//! - [`test_dir`], [`test_port`]: directories and ports that belong to one test.

pub mod faulty_node;
pub mod price_servers;
mod scenario_file;
mod synthetic_node;
pub mod test_dir;
pub mod test_port;
pub mod venue;

pub use self::{
    scenario_file::ScenarioError,
    synthetic_node::{
        SyntheticChain, SyntheticNode, SyntheticNodeOptions, SyntheticOptions, Traffic,
    },
};
