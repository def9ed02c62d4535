//! The live page at `/`, built into the binary.

use axum::{
    Router,
    extract::Path,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use rust_embed::{Embed, EmbeddedFile};

#[derive(Embed)]
#[folder = "web/"]
struct Files;

/// Nothing but our own files and our own socket; no inline script.
const POLICY: &str = "default-src 'self'; connect-src 'self' ws: wss:; img-src 'self' data:; \
                      object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// `/` and `/assets/{file}`.
pub fn router() -> Router {
    Router::new()
        .route("/", get(async || file("index.html")))
        .route("/favicon.ico", get(async || file("favicon.svg")))
        .route(
            "/assets/{*path}",
            get(async |Path(path): Path<String>| file(&path)),
        )
}

/// Answers for paths that nobody has.
pub async fn unknown_path() -> Response {
    let text = "there is nothing here; the page is at /, the API is described at /api-docs\n";
    (StatusCode::NOT_FOUND, text).into_response()
}

fn file(path: &str) -> Response {
    match Files::get(path) {
        Some(found) => served(found),
        None => (StatusCode::NOT_FOUND, "no such file\n").into_response(),
    }
}

fn served(file: EmbeddedFile) -> Response {
    let kind = file.metadata.mimetype().to_owned();
    let kind = if kind.starts_with("text/") && !kind.contains("charset") {
        format!("{kind}; charset=utf-8")
    } else {
        kind
    };
    let mut response = file.data.into_owned().into_response();
    let headers = response.headers_mut();
    if let Ok(kind) = HeaderValue::from_str(&kind) {
        headers.insert(header::CONTENT_TYPE, kind);
    }
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(POLICY),
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
