//! CORS headers (Fetch standard) for every transport.
//!
//! Every response to an allowed page has these headers, errors included. Credentials are allowed only for listed origins
//! and the server's own, never because of `*`.

use std::net::SocketAddr;

use axum::{
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};

use super::context::Context;
use chaincast_http::client::{Page, RefusedOrigin};

/// How long a browser may cache a preflight response, in seconds.
const MAX_AGE: HeaderValue = HeaderValue::from_static("600");
/// Request headers that are allowed for a preflight that names none.
const ALLOWED: HeaderValue = HeaderValue::from_static("authorization, content-type, last-event-id");
/// Response headers that a page may read.
const EXPOSED: HeaderValue = HeaderValue::from_static("retry-after, www-authenticate");
/// Responses depend on the origin, also for requests without one.
const VARY: (HeaderName, HeaderValue) = (header::VARY, HeaderValue::from_static("Origin"));

/// The CORS headers of every response to this request; an error if the page is not allowed.
pub(super) fn headers(
    context: &Context,
    peer: SocketAddr,
    request: &HeaderMap,
) -> Result<HeaderMap, RefusedOrigin> {
    let page = context.origins().check(Some(peer.ip()), request)?;
    let mut headers = HeaderMap::from_iter([VARY]);
    let (Page::Any(origin) | Page::Known(origin)) = page else {
        return Ok(headers);
    };
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
    headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
    if matches!(page, Page::Known(_)) {
        let yes = HeaderValue::from_static("true");
        headers.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, yes);
    }
    Ok(headers)
}

/// The response to a preflight, without the headers of [`headers`]. `methods` are the supported ones.
pub(super) fn preflight(request: &HeaderMap, methods: &'static str) -> Response {
    let wanted = request
        .get(header::ACCESS_CONTROL_REQUEST_HEADERS)
        .cloned()
        .unwrap_or(ALLOWED);
    let headers = [
        (
            header::ACCESS_CONTROL_ALLOW_METHODS,
            HeaderValue::from_static(methods),
        ),
        (header::ALLOW, HeaderValue::from_static(methods)),
        (header::ACCESS_CONTROL_ALLOW_HEADERS, wanted),
        (header::ACCESS_CONTROL_MAX_AGE, MAX_AGE),
    ];
    (StatusCode::NO_CONTENT, headers).into_response()
}
