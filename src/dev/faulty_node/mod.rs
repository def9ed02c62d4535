//! A node that errs on demand: what providers do wrong, again and again in the same way.
//!
//! - [`Tree`]: a chain of blocks in memory, with branches. Hashes, roots, blooms and signatures are true, so that a
//!   client which checks everything accepts them.
//! - [`FaultyNode`]: JSON-RPC over HTTP (batches too) and WebSocket (`newHeads`) on one port, in front of a [`Tree`] or
//!   of a real node, with a script of [`Fault`]s.
//! - [`Scenario`]: nodes, their faults and what happens on the chain, read from a TOML file.
//!
//! Deterministic: a fault hits requests by method, height and count, never by time, and a slow answer is held until
//! it is released. `docs/faulty-node.md` describes the script. Assumes that its clients are on this machine.

mod backend;
mod block;
mod fault;
mod scenario;
mod script;
mod serve;
mod sockets;
mod tree;

#[cfg(test)]
mod tests;

pub use self::{
    block::{Contents, Payment, TreeBlock},
    fault::{By, Fault, Kind},
    scenario::{NodeRole, Scenario, Step},
    serve::FaultyNode,
    tree::Tree,
};
