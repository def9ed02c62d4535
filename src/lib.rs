//! chaincast indexes EVM chains and token prices into Postgres and streams both, live and without gaps.
//!
//! Data flows in one direction, and the modules below are in its order:
//!
//! ```text
//! source → ingest → store ⇒ (after commit) bus → gateway
//!                     └──→ api
//! ```

pub mod model;

pub mod source;

pub mod store;

pub mod ingest;

pub mod bus;

pub mod gateway;

pub mod api;

pub mod dev;

pub mod app;
pub mod cli;
pub mod client;
pub mod config;
mod page;
mod problem;
pub mod retry;
pub mod server;
pub mod settings;
pub mod shutdown;
pub mod telemetry;
pub mod tls;
