//! A local price venue with the protocol of Binance, Coinbase Exchange or Kraken, and scripted faults.
//!
//! - [`Venue`]: a WebSocket server that publishes given prices, with the responses, heartbeats and snapshots of its
//!   venue.
//! - [`Action`]: a price or a fault: half a frame, silence, reordering, refusals, reconnect storms.
//! - [`VenueScenario`]: actions and the expected behavior of a client, read from a TOML file. A bug report can become a
//!   test this way; `tests/venues/` has the existing ones.
//!
//! Deterministic except for heartbeats, which are timed: everything else is sent by an action. Assumes local clients.

mod behavior;
mod connection;
mod format;
mod scenario;
mod serve;
mod shared;

pub use self::{
    behavior::{Action, VenueTick},
    format::{SubscribeRequest, VenueProtocol},
    scenario::{VenueScenario, VenueStep},
    serve::Venue,
    shared::Observed,
};
