//! Engine.IO over WebSocket: from the start, or after an upgrade from polling.
//!
//! During an upgrade the client tests the WebSocket with a probe and keeps polling. After the reply to the probe it stops
//! polling and sends `upgrade`. Only then the session gets the socket: all packets before go out by polling, all later
//! ones by the socket, so none is lost or sent twice.

use std::sync::{Arc, Weak};

use tokio::sync::Mutex;

use super::{client::Client, polling::PollingSession, state::SocketIo};
use crate::{
    admission::SocketGuard,
    session::Session,
    transport::{
        connection::{Connection, ConnectionError},
        handshake::PendingUpgrade,
        io_task::{Handler, Message, Work, run_io},
    },
};
use chaincast_protocol::{
    CloseReason,
    encode::Packet,
    frame::{self, Inbound},
    socketio::engine,
};

/// Serves a client that starts with a WebSocket. `open` is its first packet.
pub(super) async fn serve(
    io: SocketIo,
    (pending, socket): (PendingUpgrade, SocketGuard),
    client: Client,
    open: String,
) {
    match Connection::establish(pending, io.context().config()).await {
        Ok(connection) => {
            client.session().queue(Packet::text(&open));
            spawn(&io, connection, socket, client);
        }
        Err(error) => {
            tracing::debug!(%error, "Socket.IO WebSocket handshake failed");
            client.session().end(CloseReason::Lost);
        }
    }
}

/// Upgrades a polling session to a WebSocket. A failed or timed out probe has no effect.
pub(super) async fn upgrade(
    io: SocketIo,
    (pending, socket): (PendingUpgrade, SocketGuard),
    sid: Box<str>,
    polling: Weak<PollingSession>,
) {
    let stop = io.context().tasks().token();
    let probed = tokio::select! {
        probed = probe(&io, pending, &polling) => probed,
        () = tokio::time::sleep(io.handshake_timeout()) => Err(ConnectionError::Timeout),
        () = stop.cancelled() => Ok(None),
    };
    let connection = match probed {
        Ok(Some(connection)) => connection,
        unfinished => {
            if let Err(error) = unfinished {
                tracing::debug!(%error, "Socket.IO upgrade failed");
            }
            if let Some(polling) = polling.upgrade() {
                polling.cancel_upgrade();
            }
            return;
        }
    };
    let Some(polling) = polling.upgrade() else {
        return;
    };
    // Active responses complete first; waiting polls were ended by the probe.
    let Some(client) = polling.finish_upgrade(io.handshake_timeout()).await else {
        polling.cancel_upgrade();
        return;
    };
    io.sessions().remove(&sid);
    spawn(&io, connection, socket, client);
}

/// Serves the session in its own task, which does not hold the memory of the handshake.
fn spawn(io: &SocketIo, connection: Connection, socket: SocketGuard, client: Client) {
    let session = client.session().clone();
    let served = run_io(session, connection, SocketHandler::new(client));
    io.context().tasks().spawn(async move {
        served.await;
        drop(socket);
    });
}

/// Answers the probe and waits for `upgrade`; `None` if the client disconnects or sends anything else. Holds no
/// reference to the session meanwhile: it may end and be removed.
async fn probe(
    io: &SocketIo,
    pending: PendingUpgrade,
    polling: &Weak<PollingSession>,
) -> Result<Option<Connection>, ConnectionError> {
    let mut connection = Connection::establish(pending, io.context().config()).await?;
    let mut probed = false;
    while let Some(inbound) = connection.receive().await? {
        let text = match inbound {
            Inbound::Text(text) => text,
            Inbound::Ping(payload) => {
                connection.send(&frame::pong(&payload)).await?;
                continue;
            }
            Inbound::Pong => continue,
            Inbound::Binary(_) | Inbound::Close(_) => return Ok(None),
        };
        match (engine::Packet::parse(&text), probed) {
            (Ok(engine::Packet::Ping(engine::PROBE)), false) => {
                let Some(polling) = polling.upgrade() else {
                    return Ok(None);
                };
                probed = true;
                let answer = Packet::text(&engine::pong(engine::PROBE));
                connection.send(answer.framed()).await?;
                polling.confirm_probe();
            }
            (Ok(engine::Packet::Upgrade), true) => return Ok(Some(connection)),
            _ => return Ok(None),
        }
    }
    Ok(None)
}

/// Handles the messages of a WebSocket.
struct SocketHandler {
    /// Shared with the processing of one message, which is done before the next one starts.
    client: Arc<Mutex<Client>>,
}

impl SocketHandler {
    fn new(client: Client) -> Self {
        Self {
            client: Arc::new(Mutex::new(client)),
        }
    }
}

impl Handler for SocketHandler {
    fn message(&mut self, _session: &Arc<Session>, message: Message) -> Option<Work> {
        let client = self.client.clone();
        Some(Box::pin(async move {
            let mut client = client.lock().await;
            match message {
                Message::Text(text) => client.handle_text(&text).await,
                Message::Binary(bytes) => client.handle_packet(engine::Packet::Binary(bytes)).await,
            }
        }))
    }
}
