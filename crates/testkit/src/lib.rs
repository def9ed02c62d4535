//! Servers that fail by a script, for tests and measurements; never part of the product.
//!
//! - [`faulty_node`]: an in-memory chain, and nodes in front of it with scripted faults (docs/faulty-node.md).
//! - [`SyntheticChain`], [`SyntheticNode`]: a synthetic chain that passes every check, and a fast node that serves it.
//! - [`price_servers`]: an HTTP price document and a Pyth stream, with scripted faults.
//! - [`venue`]: an exchange that publishes given prices, with scripted faults (docs/venue.md).
//! - [`test_dir`], [`test_port`]: directories and ports that belong to one test.
//!
//! Promises: a scenario gives the same answers in every run. Faults match requests, never times.
//!
//! ```
//! use chaincast_testkit::faulty_node::{BlockTree, Contents};
//!
//! let tree = BlockTree::new(1);
//! let first = tree.mine(&Contents::default());
//! tree.mine(&Contents::default());
//! // Another branch replaces the newest block.
//! let ancestor = tree.reorg(1, &[Contents::default(), Contents::default()]);
//! assert_eq!((ancestor, tree.head().number), (first, 3));
//! ```

pub mod faulty_node;
mod observed;
pub mod price_servers;
mod scenario_file;
mod synthetic_node;
pub mod test_dir;
pub mod test_port;
pub mod venue;

pub use self::synthetic_node::{
    SyntheticChain, SyntheticNode, SyntheticNodeOptions, SyntheticOptions, Traffic,
};
