//! Socket.IO as its packets stand on the wire; the client of the field is driven by the integration tests.

pub mod client;
mod namespace;
mod polling;
mod upgrade;
