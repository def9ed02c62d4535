//! Middleware of every request: CORS, panic handling, a timeout, and `Cache-Control: no-store` by default.

use std::{any::Any, net::SocketAddr, time::Duration};

use axum::{
    Router,
    extract::{ConnectInfo, Request},
    http::{HeaderValue, Method, header::CACHE_CONTROL},
    middleware::{self, Next},
    response::{IntoResponse, Response},
};
use tower_http::{
    catch_panic::CatchPanicLayer,
    cors::{AllowHeaders, AllowOrigin, CorsLayer},
    set_header::SetResponseHeaderLayer,
};

use super::{ApiConfig, error::Problem};
use chaincast_http::client::OriginPolicy;

/// How long a browser may cache the response to a preflight request.
const PREFLIGHT_MAX_AGE: Duration = Duration::from_secs(3_600);

/// Wraps every route of the API.
pub(super) fn around(router: Router, config: &ApiConfig, origins: OriginPolicy) -> Router {
    let limit = Duration::from_millis(config.request_timeout_ms);
    router
        .layer(middleware::from_fn(
            move |request: Request, next: Next| async move {
                match tokio::time::timeout(limit, next.run(request)).await {
                    Ok(response) => response,
                    Err(_) => Problem::timed_out(limit).into_response(),
                }
            },
        ))
        .layer(CatchPanicLayer::custom(panicked))
        .layer(SetResponseHeaderLayer::if_not_present(
            CACHE_CONTROL,
            HeaderValue::from_static("no-store"),
        ))
        .layer(cors(origins))
}

fn cors(origins: OriginPolicy) -> CorsLayer {
    let origins = match origins.is_any() {
        true => AllowOrigin::any(),
        false => AllowOrigin::predicate(move |_, request| {
            let peer = request.extensions.get::<ConnectInfo<SocketAddr>>();
            let peer = peer.map(|ConnectInfo(peer)| peer.ip());
            origins.check(peer, &request.headers).is_ok()
        }),
    };
    CorsLayer::new()
        .allow_origin(origins)
        .allow_methods([Method::GET, Method::HEAD, Method::POST, Method::DELETE])
        // Mirrors the requested headers: `*` would not cover Authorization.
        .allow_headers(AllowHeaders::mirror_request())
        .max_age(PREFLIGHT_MAX_AGE)
}

fn panicked(panic: Box<dyn Any + Send>) -> Response {
    let message = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("(no message)");
    tracing::error!(panic = message, "a request handler panicked");
    Problem::internal().into_response()
}

#[cfg(test)]
mod tests {
    use axum::{body::Body, routing::get};
    use tower::ServiceExt;

    use super::*;

    #[tokio::test]
    async fn panic_response_hides_panic_message() {
        async fn boom() {
            if true {
                panic!("secret");
            }
        }
        let router = Router::new().route("/", get(boom));
        let router = around(router, &ApiConfig::default(), OriginPolicy::default());
        let response = router.oneshot(Request::new(Body::empty())).await.unwrap();
        assert_eq!(response.status(), 500);
        assert_eq!(
            response.headers()["content-type"],
            "application/problem+json"
        );
        let body = axum::body::to_bytes(response.into_body(), 10_000)
            .await
            .unwrap();
        let text = String::from_utf8(body.to_vec()).unwrap();
        assert!(
            text.contains("INTERNAL") && !text.contains("secret"),
            "{text}"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn times_out_slow_handler() {
        let router = Router::new().route("/", get(std::future::pending::<()>));
        let response = around(router, &ApiConfig::default(), OriginPolicy::default())
            .oneshot(Request::new(Body::empty()))
            .await
            .unwrap();
        assert_eq!(response.status(), 503);
        assert_eq!(response.headers()["retry-after"], "1");
    }
}
