//! An echo server on the gateway's own WebSocket stack: handshake, decoder, session and drive are those of
//! `/realtime`, only the messages have no meaning. For conformance suites; see docs/conformance.md.
//!
//! ```text
//! cargo run --example echo -- [--deflate] [--port 0]
//! ```
//! Prints `listening on ws://127.0.0.1:PORT/` once it serves, and serves until it is killed.

use std::sync::Arc;

use anyhow::Context as _;
use axum::{
    Router,
    extract::{Request, State},
    response::{IntoResponse, Response},
    routing::get,
};
use chaincast::{
    gateway::{
        GatewayConfig, KnownChannels,
        address::Connections,
        auth::Authenticator,
        context::Context,
        encode::{Packet, Wire},
        frame::{self, MAX_HEADER},
        hub::Hub,
        origin::OriginPolicy,
        past::{Asked, Past, Span},
        session::Session,
        transport::{
            connection::Connection,
            drive::{Handler, Message, Work, drive},
            handshake::Upgrade,
        },
    },
    model::{Channel, Update},
    server::{self, ServerConfig},
    shutdown::Tasks,
};
use clap::Parser;
use flate2::{Compress, Compression, FlushCompress};
use tokio::net::TcpListener;

/// The longest message of the suite, in bytes.
const MESSAGE_BYTES: usize = 16 << 20;

#[derive(Parser)]
struct Options {
    /// Accept permessage-deflate, and answer compressed where the client's window allows.
    #[arg(long)]
    deflate: bool,
    #[arg(long, default_value_t = 0)]
    port: u16,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    let mut config = GatewayConfig {
        permessage_deflate: options.deflate,
        ..GatewayConfig::default()
    };
    config.limits.message_bytes = MESSAGE_BYTES;
    config.limits.backlog_bytes = 4 * MESSAGE_BYTES;
    let (tasks, _failures) = Tasks::new();
    let known = KnownChannels {
        first_chain: 1,
        chain_ids: Vec::new(),
        tokens: Vec::new(),
    };
    let authenticator = Arc::new(Authenticator::new(&config.auth)?);
    let origins = OriginPolicy::new(&config.allowed_origins)?;
    let limits = &config.limits;
    let connections = Connections::new(limits.connections_per_address, limits.connections);
    let hub = Hub::new(
        config,
        known,
        Box::new(NoPast),
        authenticator,
        tasks.clone(),
    );
    let context = Context::new(hub, origins, connections, tasks.clone());
    let router = Router::new().route("/", get(open)).with_state(context);
    let listener = TcpListener::bind(("127.0.0.1", options.port)).await?;
    println!("listening on ws://{}/", listener.local_addr()?);
    let stop = tasks.token();
    server::serve(listener, router, ServerConfig::default(), tasks, stop)
        .await
        .context("serving")
}

async fn open(State(context): State<Context>, mut request: Request) -> Response {
    let deflate = context.config().permessage_deflate;
    let upgrade = match Upgrade::check(&mut request, &[], deflate) {
        Ok(upgrade) => upgrade,
        Err(error) => return error.into_response(),
    };
    let echo = Echo {
        compressed: upgrade.deflate(),
    };
    let (response, handover) = upgrade.accept();
    let tasks = context.tasks().clone();
    tasks.spawn(async move {
        let connection = match Connection::establish(handover, context.config()).await {
            Ok(connection) => connection,
            Err(error) => return eprintln!("a WebSocket was not opened: {error}"),
        };
        if let Some(session) = context.hub().open(Wire::Json, None, None) {
            drive(session, connection, echo).await;
        }
    });
    response
}

/// Sends every message back as it came.
struct Echo {
    compressed: bool,
}

impl Handler for Echo {
    fn message(&mut self, session: &Arc<Session>, message: Message) -> Option<Work> {
        let (binary, payload) = match message {
            Message::Text(text) => (false, text.into_bytes()),
            Message::Binary(bytes) => (true, bytes),
        };
        let payload = if self.compressed {
            deflate(&payload)
        } else {
            payload
        };
        let mut out = Vec::with_capacity(MAX_HEADER + payload.len());
        frame::message_header(binary, self.compressed, payload.len(), &mut out);
        out.extend_from_slice(&payload);
        session.queue(Packet::raw(out));
        None
    }
}

/// One message, without context (RFC 7692 section 7.2.1).
fn deflate(payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(payload.len() / 2 + 64);
    let mut state = Compress::new(Compression::fast(), false);
    loop {
        let read = state.total_in() as usize;
        // Compressing never fails without a dictionary.
        let _ = state.compress_vec(&payload[read..], &mut out, FlushCompress::Sync);
        if state.total_in() as usize == payload.len() && out.len() < out.capacity() {
            break;
        }
        out.reserve(out.capacity().max(64));
    }
    out.truncate(out.len().saturating_sub(4));
    out
}

/// There are no channels, so nothing was ever published.
struct NoPast;

impl Past for NoPast {
    fn epoch(&self) -> &str {
        "echo"
    }

    fn span<'a>(&'a self, _: &'a Channel) -> Asked<'a, Span> {
        let (newest, oldest) = (0, 1);
        Box::pin(async move { Ok(Span { newest, oldest }) })
    }

    fn between<'a>(&'a self, _: &'a Channel, _: u64, _: u64, _: u32) -> Asked<'a, Vec<Update>> {
        Box::pin(async { Ok(Vec::new()) })
    }

    fn snapshot<'a>(&'a self, _: &'a Channel) -> Asked<'a, Option<Update>> {
        Box::pin(async { Ok(None) })
    }
}
