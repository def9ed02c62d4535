//! An echo server on the gateway's WebSocket stack: handshake, decoder, session and I/O task are those of `/realtime`;
//! the messages have no meaning. For conformance suites; see docs/conformance.md.
//!
//! Prints `listening on ws://127.0.0.1:PORT/` when it is ready, and serves until it is killed.

use std::{error::Error, sync::Arc};

use axum::{
    Router,
    extract::{Request, State},
    response::{IntoResponse, Response},
    routing::get,
};
use chaincast_base::shutdown::Tasks;
use chaincast_gateway::{
    GatewayConfig,
    session::{Opener, Session, SessionOwner, Shared},
    transport::{
        connection::Connection,
        handshake::Upgrade,
        io_task::{Handler, Message, Work, run_io},
    },
};
use chaincast_http::server::{self, ServerConfig};
use chaincast_protocol::{
    CloseReason,
    encode::{Packet, Wire},
    frame::{self, Compression, MAX_HEADER, Payload},
};
use clap::Parser;
use flate2::{Compress, FlushCompress};
use tokio::net::TcpListener;

/// The longest message of the suite, in bytes.
const MESSAGE_BYTES: usize = 16 << 20;

#[derive(Parser)]
struct Options {
    /// Accept permessage-deflate, and compress answers if the client's window allows it
    #[arg(long)]
    deflate: bool,
    #[arg(long, default_value_t = 0)]
    port: u16,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let options = Options::parse();
    let mut config = GatewayConfig {
        permessage_deflate: options.deflate,
        ..GatewayConfig::default()
    };
    config.limits.message_bytes = MESSAGE_BYTES;
    config.limits.backlog_bytes = 4 * MESSAGE_BYTES;
    let (tasks, _failures) = Tasks::new();
    let server = Server {
        shared: Arc::new(Shared::new(&config)),
        config: Arc::new(config),
        tasks: tasks.clone(),
    };
    let router = Router::new().route("/", get(open)).with_state(server);
    let listener = TcpListener::bind(("127.0.0.1", options.port)).await?;
    println!("listening on ws://{}/", listener.local_addr()?);
    let stop = tasks.token();
    server::serve(listener, router, ServerConfig::default(), tasks, stop).await?;
    Ok(())
}

#[derive(Clone)]
struct Server {
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

async fn open(State(server): State<Server>, mut request: Request) -> Response {
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
            Err(error) => return eprintln!("cannot open a WebSocket: {error}"),
        };
        let (wire, opener) = (Wire::Json, Opener::default());
        let session = Session::new(server.shared.clone(), Arc::new(NoHub), 0, wire, opener);
        run_io(Arc::new(session), connection, echo).await;
    });
    response
}

/// Sends every message back unchanged.
struct Echo {
    compressed: bool,
}

impl Handler for Echo {
    fn message(&mut self, session: &Arc<Session>, message: Message) -> Option<Work> {
        let (kind, payload) = match message {
            Message::Text(text) => (Payload::Text, text.into_bytes()),
            Message::Binary(bytes) => (Payload::Binary, bytes),
        };
        let packed = self.compressed.then(|| deflate(&payload)).flatten();
        let (compression, payload) = match packed {
            Some(packed) => (Compression::Deflate, packed),
            None => (Compression::None, payload),
        };
        let mut out = Vec::with_capacity(MAX_HEADER + payload.len());
        frame::message_header(kind, compression, payload.len(), &mut out);
        out.extend_from_slice(&payload);
        session.queue(Packet::raw(out));
        None
    }
}

/// Compresses one message without context takeover (RFC 7692 section 7.2.1); `None` if it does not become smaller.
///
/// One call with enough space: an interrupted and continued flush may omit the last input.
fn deflate(payload: &[u8]) -> Option<Vec<u8>> {
    const TAIL: [u8; 4] = [0, 0, 0xff, 0xff];
    let mut out = Vec::with_capacity(payload.len() + TAIL.len());
    Compress::new(flate2::Compression::fast(), false)
        .compress_vec(payload, &mut out, FlushCompress::Sync)
        .ok()?;
    if out.len() == out.capacity() || !out.ends_with(&TAIL) {
        return None;
    }
    out.truncate(out.len() - TAIL.len());
    Some(out)
}
