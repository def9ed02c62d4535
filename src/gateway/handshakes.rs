//! Counts and logs the connections that do not become sessions, whatever the transport: from the answers that they get.

use std::net::{IpAddr, SocketAddr};

use axum::{
    extract::{ConnectInfo, Request, State},
    http::{Method, StatusCode},
    middleware::Next,
    response::Response,
};

use super::{ErrorCode, context::Context, encode::Transport};
use crate::visitor::{RefusedOrigin, client_address};

/// Why connections are refused, as in metrics and logs.
pub const REASONS: [&str; 6] = [
    "bad_request",
    "unauthenticated",
    "forbidden",
    "too_many",
    "unavailable",
    "internal",
];

/// Marks an answer that opens a connection only to say on it, with a close code, that it is refused.
#[derive(Debug, Clone, Copy)]
pub struct RefusedAfterwards(pub &'static str);

/// Marks an answer to a page that may not connect.
#[derive(Debug, Clone)]
pub struct RefusedPage(pub RefusedOrigin);

/// Marks an answer of a server that takes no more sessions.
#[derive(Debug, Clone, Copy)]
pub struct ServerFull;

/// Of what came over the connection, not in its HTTP answer: a client that was not let in.
pub fn reason_of(code: Option<ErrorCode>) -> &'static str {
    match code {
        Some(ErrorCode::Unauthorized | ErrorCode::TokenExpired) => "unauthenticated",
        Some(ErrorCode::Forbidden) => "forbidden",
        Some(ErrorCode::RateLimited) => "too_many",
        Some(ErrorCode::Internal) => "internal",
        _ => "bad_request",
    }
}

/// The layer around the routes that open sessions.
pub async fn watch(State(context): State<Context>, request: Request, next: Next) -> Response {
    let Some(transport) = opens(&request) else {
        return next.run(request).await;
    };
    let client = client(&context, &request);
    let response = next.run(request).await;
    let told_later = response.extensions().get::<RefusedAfterwards>();
    let reason = match told_later {
        Some(RefusedAfterwards(reason)) => Some(*reason),
        None => reason(response.status()),
    };
    if let Some(reason) = reason {
        let status = response.status().as_u16();
        let page = response.extensions().get::<RefusedPage>();
        let page = page.map(|RefusedPage(page)| page);
        context.hub().metrics().handshake_refused(transport, reason);
        if response.extensions().get::<ServerFull>().is_some() {
            context.hub().journal().full(status, context.connections());
            return response;
        }
        context
            .hub()
            .journal()
            .handshake_refused(transport, client, reason, status, page);
    }
    response
}

/// The transport that a request would open a session of; `None` for one within a session, or before it.
fn opens(request: &Request) -> Option<Transport> {
    if request.method() == Method::OPTIONS {
        return None;
    }
    match request.uri().path().trim_end_matches('/') {
        "/realtime" => Some(Transport::WebSocket),
        "/realtime/sse" => Some(Transport::Sse),
        _ => {
            let query = request.uri().query().unwrap_or_default();
            let within = query.split('&').any(|part| part.starts_with("sid="));
            (!within).then_some(Transport::SocketIo)
        }
    }
}

fn client(context: &Context, request: &Request) -> Option<IpAddr> {
    let ConnectInfo(peer) = request.extensions().get::<ConnectInfo<SocketAddr>>()?;
    let trusted = &context.config().trusted_proxies;
    Some(client_address(peer.ip(), request.headers(), trusted))
}

fn reason(status: StatusCode) -> Option<&'static str> {
    match status {
        StatusCode::UNAUTHORIZED => Some("unauthenticated"),
        StatusCode::FORBIDDEN => Some("forbidden"),
        StatusCode::TOO_MANY_REQUESTS => Some("too_many"),
        StatusCode::SERVICE_UNAVAILABLE => Some("unavailable"),
        status if status.is_server_error() => Some("internal"),
        status if status.is_client_error() => Some("bad_request"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    #[test]
    fn only_what_would_open_a_session_is_a_handshake() {
        for (uri, expected) in [
            ("/realtime?token=x", Some(Transport::WebSocket)),
            ("/realtime/", Some(Transport::WebSocket)),
            ("/realtime/sse?channels=a", Some(Transport::Sse)),
            ("/realtime/sse/?channels=a", Some(Transport::Sse)),
            (
                "/socket.io/?EIO=4&transport=polling",
                Some(Transport::SocketIo),
            ),
            ("/socket.io/?EIO=4&transport=polling&sid=abc", None),
        ] {
            let request = Request::builder().uri(uri).body(Body::empty()).unwrap();
            assert_eq!(opens(&request), expected, "{uri}");
        }
        let preflight = Request::builder()
            .method(Method::OPTIONS)
            .uri("/socket.io/")
            .body(Body::empty())
            .unwrap();
        assert_eq!(opens(&preflight), None);
    }

    #[test]
    fn every_refusal_has_a_reason_of_the_list() {
        for status in 400..600 {
            let reason = reason(StatusCode::from_u16(status).unwrap());
            assert!(reason.is_some_and(|reason| REASONS.contains(&reason)));
        }
        assert_eq!(reason(StatusCode::SWITCHING_PROTOCOLS), None);
        assert_eq!(reason(StatusCode::OK), None);
    }
}
