//! The live page at `/`, built into the binary.

use std::borrow::Cow;

use axum::{
    Router,
    extract::Path,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use rust_embed::Embed;

#[derive(Embed)]
#[folder = "web/"]
struct Files;

/// The documents that the live page links to.
const DOCUMENTS: [(&str, &str); 2] = [
    ("prices.md", include_str!("../docs/prices.md")),
    ("protocol.md", include_str!("../docs/protocol.md")),
];

/// Allows only this server's files and sockets; no inline script.
const CONTENT_SECURITY_POLICY: &str = "default-src 'self'; connect-src 'self' ws: wss:; img-src 'self' data:; \
                      object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Routes `/`, `/assets/{file}`, `/docs/{name}.md`, the client for pages without tools, and the Socket.IO client at the
/// reference server's path.
pub(crate) fn router() -> Router {
    Router::new()
        .route("/", get(async || file("index.html")))
        .route("/client.js", get(async || any_origin_file("client.js")))
        .route(
            "/socket.io/socket.io.js",
            get(async || any_origin_file("vendor/socket.io.js")),
        )
        .route(
            "/socket.io/socket.io.min.js",
            get(async || any_origin_file("vendor/socket.io.js")),
        )
        .route("/favicon.ico", get(async || file("favicon.svg")))
        .route(
            "/assets/{*path}",
            get(async |Path(path): Path<String>| file(&path)),
        )
        .route(
            "/docs/{name}",
            get(async |Path(name): Path<String>| document(&name)),
        )
}

/// The response for unknown paths.
pub(crate) async fn unknown_path() -> Response {
    let text = "not found; the page is at /, the API is described at /api-docs\n";
    (StatusCode::NOT_FOUND, text).into_response()
}

/// The response for the page and the streams in an indexer process.
pub(crate) async fn no_gateway() -> Response {
    let text = "this process has no gateway (serve --role indexer): it serves neither the page nor /realtime; use a process \
                with --role gateway or all. The API is described at /api-docs\n";
    (StatusCode::NOT_FOUND, text).into_response()
}

fn file(path: &str) -> Response {
    match Files::get(path) {
        Some(found) => {
            let kind = found.metadata.mimetype().to_owned();
            respond(found.data, &kind)
        }
        None => (StatusCode::NOT_FOUND, "no such file\n").into_response(),
    }
}

/// A file that pages of any origin may load (CORS).
fn any_origin_file(path: &str) -> Response {
    let mut response = file(path);
    let any = HeaderValue::from_static("*");
    response
        .headers_mut()
        .insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, any);
    response
}

/// Serves Markdown as plain text, which browsers display instead of download.
fn document(name: &str) -> Response {
    match DOCUMENTS.iter().find(|(known, _)| *known == name) {
        Some((_, text)) => respond(text.as_bytes().into(), "text/plain"),
        None => (StatusCode::NOT_FOUND, "no such document\n").into_response(),
    }
}

fn respond(content: Cow<'static, [u8]>, kind: &str) -> Response {
    let kind = if kind.starts_with("text/") && !kind.contains("charset") {
        format!("{kind}; charset=utf-8")
    } else {
        kind.to_owned()
    };
    let mut response = content.into_response();
    let headers = response.headers_mut();
    if let Ok(kind) = HeaderValue::from_str(&kind) {
        headers.insert(header::CONTENT_TYPE, kind);
    }
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(CONTENT_SECURITY_POLICY),
    );
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    headers.insert(
        header::REFERRER_POLICY,
        HeaderValue::from_static("no-referrer"),
    );
    response
}
