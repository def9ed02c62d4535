//! `GET /realtime/sse`: a read-only stream of server-sent events that `Last-Event-ID` resumes.

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc};

use axum::{
    extract::{self, ConnectInfo, Query, State, rejection::QueryRejection},
    http::{HeaderMap, HeaderName, HeaderValue, Method, header},
    response::{IntoResponse, Response},
};
use serde::Deserialize;

use crate::{
    gateway::{
        CloseReason, Refusal,
        auth::Identity,
        context::Context,
        encode::{self, Packet, Wire},
        hub::Hub,
        problem::Problem,
        protocol::{Answer, Interval, Mode, Names, Request, Since, Subscribe},
        session::Session,
        transport::stream,
    },
    shutdown::Takeover,
};

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

#[derive(Deserialize)]
pub struct Parameters {
    channels: Option<String>,
    since: Option<String>,
    epoch: Option<String>,
    token: Option<String>,
    mode: Option<Mode>,
    interval: Option<u64>,
    snapshot: Option<bool>,
}

/// Opens a stream. Whatever is wrong with the request is told before the stream begins.
pub async fn open(
    State(context): State<Context>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    parameters: Result<Query<Parameters>, QueryRejection>,
    request: extract::Request,
) -> Response {
    let parameters = match parameters {
        Ok(Query(parameters)) => parameters,
        Err(rejection) => return Problem::bad_request(rejection.body_text()).into_response(),
    };
    let headers = request.headers();
    let mut answer: HeaderMap = HEADERS.into_iter().collect();
    if let Some(origin) = context.origins().cors_origin(headers) {
        answer.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        answer.insert(header::VARY, HeaderValue::from_static("origin"));
    }
    let takeover = request.extensions().get::<Takeover>().cloned();
    let takeover = match (request.method(), takeover) {
        // A stream without an end has no other head than its beginning.
        (&Method::HEAD, _) => {
            return match check(&context, &parameters, headers).await {
                Ok(_) => answer.into_response(),
                Err(problem) => problem.into_response(),
            };
        }
        (_, Some(takeover)) => takeover,
        (_, None) => {
            return Problem::bad_request("this connection cannot carry a stream").into_response();
        }
    };
    match begin(&context, peer, &parameters, headers).await {
        Ok(session) => {
            let served = stream::serve(session, takeover, stream::head(&answer));
            context.tasks().spawn(served);
            // The answer is in the session's hands, and this is dropped when it takes the connection.
            std::future::pending().await
        }
        Err(problem) => problem.into_response(),
    }
}

/// A session that was answered, and waits for its connection.
async fn begin(
    context: &Context,
    peer: SocketAddr,
    parameters: &Parameters,
    headers: &HeaderMap,
) -> Result<Arc<Session>, Problem> {
    let (identity, subscribe) = check(context, parameters, headers).await?;
    let hold = context.admit(peer, headers)?;
    let session = context
        .hub()
        .open(Wire::Sse, identity, Some(hold))
        .ok_or_else(Problem::closing)?;
    let unserved = Unserved(Some(session.clone()));
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
    if !context.origins().allows(headers) {
        return Err(Problem::origin());
    }
    let token = parameters.token.as_deref();
    let identity = context
        .identify(headers, token)
        .await
        .map_err(|error| Problem::from(&error))?;
    let subscribe = subscription(context.hub(), identity.as_ref(), parameters, headers)
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

/// What the query and `Last-Event-ID` ask for, when all of it can be given.
fn subscription(
    hub: &Hub,
    identity: Option<&Identity>,
    parameters: &Parameters,
    headers: &HeaderMap,
) -> Result<Subscribe, Refusal> {
    let names: Vec<String> = parameters
        .channels
        .iter()
        .flat_map(|list| list.split(','))
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .collect();
    let interval = parameters.interval.unwrap_or(0);
    let Some(interval) = Interval::new(interval) else {
        return Err(Refusal::bad_request(format!(
            "interval {interval} is not one of 0, 100, 250, 1000 and 5000"
        )));
    };
    let most = hub.config().limits.channels_per_request;
    if names.is_empty() || names.len() > most {
        return Err(Refusal::bad_request(format!(
            "channels must name 1 to {most} channels, such as channels=price:ETH,new-block"
        )));
    }
    let subscribe = Subscribe {
        since: since(parameters, headers)?,
        names: Names::Many(names),
        epoch: parameters.epoch.clone(),
        snapshot: parameters.snapshot.unwrap_or(true),
        mode: parameters.mode,
        interval,
    };
    hub.check(&subscribe, identity)?;
    Ok(subscribe)
}

/// `Last-Event-ID` is newer than the URL, which a client that comes back repeats.
fn since(parameters: &Parameters, headers: &HeaderMap) -> Result<Option<Since>, Refusal> {
    let last = headers
        .get("last-event-id")
        .and_then(|value| value.to_str().ok())
        .filter(|value| !value.is_empty());
    let Some(text) = last.or(parameters.since.as_deref()) else {
        return Ok(None);
    };
    positions(text).map(|seqs| Some(Since::Each(seqs)))
}

/// Reads `a@13,b@7`.
fn positions(text: &str) -> Result<BTreeMap<String, u64>, Refusal> {
    let bad = |part: &str| {
        Refusal::bad_request(format!(
            "{:?} is not a position: use CHANNEL@SEQ, several separated by commas",
            part.chars().take(64).collect::<String>()
        ))
    };
    text.split(',')
        .filter(|part| !part.is_empty())
        .map(|part| {
            let (channel, seq) = part.rsplit_once('@').ok_or_else(|| bad(part))?;
            let seq = seq.parse().map_err(|_| bad(part))?;
            Ok((channel.to_owned(), seq))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_are_read_as_they_are_written() {
        assert_eq!(
            positions("new-block@13,user:a@b@7").unwrap(),
            BTreeMap::from([("new-block".to_owned(), 13), ("user:a@b".to_owned(), 7)])
        );
        for bad in ["new-block", "new-block@", "new-block@-1", "@x"] {
            assert!(positions(bad).is_err(), "{bad}");
        }
    }
}
