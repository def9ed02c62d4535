//! Prices from exchanges over WebSocket.
//!
//! - [`Exchange`]: one venue: its name, symbols and protocol, a codec without I/O or clock. A module for each venue
//!   follows the venue's documentation and names it; `exchanges!` below lists the modules.
//! - `socket`: the supervisor of all connections, using `connection` (one socket).
//!
//! Guarantees: a bad message affects only itself; an unknown symbol affects only that symbol; a connection that ends,
//! stalls or reaches its maximum age is replaced, with no more attempts than the backoff allows. No number passes
//! through a float: ticks have the digits that the venue sends.

/// Calls a macro with the list of exchanges: the module of each, in the order of error messages. A module has the name of
/// its venue, and a `VENUE`. Everything that names venues follows from this list.
macro_rules! exchanges {
    ($declare:ident) => {
        $declare! {
            binance,
            coinbase,
            kraken,
        }
    };
}

macro_rules! modules {
    ($($venue:ident,)+) => { $(mod $venue;)+ };
}

exchanges!(modules);

mod config;
mod connection;
mod group;
mod handshake;
mod json;
mod listing;
mod protocol;
mod socket;
mod symbol;
#[cfg(test)]
mod tests;
mod timing;
mod venues;

use self::config::ListingConfig;
use self::protocol::{Exchange, Limits, Request, VenueEvent};
use super::{PriceFault, stream::Quote};

pub use config::ExchangeConfig;
pub(super) use config::TEXT;
pub(super) use group::feeds;
pub(super) use listing::{Listing, read_listing};
pub(super) use venues::kinds;
