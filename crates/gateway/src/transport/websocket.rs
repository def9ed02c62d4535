//! `GET /realtime`: the native protocol, with JSON in WebSocket text frames or MessagePack in binary ones.

use std::{net::SocketAddr, sync::Arc};

use axum::{
    extract::{ConnectInfo, Query, Request, State, rejection::QueryRejection},
    http::{HeaderMap, Method, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Deserialize;

use super::{
    connection::Connection,
    context::Context,
    cors,
    handshake::Upgrade,
    io_task::{Handler, Message, Work, run_io},
    problem::Problem,
    refusals::RefusedAfterUpgrade,
};
use crate::{admission::LimitReached, requests::Requests, session::Session};
use chaincast_protocol::{
    CloseReason, Refusal,
    deflate::Deflate,
    encode::{self, Wire},
    frame::Compression,
    request::{Answer, parse_msgpack, parse_text},
};

/// The subprotocols of this gateway. A client that offers neither gets JSON.
const JSON: &str = "chaincast.v1.json";
const MSGPACK: &str = "chaincast.v1.msgpack";
/// The methods that are served.
const METHODS: &str = "GET, OPTIONS";

#[derive(Deserialize)]
pub(crate) struct Parameters {
    token: Option<String>,
}

/// Opens a session. Invalid requests are rejected before the upgrade; too many connections from one address are rejected
/// after it, with close code 4030, which browsers expose to pages.
pub(crate) async fn open(
    State(context): State<Context>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    parameters: Result<Query<Parameters>, QueryRejection>,
    request: Request,
) -> Response {
    let cors = match cors::headers(&context, peer, request.headers()) {
        Ok(cors) => cors,
        Err(refused) => return Problem::origin(&refused).into_response(),
    };
    let mut response = match *request.method() {
        Method::OPTIONS if is_preflight(request.headers()) => {
            cors::preflight(request.headers(), METHODS)
        }
        // Browsers hide from a page why its WebSocket was rejected, so a page can check with OPTIONS.
        Method::OPTIONS => check_access(&context, parameters, request.headers())
            .await
            .unwrap_or_else(IntoResponse::into_response),
        _ => serve(context, peer, parameters, request)
            .await
            .unwrap_or_else(IntoResponse::into_response),
    };
    response.headers_mut().extend(cors);
    response
}

fn is_preflight(headers: &HeaderMap) -> bool {
    headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
}

/// Checks whether a session would be opened with this JWT.
async fn check_access(
    context: &Context,
    parameters: Result<Query<Parameters>, QueryRejection>,
    headers: &HeaderMap,
) -> Result<Response, Problem> {
    let Query(parameters) =
        parameters.map_err(|rejection| Problem::malformed(rejection.body_text()))?;
    let token = parameters.token.as_deref();
    let identified = context.identify(headers, token).await;
    identified.map_err(|error| Problem::from(&error))?;
    Ok((StatusCode::NO_CONTENT, [(header::ALLOW, METHODS)]).into_response())
}

async fn serve(
    context: Context,
    peer: SocketAddr,
    parameters: Result<Query<Parameters>, QueryRejection>,
    mut request: Request,
) -> Result<Response, Problem> {
    let Query(parameters) =
        parameters.map_err(|rejection| Problem::malformed(rejection.body_text()))?;
    let compression = match context.config().permessage_deflate {
        true => Compression::Deflate,
        false => Compression::None,
    };
    let upgrade = match Upgrade::check(&mut request, &[JSON, MSGPACK], compression) {
        Ok(upgrade) => upgrade,
        Err(error) => return Ok(error.into_response()),
    };
    let token = parameters.token.as_deref();
    let identity = context
        .identify(request.headers(), token)
        .await
        .map_err(|error| Problem::from(&error))?;
    let admitted = match context.admit(peer, request.headers()) {
        Ok(hold) => Ok(hold),
        Err(LimitReached::Address(_)) => Err(CloseReason::TooManyConnections),
        Err(full) => return Err(full.into()),
    };
    if let Some(retry_after_ms) = context.closing() {
        return Err(Problem::closing(retry_after_ms));
    }
    let wire = wire(&upgrade, context.config().deflate_min_bytes);
    // A rejected client keeps its socket until the close frame is sent.
    let socket = context.socket();
    let (mut response, upgrade) = upgrade.accept();
    if admitted.is_err() {
        response
            .extensions_mut()
            .insert(RefusedAfterUpgrade("too_many"));
    }
    let task = {
        let context = context.clone();
        async move {
            let _socket = socket;
            let connection = match Connection::establish(upgrade, context.config()).await {
                Ok(connection) => connection,
                Err(error) => {
                    tracing::debug!(%peer, %error, "WebSocket handshake failed");
                    return;
                }
            };
            match admitted {
                Err(reason) => connection.reject(&reason).await,
                Ok(hold) => match context.open(wire, identity, hold) {
                    Ok(session) => {
                        let requests = context.requests().clone();
                        // An open session does not need it.
                        drop(context);
                        requests.greet(&session);
                        run_io(session, connection, NativeHandler { wire, requests }).await;
                    }
                    Err(retry_after_ms) => {
                        let reason = CloseReason::GoingAway { retry_after_ms };
                        connection.reject(&reason).await;
                    }
                },
            }
        }
    };
    context.tasks().spawn(task);
    Ok(response)
}

/// The wire format that the client negotiated with subprotocols and extensions.
fn wire(upgrade: &Upgrade, deflate_min_bytes: usize) -> Wire {
    let wire = match upgrade.protocol() {
        Some(MSGPACK) => Wire::MsgPack,
        _ => Wire::Json,
    };
    if upgrade.deflate() {
        wire.compressed(Deflate::new(deflate_min_bytes))
    } else {
        wire
    }
}

/// Handles native messages in the session's format.
struct NativeHandler {
    wire: Wire,
    requests: Requests,
}

impl Handler for NativeHandler {
    fn message(&mut self, session: &Arc<Session>, message: Message) -> Option<Work> {
        let wire = self.wire;
        let (id, request) = match (wire.plain(), message) {
            (Wire::MsgPack, Message::Binary(bytes)) => parse_msgpack(&bytes),
            (Wire::MsgPack, Message::Text(_)) => {
                let refusal = format!("this session uses {MSGPACK}: send binary messages");
                (None, Err(Refusal::bad_request(refusal)))
            }
            (_, Message::Text(text)) => parse_text(&text),
            (_, Message::Binary(_)) => {
                let refusal = format!(
                    "this session uses {JSON}: send text messages, or connect with the subprotocol {MSGPACK}"
                );
                (None, Err(Refusal::bad_request(refusal)))
            }
        };
        let (requests, session) = (self.requests.clone(), session.clone());
        Some(Box::pin(async move {
            let reply =
                Box::new(move |answer: &Answer| vec![encode::answer(wire, answer, id.as_ref())]);
            requests.handle(&session, request, reply).await;
        }))
    }
}
