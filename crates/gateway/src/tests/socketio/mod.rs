//! Socket.IO on the packet level; the integration tests use real clients.
//!
//! `engine` and `protocol` cover the cases of the two protocol documents; `docs/conformance.md` maps them to the cases of
//! the official test suites.

pub mod client;
mod engine;
mod namespace;
mod polling;
mod protocol;
mod upgrade;
