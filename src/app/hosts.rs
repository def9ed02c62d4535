//! The layer around every route that refuses requests under names which are not this server's.

use std::net::SocketAddr;

use axum::{
    Router,
    extract::{ConnectInfo, Request},
    http::{HeaderValue, StatusCode, header::CONTENT_TYPE},
    middleware::{self, Next},
    response::{IntoResponse, Response},
};
use serde_json::json;

use crate::visitor::{OtherHost, Site};

/// Answers whoever asks, by whatever name: an orchestrator may know the process by one of its own.
const OPEN: &str = "/healthz";

/// Wraps every route where [`Site::hosts`] lists names: others are answered with 421, with or without `Origin`.
pub(super) fn around(router: Router, site: Site) -> Router {
    if site.hosts.is_empty() {
        return router;
    }
    router.layer(middleware::from_fn(move |request: Request, next: Next| {
        let peer = request.extensions().get::<ConnectInfo<SocketAddr>>();
        let peer = peer.map(|ConnectInfo(peer)| peer.ip());
        let checked = match request.uri().path() {
            OPEN => Ok(()),
            _ => site.check_hosts(peer, request.headers()),
        };
        async move {
            match checked {
                Ok(()) => next.run(request).await,
                Err(other) => {
                    tracing::debug!(?peer, %other, "refused a request under another name");
                    misdirected(&other)
                }
            }
        }
    }))
}

fn misdirected(other: &OtherHost) -> Response {
    let status = StatusCode::MISDIRECTED_REQUEST;
    let problem = json!({
        "type": "about:blank",
        "title": status.canonical_reason(),
        "status": status.as_u16(),
        "code": "MISDIRECTED",
        "detail": other.to_string(),
    });
    let kind = HeaderValue::from_static("application/problem+json");
    (status, [(CONTENT_TYPE, kind)], problem.to_string()).into_response()
}
