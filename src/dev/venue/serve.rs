//! The server: takes connections, and hands what happens on to each.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    sync::Arc,
    time::Instant,
};

use parking_lot::Mutex;
use tokio::{
    net::TcpListener,
    sync::{mpsc, watch},
    task::JoinSet,
};
use tokio_util::task::AbortOnDropHandle;

use super::{Act, Speaks, Told, connection};

/// A venue on a free port of this machine. Serves until it is dropped.
pub struct Venue {
    port: u16,
    shared: Arc<Shared>,
    _serving: AbortOnDropHandle<()>,
}

/// What a venue saw of its clients.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    /// Connections that were made, and those of them that are open.
    pub connections: u64,
    pub open: u64,
    /// Requests for streams that were answered.
    pub answered: u64,
    /// Symbols that the newest connection gets.
    pub newest: BTreeSet<String>,
    /// Messages of all clients, and when they came.
    pub messages: Vec<(Instant, String)>,
    /// WebSocket pongs.
    pub pongs: u64,
}

/// Orders that wait for a connection; one that falls further behind is ended.
const MOST_ORDERS: usize = 65_536;

pub(super) struct Shared {
    pub(super) speaks: Speaks,
    pub(super) seen: watch::Sender<Seen>,
    pub(super) held: watch::Sender<bool>,
    pub(super) state: Mutex<State>,
}

#[derive(Default)]
pub(super) struct State {
    pub(super) refused: BTreeSet<String>,
    /// The last price of each symbol, with its number.
    pub(super) last: BTreeMap<String, (Told, u64)>,
    order: u64,
    storm: u64,
    farewells: u64,
    connections: Vec<mpsc::Sender<Order>>,
}

impl State {
    /// Whether the end of a connection is announced with the answer that it gets now.
    pub(super) fn says_farewell(&mut self) -> bool {
        let says = self.farewells > 0;
        self.farewells = self.farewells.saturating_sub(1);
        says
    }
}

/// What a connection is to do.
#[derive(Clone)]
pub(super) enum Order {
    Tick(Told, u64),
    Say(String),
    Ping,
    Cut,
    Close,
    Stall,
}

impl Venue {
    /// Listens on a free port.
    pub async fn start(speaks: Speaks) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let port = listener.local_addr()?.port();
        let shared = Arc::new(Shared {
            speaks,
            seen: watch::Sender::default(),
            held: watch::Sender::new(false),
            state: Mutex::default(),
        });
        let serving = tokio::spawn(accept(listener, shared.clone()));
        Ok(Self {
            port,
            shared,
            _serving: AbortOnDropHandle::new(serving),
        })
    }

    /// Where it listens, with something in it that must never be shown: `a-secret-key`.
    pub fn url(&self) -> String {
        format!("ws://127.0.0.1:{}/a-secret-key", self.port)
    }

    /// Does one thing, on the connections that there are now.
    pub fn act(&self, act: &Act) {
        let mut state = self.shared.state.lock();
        let order = match act {
            Act::Tick(told) => {
                let number = told.order.unwrap_or(state.order + 1);
                state.order = state.order.max(number);
                state
                    .last
                    .insert(told.symbol.clone(), (told.clone(), number));
                Order::Tick(told.clone(), number)
            }
            Act::Say(text) => Order::Say(text.clone()),
            Act::Announce => match self.shared.speaks.announcement() {
                Some(text) => Order::Say(text),
                None => return,
            },
            Act::Ping => Order::Ping,
            Act::Cut => Order::Cut,
            Act::CutOldest | Act::StallOldest => {
                let order = match act {
                    Act::CutOldest => Order::Cut,
                    _ => Order::Stall,
                };
                // Those that ended are still in the list until something is ordered of them.
                while !state.connections.is_empty() {
                    let oldest = state.connections.remove(0);
                    if oldest.try_send(order.clone()).is_ok() {
                        // It goes on being told of, as the last to be thought of.
                        state.connections.push(oldest);
                        return;
                    }
                }
                return;
            }
            Act::Close => Order::Close,
            Act::Stall => Order::Stall,
            Act::Refuse(symbol) => {
                state.refused.insert(symbol.clone());
                return;
            }
            Act::Admit => {
                state.refused.clear();
                return;
            }
            Act::Storm(connections) => {
                state.storm = *connections;
                return;
            }
            Act::Farewells(requests) => {
                state.farewells = *requests;
                return;
            }
            Act::Hold | Act::Release => {
                self.shared.held.send_replace(*act == Act::Hold);
                return;
            }
        };
        state
            .connections
            .retain(|connection| connection.try_send(order.clone()).is_ok());
    }

    /// Tells a price, of a trade and of a book of one price.
    pub fn tell(&self, symbol: &str, price: &str) {
        self.act(&Act::Tick(Told::at(symbol, price)));
    }

    /// What it saw until now.
    pub fn seen(&self) -> Seen {
        self.shared.seen.borrow().clone()
    }

    /// Waits for what it sees.
    pub async fn until(&self, wanted: impl FnMut(&Seen) -> bool) -> Seen {
        let mut seen = self.shared.seen.subscribe();
        let found = seen.wait_for(wanted).await.map(|seen| seen.clone());
        match found {
            Ok(seen) => seen,
            // The sender lives as long as `self`.
            Err(_) => std::future::pending().await,
        }
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    // Connections end with the venue.
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        stream.set_nodelay(true).ok();
        let shared = shared.clone();
        connections.spawn(async move {
            let Ok(socket) = tokio_tungstenite::accept_async(stream).await else {
                return;
            };
            let (orders, received) = mpsc::channel(MOST_ORDERS);
            let storm = {
                let mut state = shared.state.lock();
                let storm = state.storm > 0;
                state.storm = state.storm.saturating_sub(1);
                if !storm {
                    state.connections.push(orders);
                }
                storm
            };
            let mut number = 0;
            shared.seen.send_modify(|seen| {
                seen.connections += 1;
                seen.open += 1;
                seen.newest.clear();
                number = seen.connections;
            });
            if !storm {
                connection::serve(socket, received, &shared, number).await;
            }
            shared.seen.send_modify(|seen| seen.open -= 1);
        });
        while connections.try_join_next().is_some() {}
    }
}
