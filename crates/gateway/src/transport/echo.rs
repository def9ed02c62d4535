//! A WebSocket echo server, for conformance suites. Handshake, decoder, session, outbox and I/O task are those of
//! `/realtime`; the messages have no meaning. The product does not serve it.

use std::sync::Arc;

use axum::{
    Router,
    extract::{Request, State},
    response::{IntoResponse, Response},
    routing::get,
};
use chaincast_base::shutdown::Tasks;
use chaincast_protocol::{
    CloseReason,
    deflate::Deflate,
    encode::{Packet, Wire},
    frame::{self, Compression, MAX_HEADER, Payload},
};

use super::{
    connection::Connection,
    handshake::Upgrade,
    io_task::{Handler, Message, Work, run_io},
};
use crate::{
    config::GatewayConfig,
    session::{Opener, Session, SessionOwner, Shared},
};

/// `/` as a WebSocket that sends each message back: the gateway's WebSocket without its protocol, for conformance
/// suites. Compression, limits and buffer sizes are those of `config`. Its sessions run in `tasks`.
pub fn echo_router(config: GatewayConfig, tasks: Tasks) -> Router {
    let server = EchoServer {
        shared: Arc::new(Shared::new(&config)),
        config: Arc::new(config),
        tasks,
    };
    Router::new().route("/", get(open)).with_state(server)
}

#[derive(Clone)]
struct EchoServer {
    config: Arc<GatewayConfig>,
    shared: Arc<Shared>,
    tasks: Tasks,
}

/// Nothing counts these sessions or delivers to them.
struct NoHub;

impl SessionOwner for NoHub {
    fn ended(&self, _: &Arc<Session>, _: &CloseReason) {}

    fn dropped(&self) {}
}

async fn open(State(server): State<EchoServer>, mut request: Request) -> Response {
    let compression = match server.config.permessage_deflate {
        true => Compression::Deflate,
        false => Compression::None,
    };
    let upgrade = match Upgrade::check(&mut request, &[], compression) {
        Ok(upgrade) => upgrade,
        Err(error) => return error.into_response(),
    };
    let echo = Echo {
        compressed: upgrade.deflate(),
    };
    let (response, handover) = upgrade.accept();
    let tasks = server.tasks.clone();
    tasks.spawn(async move {
        let connection = match Connection::establish(handover, &server.config).await {
            Ok(connection) => connection,
            Err(error) => return tracing::warn!(%error, "cannot open a WebSocket"),
        };
        let (wire, opener) = (Wire::Json, Opener::default());
        let session = Session::new(server.shared.clone(), Arc::new(NoHub), 0, wire, opener);
        run_io(Arc::new(session), connection, echo).await;
    });
    response
}

/// Sends every message back unchanged.
struct Echo {
    /// Whether the client can inflate messages.
    compressed: bool,
}

impl Handler for Echo {
    fn message(&mut self, session: &Arc<Session>, message: Message) -> Option<Work> {
        let (kind, mut payload) = match message {
            Message::Text(text) => (Payload::Text, text.into_bytes()),
            Message::Binary(bytes) => (Payload::Binary, bytes),
        };
        let mut deflated = Vec::new();
        let mut compression = Compression::None;
        if self.compressed && Deflate::new(0).compress(&payload, &mut deflated) {
            (compression, payload) = (Compression::Deflate, deflated);
        }
        let mut out = Vec::with_capacity(MAX_HEADER + payload.len());
        frame::message_header(kind, compression, payload.len(), &mut out);
        out.extend_from_slice(&payload);
        session.queue(Packet::raw(out));
        None
    }
}
