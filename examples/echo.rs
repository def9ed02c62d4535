//! An echo server on the gateway's WebSocket stack: handshake, decoder, session and I/O task are those of `/realtime`;
//! the messages have no meaning. For conformance suites; see docs/conformance.md.
//!
//! Prints `listening on ws://127.0.0.1:PORT/` when it is ready, and serves until it is killed.

use std::{error::Error, sync::Arc, time::Duration};

use axum::{
    Router,
    extract::{Request, State},
    response::{IntoResponse, Response},
    routing::get,
};
use chaincast_base::shutdown::Tasks;
use chaincast_bus::Unacknowledged;
use chaincast_gateway::{
    GatewayConfig, KnownChannels,
    auth::Authenticator,
    channel_log::{ChannelLog, LogFuture, Span},
    connection_limit::ConnectionLimit,
    context::Context,
    hub::Hub,
    session::Session,
    transport::{
        connection::Connection,
        handshake::Upgrade,
        io_task::{Handler, Message, Work, run_io},
    },
};
use chaincast_http::{
    client::OriginPolicy,
    server::{self, ServerConfig},
};
use chaincast_protocol::{
    ChainHealth, ChainId, Channel, StaleSource, Update,
    encode::{Packet, Wire},
    frame::{self, MAX_HEADER},
};
use clap::Parser;
use flate2::{Compress, Compression, FlushCompress};
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
    let known = KnownChannels {
        first_chain: 1,
        chain_ids: Vec::new(),
        tokens: Vec::new(),
        contracts: Default::default(),
        transactions: false,
    };
    let authenticator = Arc::new(Authenticator::new(&config.auth)?);
    let origins = OriginPolicy::new(&config.allowed_origins, config.site())?;
    let limits = &config.limits;
    let connections = ConnectionLimit::new(limits.connections_per_address, limits.connections);
    let hub = Hub::new(
        config,
        known,
        Box::new(EmptyLog),
        authenticator,
        tasks.clone(),
    );
    let context = Context::new(hub, origins, connections, tasks.clone());
    let router = Router::new().route("/", get(open)).with_state(context);
    let listener = TcpListener::bind(("127.0.0.1", options.port)).await?;
    println!("listening on ws://{}/", listener.local_addr()?);
    let stop = tasks.token();
    server::serve(listener, router, ServerConfig::default(), tasks, stop).await?;
    Ok(())
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
            Err(error) => return eprintln!("cannot open a WebSocket: {error}"),
        };
        if let Some(session) = context.hub().open(Wire::Json, None, None) {
            run_io(session, connection, echo).await;
        }
    });
    response
}

/// Sends every message back unchanged.
struct Echo {
    compressed: bool,
}

impl Handler for Echo {
    fn message(&mut self, session: &Arc<Session>, message: Message) -> Option<Work> {
        let (binary, payload) = match message {
            Message::Text(text) => (false, text.into_bytes()),
            Message::Binary(bytes) => (true, bytes),
        };
        let packed = self.compressed.then(|| deflate(&payload)).flatten();
        let (compressed, payload) = match packed {
            Some(packed) => (true, packed),
            None => (false, payload),
        };
        let mut out = Vec::with_capacity(MAX_HEADER + payload.len());
        frame::message_header(binary, compressed, payload.len(), &mut out);
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
    Compress::new(Compression::fast(), false)
        .compress_vec(payload, &mut out, FlushCompress::Sync)
        .ok()?;
    if out.len() == out.capacity() || !out.ends_with(&TAIL) {
        return None;
    }
    out.truncate(out.len() - TAIL.len());
    Some(out)
}

/// There are no channels, so the log is empty.
struct EmptyLog;

impl ChannelLog for EmptyLog {
    fn epoch(&self) -> &str {
        "echo"
    }

    fn span<'a>(&'a self, _: &'a Channel) -> LogFuture<'a, Span> {
        let (newest, oldest) = (0, 1);
        Box::pin(async move { Ok(Span { newest, oldest }) })
    }

    fn between<'a>(&'a self, _: &'a Channel, _: u64, _: u64, _: u32) -> LogFuture<'a, Vec<Update>> {
        Box::pin(async { Ok(Vec::new()) })
    }

    fn watch<'a>(&'a self, all: &'a [Channel], _: u64, _: u64) -> LogFuture<'a, Vec<Option<u64>>> {
        Box::pin(async move { Ok(vec![None; all.len()]) })
    }

    fn release_watches<'a>(&'a self, all: &'a [Channel], _: Duration) -> LogFuture<'a, Vec<bool>> {
        Box::pin(async move { Ok(vec![true; all.len()]) })
    }

    fn snapshot<'a>(&'a self, _: &'a Channel) -> LogFuture<'a, Option<Update>> {
        Box::pin(async { Ok(None) })
    }

    fn unacknowledged<'a>(&'a self, _: &'a str, _: u32) -> LogFuture<'a, Unacknowledged> {
        let (through, updates) = (0, Vec::new());
        Box::pin(async move { Ok(Unacknowledged { through, updates }) })
    }

    fn acknowledge<'a>(&'a self, _: &'a str, _: &'a [i64]) -> LogFuture<'a, u64> {
        Box::pin(async { Ok(0) })
    }

    fn chains(&self) -> LogFuture<'_, Vec<ChainHealth>> {
        Box::pin(async { Ok(Vec::new()) })
    }

    fn stale_sources<'a>(&'a self, _: &'a [ChainId]) -> LogFuture<'a, Vec<StaleSource>> {
        Box::pin(async { Ok(Vec::new()) })
    }
}
