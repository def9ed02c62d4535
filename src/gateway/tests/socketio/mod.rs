//! Socket.IO as its packets stand on the wire; the clients of the field are driven by the integration tests.
//!
//! `engine` and `protocol` go through what the two protocol documents list, case by case; `docs/conformance.md`
//! says which of their authors' cases each stands for.

pub mod client;
mod engine;
mod namespace;
mod polling;
mod protocol;
mod upgrade;
