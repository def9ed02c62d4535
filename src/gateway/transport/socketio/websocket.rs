//! Engine.IO over a websocket: from the start, or taking over from polling.
//!
//! A client tries the websocket out with a probe while it goes on polling. Once it has its answer it stops polling
//! and says `upgrade`. Only then does the session get the socket: until then all packets go out by polling, from
//! then on all of them by the socket, so none is lost and none sent twice.

use std::sync::{Arc, Weak};

use tokio::sync::Mutex;

use super::{SocketIo, client::Client, polling::Polled};
use crate::gateway::{
    CloseReason,
    address::Socket as CountedSocket,
    encode::Packet,
    frame::{self, Inbound},
    session::Session,
    socketio::engine,
    transport::{
        connection::{Connection, ConnectionError},
        drive::{Handler, Message, Work, drive},
        handshake::Handover,
    },
};

/// Serves a client that begins with a websocket. `open` is its first packet.
pub async fn serve(
    io: SocketIo,
    (on, socket): (Handover, CountedSocket),
    client: Client,
    open: String,
) {
    match Connection::establish(on, io.context().config()).await {
        Ok(connection) => {
            client.session().queue(Packet::text(&open));
            spawn(&io, connection, socket, client);
        }
        Err(error) => {
            tracing::debug!(%error, "a Socket.IO websocket was not opened");
            client.session().end(CloseReason::Lost);
        }
    }
}

/// Lets a websocket take over from polling. A probe that fails or takes too long changes nothing.
pub async fn upgrade(
    io: SocketIo,
    (on, socket): (Handover, CountedSocket),
    sid: Box<str>,
    polled: Weak<Polled>,
) {
    let stop = io.context().tasks().token();
    let probed = tokio::select! {
        probed = probe(&io, on, &polled) => probed,
        () = tokio::time::sleep(io.patience()) => Err(ConnectionError::Timeout),
        () = stop.cancelled() => Ok(None),
    };
    let connection = match probed {
        Ok(Some(connection)) => connection,
        unfinished => {
            if let Err(error) = unfinished {
                tracing::debug!(%error, "a Socket.IO upgrade was not finished");
            }
            if let Some(polled) = polled.upgrade() {
                polled.give_up_upgrade();
            }
            return;
        }
    };
    let Some(polled) = polled.upgrade() else {
        return;
    };
    // Requests that are being answered come first; those that wait were sent back by the probe.
    let Some(client) = polled.take_over(io.patience()).await else {
        polled.give_up_upgrade();
        return;
    };
    io.directory().remove(&sid);
    spawn(&io, connection, socket, client);
}

/// Serves the session in a task of its own, which keeps nothing of what led to it for as long as it lives.
fn spawn(io: &SocketIo, connection: Connection, socket: CountedSocket, client: Client) {
    let session = client.session().clone();
    let served = drive(session, connection, Socket::new(client));
    io.context().tasks().spawn(async move {
        served.await;
        drop(socket);
    });
}

/// Answers the probe and waits for `upgrade`; `None` when the client goes away or does something else. Holds no
/// session meanwhile: it may end, and be forgotten.
async fn probe(
    io: &SocketIo,
    on: Handover,
    polled: &Weak<Polled>,
) -> Result<Option<Connection>, ConnectionError> {
    let mut connection = Connection::establish(on, io.context().config()).await?;
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
                let Some(polled) = polled.upgrade() else {
                    return Ok(None);
                };
                probed = true;
                let answer = Packet::text(&engine::pong(engine::PROBE));
                connection.send(answer.framed()).await?;
                polled.probed();
            }
            (Ok(engine::Packet::Upgrade), true) => return Ok(Some(connection)),
            _ => return Ok(None),
        }
    }
    Ok(None)
}

/// Reads the messages of a websocket.
struct Socket {
    /// Shared with the work on one message, which is done before the next is begun.
    client: Arc<Mutex<Client>>,
}

impl Socket {
    fn new(client: Client) -> Self {
        Self {
            client: Arc::new(Mutex::new(client)),
        }
    }
}

impl Handler for Socket {
    fn message(&mut self, _session: &Arc<Session>, message: Message) -> Option<Work> {
        let client = self.client.clone();
        Some(Box::pin(async move {
            let mut client = client.lock().await;
            match message {
                Message::Text(text) => client.text(&text).await,
                Message::Binary(bytes) => client.packet(engine::Packet::Binary(bytes)).await,
            }
        }))
    }
}
