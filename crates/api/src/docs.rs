//! The OpenAPI description and its interactive page, both served from this origin.

use axum::{
    Router,
    body::{Body, to_bytes},
    http::header::{CONTENT_LENGTH, CONTENT_TYPE},
    middleware,
    response::{IntoResponse, Response},
};
use utoipa::openapi::OpenApi;
use utoipa_swagger_ui::{Config, SwaggerUi};

use super::error::Problem;

/// Upper bound on the size of the page, in bytes; the page is embedded in the binary.
const LARGEST_PAGE: usize = 1 << 20;

/// Serves the description at `/api-docs/openapi.json` and its page at `/api-docs`. The page is self-contained and loads
/// nothing from other origins.
pub fn docs_router(openapi: OpenApi) -> Router {
    let config = Config::default()
        // Otherwise the page sends the description to swagger.io for validation.
        .validator_url("none")
        .try_it_out_enabled(true)
        .display_request_duration(true);
    let router: Router = SwaggerUi::new("/api-docs")
        .url("/api-docs/openapi.json", openapi)
        .config(config)
        .into();
    router.layer(middleware::map_response(set_title))
}

/// Replaces the page's title, for which there is no setting.
async fn set_title(response: Response) -> Response {
    let kind = response.headers().get(CONTENT_TYPE);
    if !kind.is_some_and(|kind| kind.as_bytes().starts_with(b"text/html")) {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    let Ok(page) = to_bytes(body, LARGEST_PAGE).await else {
        return Problem::internal().into_response();
    };
    let page = String::from_utf8_lossy(&page)
        .replace("<title>Swagger UI</title>", "<title>chaincast</title>");
    parts.headers.remove(CONTENT_LENGTH);
    Response::from_parts(parts, Body::from(page))
}
