//! `GET /realtime/sse`: a read-only stream of server-sent events, resumable with `Last-Event-ID`.

mod query;

use std::{net::SocketAddr, sync::Arc};

use axum::{
    extract::{self, ConnectInfo, Query, State, rejection::QueryRejection},
    http::{HeaderMap, HeaderName, HeaderValue, Method, Version, header, request::Parts},
    response::{IntoResponse, Response},
};

use self::query::Parameters;
use super::{
    context::Context,
    cors,
    problem::Problem,
    streaming_response::{self, Framing},
};
use crate::{auth::Identity, session::Session};
use chaincast_base::shutdown::Takeover;
use chaincast_protocol::{
    CloseReason,
    encode::{self, Packet, Wire},
    request::{Answer, Request, Subscribe},
};

/// The methods that are served.
const METHODS: &str = "GET, HEAD, OPTIONS";
/// The reconnect delay of an `EventSource`, in ms.
const RETRY_MS: u32 = 2_000;
/// The headers of every stream. They stop proxies from caching or buffering it.
const HEADERS: [(HeaderName, HeaderValue); 3] = [
    (
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/event-stream"),
    ),
    (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
    (
        HeaderName::from_static("x-accel-buffering"),
        HeaderValue::from_static("no"),
    ),
];

type Pairs = Query<Vec<(String, String)>>;

/// Opens a stream. Errors in the request are answered before the stream begins.
pub(crate) async fn open(
    State(context): State<Context>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    pairs: Result<Pairs, QueryRejection>,
    request: extract::Request,
) -> Response {
    let (request, _) = request.into_parts();
    let cors = match cors::headers(&context, peer, &request.headers) {
        Ok(cors) => cors,
        Err(refused) => return Problem::origin(&refused).into_response(),
    };
    let mut response = match request.method {
        Method::OPTIONS => cors::preflight(&request.headers, METHODS),
        _ => serve(&context, peer, pairs, &request, &cors)
            .await
            .unwrap_or_else(IntoResponse::into_response),
    };
    response.headers_mut().extend(cors);
    response
}

/// Serves a `GET` by taking over its connection, and a `HEAD` with the headers of the stream.
async fn serve(
    context: &Context,
    peer: SocketAddr,
    pairs: Result<Pairs, QueryRejection>,
    request: &Parts,
    cors: &HeaderMap,
) -> Result<Response, Problem> {
    let Query(pairs) = pairs.map_err(|rejection| Problem::malformed(rejection.body_text()))?;
    let parameters = Parameters::read(pairs).map_err(|refusal| Problem::from(&refusal))?;
    let headers = &request.headers;
    if request.method == Method::HEAD {
        // Checks the request as a GET would.
        check(context, &parameters, headers).await?;
        return Ok(HeaderMap::from_iter(HEADERS).into_response());
    }
    let takeover = request
        .extensions
        .get::<Takeover>()
        .cloned()
        .ok_or_else(|| Problem::malformed("this connection cannot carry a stream"))?;
    let framing = match request.version >= Version::HTTP_11 {
        true => Framing::Chunked,
        false => Framing::UntilClose,
    };
    let session = open_session(context, peer, &parameters, headers, framing).await?;
    let mut answer: HeaderMap = HEADERS.into_iter().collect();
    answer.extend(cors.clone());
    let socket = context.socket();
    let served = streaming_response::serve(
        session,
        takeover,
        streaming_response::head(&answer, framing),
        context.config().send_buffer_bytes,
    );
    context.tasks().spawn(async move {
        served.await;
        drop(socket);
    });
    // The task above sends the response; this handler is dropped when the task takes over the connection.
    std::future::pending().await
}

/// Opens a session with its first messages queued, which does not have its connection yet.
async fn open_session(
    context: &Context,
    peer: SocketAddr,
    parameters: &Parameters,
    headers: &HeaderMap,
    framing: Framing,
) -> Result<Arc<Session>, Problem> {
    let (identity, subscribe) = check(context, parameters, headers).await?;
    let hold = context.admit(peer, headers)?;
    let session = context
        .open(Wire::Sse, identity, hold)
        .map_err(Problem::closing)?;
    let unserved = UnservedGuard(Some(session.clone()));
    if framing == Framing::Chunked {
        session.send_chunks();
    }
    session.queue(Packet::raw(format!("retry: {RETRY_MS}\n\n")));
    let requests = context.requests();
    requests.greet(&session);
    let reply =
        Box::new(|answer: &Answer| vec![encode::event(Wire::Sse, answer.event(), &answer.data())]);
    requests
        .handle(&session, Ok(Request::Subscribe(subscribe)), reply)
        .await;
    unserved.disarm();
    Ok(session)
}

/// The user and the subscription of a request, if both are permitted.
async fn check(
    context: &Context,
    parameters: &Parameters,
    headers: &HeaderMap,
) -> Result<(Option<Identity>, Subscribe), Problem> {
    let identity = context
        .identify(headers, parameters.token())
        .await
        .map_err(|error| Problem::from(&error))?;
    let most = context.config().limits.channels_per_request;
    let subscribe = parameters
        .subscription(headers, most)
        .and_then(|subscribe| {
            context.requests().check(&subscribe, identity.as_ref())?;
            Ok(subscribe)
        })
        .map_err(|refusal| Problem::from(&refusal))?;
    Ok((identity, subscribe))
}

/// Ends a session that never gets its connection, as when the client disconnects while its request is processed.
struct UnservedGuard(Option<Arc<Session>>);

impl UnservedGuard {
    fn disarm(mut self) {
        self.0 = None;
    }
}

impl Drop for UnservedGuard {
    fn drop(&mut self) {
        if let Some(session) = self.0.take() {
            session.end(CloseReason::Lost);
        }
    }
}
