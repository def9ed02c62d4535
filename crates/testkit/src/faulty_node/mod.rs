//! A node with scripted faults: reproduces what providers do wrong, deterministically.
//!
//! - [`BlockTree`]: an in-memory chain with branches. Hashes, roots, blooms and signatures are valid, so a client that
//!   checks everything accepts its blocks.
//! - [`FaultyNode`]: JSON-RPC over HTTP (with batches) and WebSocket (`newHeads`) on one port, in front of a
//!   [`BlockTree`] or of a real node, with a script of [`Fault`]s.
//! - [`Scenario`]: nodes, their faults and the events of the chain, read from a TOML file.
//!
//! Deterministic: a fault matches requests by method, height and count, never by time; a slow answer is held until it
//! is released. `docs/faulty-node.md` describes the script. Assumes local clients.

mod backend;
mod block;
mod block_tree;
mod fault;
mod node_state;
mod scenario;
mod script;
mod serve;
mod sockets;

#[cfg(test)]
mod tests;

pub use self::{
    block::{Contents, Payment, TreeBlock},
    block_tree::BlockTree,
    fault::{BlockSelector, Fault, Kind},
    scenario::{NodeRole, Scenario, Step},
    serve::FaultyNode,
};
