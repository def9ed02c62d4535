//! What the server and its connections share.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Instant,
};

use parking_lot::Mutex;
use tokio::sync::{mpsc, watch};

use super::{VenueProtocol, VenueTick};

/// What a venue observed of its clients.
#[derive(Debug, Clone, Default)]
pub struct Observed {
    /// Connections so far, the ended ones included.
    pub connections: u64,
    /// Connections that are open now.
    pub open: u64,
    /// Answered subscription requests.
    pub answered: u64,
    /// Subscribed symbols of the newest connection.
    pub newest: BTreeSet<String>,
    /// Messages of all clients, with the time of arrival.
    pub messages: Vec<(Instant, String)>,
    /// Received WebSocket pongs.
    pub pongs: u64,
}

/// Shared by the server and its connections.
pub(super) struct VenueShared {
    pub(super) protocol: VenueProtocol,
    pub(super) observed: watch::Sender<Observed>,
    pub(super) held: watch::Sender<bool>,
    pub(super) state: Mutex<State>,
}

/// What actions have set, and the open connections.
#[derive(Default)]
pub(super) struct State {
    pub(super) refused: BTreeSet<String>,
    /// The last price of each symbol, with its sequence number.
    pub(super) last: BTreeMap<String, (VenueTick, u64)>,
    pub(super) order: u64,
    pub(super) storm: u64,
    pub(super) farewells: u64,
    pub(super) connections: Vec<mpsc::Sender<Command>>,
}

impl State {
    /// Whether this answer is followed by the announcement of the connection's end.
    pub(super) fn take_farewell(&mut self) -> bool {
        let announces = self.farewells > 0;
        self.farewells = self.farewells.saturating_sub(1);
        announces
    }
}

/// A command to a connection.
#[derive(Clone)]
pub(super) enum Command {
    Tick(VenueTick, u64),
    Send(String),
    Ping,
    Cut,
    Close,
    Stall,
}
