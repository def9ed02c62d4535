//! `/socket.io/`: native support for Socket.IO 4 clients: Engine.IO 4 over polling and WebSocket.
//!
//! A secret `sid` identifies a connection; it is not the public `clientId`. Each connection has one session of the hub:
//! polling requests pull its packets, a WebSocket is owned by it (see [`Session`](super::super::session)).

mod client;
mod engine_error;
mod pending_joins;
mod poll_response;
mod polling;
mod polling_sessions;
mod reply;
mod state;
mod websocket;

use std::{net::SocketAddr, sync::Arc};

use axum::{
    Router,
    extract::{ConnectInfo, Query, Request, State},
    http::Method,
    response::{IntoResponse, Response},
    routing::any,
};
use serde::Deserialize;

use self::{engine_error::EngineError, polling::PollingSession, state::SocketIo};
use super::{context::Context, cors, handshake::Upgrade};
use chaincast_base::shutdown::Takeover;
use chaincast_protocol::frame::Compression;

/// The supported version of the Engine.IO protocol.
const VERSION: &str = "4";
/// The supported methods.
const METHODS: &str = "GET, POST, OPTIONS";

/// The query parameters of every request.
#[derive(Debug, Default, Deserialize)]
struct Parameters {
    #[serde(rename = "EIO")]
    version: Option<String>,
    transport: Option<String>,
    sid: Option<String>,
    token: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Transport {
    Polling,
    Websocket,
}

/// The routes. Spawns a task that removes ended connections and closes those that do not join in time.
pub(crate) fn router(context: Context) -> Router {
    let io = SocketIo::new(context);
    let (swept, stop) = (io.clone(), io.context().tasks().token());
    io.context()
        .tasks()
        .spawn(async move { swept.sweep(stop).await });
    Router::new()
        .route("/socket.io", any(handle))
        .route("/socket.io/", any(handle))
        .with_state(io)
}

async fn handle(
    State(io): State<SocketIo>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    query: Result<Query<Parameters>, axum::extract::rejection::QueryRejection>,
    request: Request,
) -> Response {
    let cors = match cors::headers(io.context(), peer, request.headers()) {
        Ok(cors) => cors,
        Err(origin) => return EngineError::Forbidden(origin).into_response(),
    };
    let mut response = match (request.method(), query) {
        (&Method::OPTIONS, _) => cors::preflight(request.headers(), METHODS),
        (_, Ok(Query(parameters))) => serve(&io, peer, parameters, request)
            .await
            .unwrap_or_else(IntoResponse::into_response),
        (_, Err(_)) => EngineError::BadRequest.into_response(),
    };
    response.headers_mut().extend(cors);
    response
}

async fn serve(
    io: &SocketIo,
    peer: SocketAddr,
    parameters: Parameters,
    request: Request,
) -> Result<Response, EngineError> {
    let transport = match parameters.transport.as_deref() {
        Some("polling") => Transport::Polling,
        Some("websocket") => Transport::Websocket,
        _ => return Err(EngineError::Transport),
    };
    let Some(sid) = parameters.sid else {
        if request.method() != Method::GET {
            return Err(EngineError::Method);
        }
        if parameters.version.as_deref() != Some(VERSION) {
            return Err(EngineError::ProtocolVersion);
        }
        return handshake(io, peer, transport, parameters.token.as_deref(), request);
    };
    let polling = io
        .sessions()
        .find(&sid)
        .ok_or(EngineError::UnknownSession)?;
    match (transport, request.method()) {
        (Transport::Websocket, _) => upgrade(io, sid.into(), polling, request),
        (Transport::Polling, &Method::GET) => {
            let takeover = request.extensions().get::<Takeover>().cloned();
            Ok(polling.get(takeover).await)
        }
        (Transport::Polling, &Method::POST) => {
            let most = io.context().config().limits.message_bytes;
            let timeout = io.handshake_timeout();
            Ok(polling.post(request.into_body(), most, timeout).await)
        }
        (Transport::Polling, _) => Err(EngineError::BadRequest),
    }
}

fn handshake(
    io: &SocketIo,
    peer: SocketAddr,
    transport: Transport,
    token: Option<&str>,
    mut request: Request,
) -> Result<Response, EngineError> {
    match transport {
        Transport::Polling => {
            let (sid, client, open) = io.open(peer, &request, token, &["websocket"])?;
            io.sessions()
                .insert(sid, Arc::new(PollingSession::new(client)));
            Ok(polling::text(open))
        }
        Transport::Websocket => {
            let upgrade = Upgrade::check(&mut request, &[], Compression::None)
                .map_err(|_| EngineError::BadRequest)?;
            let (_, client, open) = io.open(peer, &request, token, &[])?;
            let socket = io.context().socket();
            let (response, pending) = upgrade.accept();
            let served = websocket::serve(io.clone(), (pending, socket), client, open);
            io.context().tasks().spawn(served);
            Ok(response)
        }
    }
}

fn upgrade(
    io: &SocketIo,
    sid: Box<str>,
    polling: Arc<PollingSession>,
    mut request: Request,
) -> Result<Response, EngineError> {
    let upgrade = Upgrade::check(&mut request, &[], Compression::None)
        .map_err(|_| EngineError::BadRequest)?;
    if !polling.begin_upgrade() {
        return Err(EngineError::BadRequest);
    }
    let socket = io.context().socket();
    let (response, pending) = upgrade.accept();
    let upgraded = websocket::upgrade(io.clone(), (pending, socket), sid, Arc::downgrade(&polling));
    io.context().tasks().spawn(upgraded);
    Ok(response)
}
