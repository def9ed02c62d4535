//! A venue of prices on this machine: it speaks as Binance, Coinbase Exchange or Kraken do, and errs on demand.
//!
//! - [`Venue`]: a WebSocket server that tells the prices it is given, with the answers, heartbeats and snapshots of the
//!   venue that it stands for.
//! - [`Act`]: what it tells, and what it does wrong: half a frame, silence, another order, refusals, storms.
//! - [`VenueScenario`]: acts and what a client makes of them, read from a TOML file. A report of what a venue did
//!   wrong can become a test in this way: `tests/venues/` has the ones that there are.
//!
//! Deterministic but for its heartbeats, which come by time: everything else is said when an act says so. Assumes that
//! its clients are on this machine.

mod act;
mod connection;
mod format;
mod scenario;
mod serve;

pub use self::{
    act::{Act, Told},
    format::{Asked, Speaks},
    scenario::{VenueScenario, VenueStep},
    serve::{Seen, Venue},
};
