//! Prices from exchanges over WebSocket.
//!
//! - [`Exchange`]: one venue: its name, symbols and protocol, a codec without I/O or clock. `binance`, `coinbase` and
//!   `kraken` follow the venues' documentation and name it; `venues` registers them.
//! - `socket`: the supervisor of all connections, using `connection` (one socket).
//!
//! Guarantees: a bad message affects only itself; an unknown symbol affects only that symbol; a connection that ends,
//! stalls or reaches its maximum age is replaced, with no more attempts than the backoff allows. No number passes
//! through a float: ticks have the digits that the venue sends.

mod binance;
mod coinbase;
mod config;
mod connection;
mod group;
mod handshake;
mod json;
mod kraken;
mod listing;
mod protocol;
mod socket;
mod symbol;
#[cfg(test)]
mod tests;
mod timing;
mod venues;

use self::protocol::{Exchange, Limits, Request, VenueEvent};
use super::{PriceFault, stream::Quote};

pub use config::{BinanceConfig, BinanceStream, ExchangeConfig, ListingConfig, VenueConfig};
pub(super) use group::feeds;
pub use listing::Listing;
pub(super) use listing::read_listing;
pub(super) use venues::{kinds, url_of_alias};
