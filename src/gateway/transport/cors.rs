//! What a page of another origin may read (the Fetch standard's CORS protocol), for every transport.
//!
//! Promises: an answer to a page that is let in has these headers, a refusal included. Only a page that is known by its
//! origin may send credentials, and never because of `*`.

use std::net::SocketAddr;

use axum::{
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};

use crate::{
    gateway::context::Context,
    visitor::{Page, RefusedOrigin},
};

/// How long a browser may remember the answer to a preflight, in seconds.
const MAX_AGE: HeaderValue = HeaderValue::from_static("600");
/// Request headers that a preflight allows when it names none.
const ALLOWED: HeaderValue = HeaderValue::from_static("authorization, content-type, last-event-id");
/// Answers' headers that a page may read.
const EXPOSED: HeaderValue = HeaderValue::from_static("retry-after, www-authenticate");
/// An answer depends on who asks, whoever that was.
const VARY: (HeaderName, HeaderValue) = (header::VARY, HeaderValue::from_static("Origin"));

/// The headers of every answer to this request; the error says which page is not let in.
pub fn headers(
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

/// The answer to a preflight, without the headers of [`headers`]. `methods` are those that are served.
pub fn preflight(request: &HeaderMap, methods: &'static str) -> Response {
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
