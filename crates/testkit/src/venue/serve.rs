//! The server: accepts connections, and forwards commands to them.

use std::{io, sync::Arc};

use parking_lot::Mutex;
use tokio::{
    net::TcpListener,
    sync::{mpsc, watch},
    task::JoinSet,
};
use tokio_util::task::AbortOnDropHandle;

use super::{
    Action, Observed, VenueProtocol, VenueTick, connection,
    shared::{Command, VenueShared},
};
use crate::observed::wait_until;

/// A venue on a free local port. Serves until it is dropped.
pub struct Venue {
    port: u16,
    shared: Arc<VenueShared>,
    _serving: AbortOnDropHandle<()>,
}

/// Most queued commands of a connection; beyond it the connection is dropped.
const MAX_COMMANDS: usize = 65_536;

impl Venue {
    /// Listens on a free port.
    pub async fn start(protocol: VenueProtocol) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let port = listener.local_addr()?.port();
        let shared = Arc::new(VenueShared {
            protocol,
            observed: watch::Sender::default(),
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

    /// The URL. It contains `a-secret-key`, which must never be printed.
    pub fn url(&self) -> String {
        format!("ws://127.0.0.1:{}/a-secret-key", self.port)
    }

    /// Performs an action on the open connections.
    pub fn perform(&self, action: &Action) {
        let mut state = self.shared.state.lock();
        let command = match action {
            Action::Tick(tick) => {
                let number = tick.order.unwrap_or(state.order + 1);
                state.order = state.order.max(number);
                state
                    .last
                    .insert(tick.symbol.clone(), (tick.clone(), number));
                Command::Tick(tick.clone(), number)
            }
            Action::Say(text) => Command::Send(text.clone()),
            Action::Announce => match self.shared.protocol.announcement() {
                Some(text) => Command::Send(text),
                None => return,
            },
            Action::Ping => Command::Ping,
            Action::Cut => Command::Cut,
            Action::CutOldest | Action::StallOldest => {
                let command = match action {
                    Action::CutOldest => Command::Cut,
                    _ => Command::Stall,
                };
                // Ended connections stay in the list until the next command fails.
                while !state.connections.is_empty() {
                    let oldest = state.connections.remove(0);
                    if oldest.try_send(command.clone()).is_ok() {
                        // Keep it, now as the newest.
                        state.connections.push(oldest);
                        return;
                    }
                }
                return;
            }
            Action::Close => Command::Close,
            Action::Stall => Command::Stall,
            Action::Refuse(symbol) => {
                state.refused.insert(symbol.clone());
                return;
            }
            Action::Admit => {
                state.refused.clear();
                return;
            }
            Action::Storm(connections) => {
                state.storm = *connections;
                return;
            }
            Action::Farewells(requests) => {
                state.farewells = *requests;
                return;
            }
            Action::Hold | Action::Release => {
                self.shared.held.send_replace(*action == Action::Hold);
                return;
            }
        };
        state
            .connections
            .retain(|connection| connection.try_send(command.clone()).is_ok());
    }

    /// Publishes a price, as trade and as best bid and ask.
    pub fn send_price(&self, symbol: &str, price: &str) {
        self.perform(&Action::Tick(VenueTick::new(symbol, price)));
    }

    /// What it observed until now.
    pub fn observed(&self) -> Observed {
        self.shared.observed.borrow().clone()
    }

    /// Waits until the observed state satisfies a condition.
    pub async fn wait_until(&self, condition: impl FnMut(&Observed) -> bool) -> Observed {
        wait_until(&self.shared.observed, condition).await
    }
}

async fn accept(listener: TcpListener, shared: Arc<VenueShared>) {
    // Connections end with the venue.
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        stream.set_nodelay(true).ok();
        let shared = shared.clone();
        connections.spawn(async move {
            let Ok(socket) = tokio_tungstenite::accept_async(stream).await else {
                return;
            };
            let (commands, received) = mpsc::channel(MAX_COMMANDS);
            let storm = {
                let mut state = shared.state.lock();
                let storm = state.storm > 0;
                state.storm = state.storm.saturating_sub(1);
                if !storm {
                    state.connections.push(commands);
                }
                storm
            };
            let mut number = 0;
            shared.observed.send_modify(|observed| {
                observed.connections += 1;
                observed.open += 1;
                observed.newest.clear();
                number = observed.connections;
            });
            if !storm {
                connection::serve(socket, received, &shared, number).await;
            }
            shared.observed.send_modify(|observed| observed.open -= 1);
        });
        while connections.try_join_next().is_some() {}
    }
}
