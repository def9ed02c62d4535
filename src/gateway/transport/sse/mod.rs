//! `GET /realtime/sse`: a read-only stream of server-sent events that `Last-Event-ID` resumes.

mod query;

use std::{net::SocketAddr, sync::Arc};

use axum::{
    extract::{self, ConnectInfo, Query, State, rejection::QueryRejection},
    http::{HeaderMap, HeaderName, HeaderValue, Method, Version, header, request::Parts},
    response::{IntoResponse, Response},
};

use self::query::Parameters;
use crate::{
    gateway::{
        CloseReason,
        auth::Identity,
        context::Context,
        encode::{self, Packet, Wire},
        problem::Problem,
        protocol::{Answer, Request, Subscribe},
        session::Session,
        transport::{cors, stream},
    },
    shutdown::Takeover,
};

/// The methods that are served.
const METHODS: &str = "GET, HEAD, OPTIONS";
/// How soon an `EventSource` comes back after a broken stream, in ms.
const RETRY_MS: u32 = 2_000;
/// The headers of every stream. Proxies are not to keep it, nor to gather it up.
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

/// Opens a stream. Whatever is wrong with the request is answered before the stream begins.
pub async fn open(
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

/// Answers a `GET` by handing its connection over, and a `HEAD` with what the stream would begin with.
async fn serve(
    context: &Context,
    peer: SocketAddr,
    pairs: Result<Pairs, QueryRejection>,
    request: &Parts,
    cors: &HeaderMap,
) -> Result<Response, Problem> {
    let Query(pairs) = pairs.map_err(|rejection| Problem::bad_request(rejection.body_text()))?;
    let parameters = Parameters::read(pairs).map_err(|refusal| Problem::from(&refusal))?;
    let headers = &request.headers;
    if request.method == Method::HEAD {
        // A stream without an end has no other head than its beginning.
        check(context, &parameters, headers).await?;
        return Ok(HeaderMap::from_iter(HEADERS).into_response());
    }
    let takeover = request
        .extensions
        .get::<Takeover>()
        .cloned()
        .ok_or_else(|| Problem::bad_request("this connection cannot carry a stream"))?;
    // An older client reads until the connection ends.
    let chunked = request.version >= Version::HTTP_11;
    let session = begin(context, peer, &parameters, headers, chunked).await?;
    let mut answer: HeaderMap = HEADERS.into_iter().collect();
    answer.extend(cors.clone());
    let socket = context.socket();
    let served = stream::serve(session, takeover, stream::head(&answer, chunked));
    context.tasks().spawn(async move {
        served.await;
        drop(socket);
    });
    // The answer is in the session's hands, and this is dropped when it takes the connection.
    std::future::pending().await
}

/// A session that was answered, and waits for its connection.
async fn begin(
    context: &Context,
    peer: SocketAddr,
    parameters: &Parameters,
    headers: &HeaderMap,
    chunked: bool,
) -> Result<Arc<Session>, Problem> {
    let (identity, subscribe) = check(context, parameters, headers).await?;
    let hold = context.admit(peer, headers)?;
    let session = context
        .hub()
        .open(Wire::Sse, identity, Some(hold))
        .ok_or_else(|| Problem::closing(context.hub().retry_after_ms()))?;
    let unserved = Unserved(Some(session.clone()));
    if chunked {
        session.send_chunks();
    }
    session.queue(Packet::raw(format!("retry: {RETRY_MS}\n\n")));
    session.greet();
    let reply =
        Box::new(|answer: &Answer| vec![encode::event(Wire::Sse, answer.event(), &answer.data())]);
    session
        .request(Ok(Request::Subscribe(subscribe)), reply)
        .await;
    unserved.disarm();
    Ok(session)
}

/// Whose stream it is and what it asks for, when that may be had.
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
            context.hub().check(&subscribe, identity.as_ref())?;
            Ok(subscribe)
        })
        .map_err(|refusal| Problem::from(&refusal))?;
    Ok((identity, subscribe))
}

/// Ends a session that its connection never gets, as when the client hangs up while its request is worked on.
struct Unserved(Option<Arc<Session>>);

impl Unserved {
    fn disarm(mut self) {
        self.0 = None;
    }
}

impl Drop for Unserved {
    fn drop(&mut self) {
        if let Some(session) = self.0.take() {
            session.end(CloseReason::Lost);
        }
    }
}
