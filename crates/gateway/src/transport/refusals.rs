//! Counts and logs refused connections of all transports, based on their HTTP responses.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use axum::{
    extract::{ConnectInfo, Request, State},
    http::{Method, StatusCode},
    middleware::Next,
    response::Response,
};

use chaincast_http::client::{RefusedOrigin, client_address};
use chaincast_protocol::encode::Transport;

use crate::{
    admission::ConnectionLimit,
    config::GatewayConfig,
    observe::{GatewayMetrics, SessionLog},
};

/// Marks the response of a connection that is upgraded only to be refused with a close code.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RefusedAfterUpgrade(pub &'static str);

/// Marks the response to a request whose origin is not allowed.
#[derive(Debug, Clone)]
pub(crate) struct OriginRefused(pub RefusedOrigin);

/// Marks the response of a server at its connection limit.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ServerFull;

/// Records refusals. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Refusals {
    pub config: Arc<GatewayConfig>,
    pub connections: ConnectionLimit,
    pub metrics: Arc<GatewayMetrics>,
    pub session_log: Arc<SessionLog>,
}

/// The layer around the routes that open sessions: counts and logs refusals.
pub(crate) async fn record(
    State(refusals): State<Refusals>,
    request: Request,
    next: Next,
) -> Response {
    let Some(transport) = opened_transport(&request) else {
        return next.run(request).await;
    };
    let client = client(&refusals.config, &request);
    let response = next.run(request).await;
    let refused_later = response.extensions().get::<RefusedAfterUpgrade>();
    let reason = match refused_later {
        Some(RefusedAfterUpgrade(reason)) => Some(*reason),
        None => status_reason(response.status()),
    };
    if let Some(reason) = reason {
        let status = response.status().as_u16();
        let origin = response.extensions().get::<OriginRefused>();
        let origin = origin.map(|OriginRefused(origin)| origin);
        refusals.metrics.handshake_refused(transport, reason);
        if response.extensions().get::<ServerFull>().is_some() {
            refusals
                .session_log
                .server_full(status, refusals.connections.open());
            return response;
        }
        refusals
            .session_log
            .handshake_refused(transport, client, reason, status, origin);
    }
    response
}

/// The transport of the session that a request opens; `None` for a preflight or a request within a session.
fn opened_transport(request: &Request) -> Option<Transport> {
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

fn client(config: &GatewayConfig, request: &Request) -> Option<IpAddr> {
    let ConnectInfo(peer) = request.extensions().get::<ConnectInfo<SocketAddr>>()?;
    let trusted = &config.trusted_proxies;
    Some(client_address(peer.ip(), request.headers(), trusted))
}

fn status_reason(status: StatusCode) -> Option<&'static str> {
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
    use crate::observe::REFUSAL_REASONS;

    #[test]
    fn handshakes_are_requests_that_open_sessions() {
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
            assert_eq!(opened_transport(&request), expected, "{uri}");
        }
        let preflight = Request::builder()
            .method(Method::OPTIONS)
            .uri("/socket.io/")
            .body(Body::empty())
            .unwrap();
        assert_eq!(opened_transport(&preflight), None);
    }

    #[test]
    fn every_error_status_has_a_listed_reason() {
        for status in 400..600 {
            let reason = status_reason(StatusCode::from_u16(status).unwrap());
            assert!(reason.is_some_and(|reason| REFUSAL_REASONS.contains(&reason)));
        }
        assert_eq!(status_reason(StatusCode::SWITCHING_PROTOCOLS), None);
        assert_eq!(status_reason(StatusCode::OK), None);
    }
}
