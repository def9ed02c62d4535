//! Problem documents: error responses as `application/problem+json` (RFC 9457), of REST and of the gateway.
//!
//! The codes are those of the module that responds: `api::Code`, `gateway::ErrorCode`.

use std::borrow::Cow;

use axum::{
    Json,
    http::{
        Extensions, HeaderValue, StatusCode,
        header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE},
    },
    response::{IntoResponse, Response},
};
use serde::Serialize;
use utoipa::ToSchema;

/// The media type.
pub const PROBLEM_JSON: &str = "application/problem+json";

/// An error response, `application/problem+json`.
#[derive(Debug, Serialize, ToSchema)]
#[schema(
    as = Problem,
    examples(json!({
        "type": "about:blank", "title": "Bad Request", "status": 400, "code": "BAD_REQUEST",
        "detail": "limit must be 1 to 1000, not 5000", "parameter": "limit"
    }))
)]
pub struct ProblemDocument {
    /// Always `about:blank`; use `code` to distinguish problems.
    r#type: &'static str,
    /// Reason phrase of the HTTP status.
    title: &'static str,
    /// The HTTP status.
    status: u16,
    /// Stable code, for programs.
    code: &'static str,
    /// Human-readable: what is wrong and what to do.
    detail: Cow<'static, str>,
    /// The path or query parameter, header or body field that is wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    parameter: Option<Cow<'static, str>>,
    /// With `GONE`: the seq of the oldest update that is still stored.
    #[serde(skip_serializing_if = "Option::is_none")]
    oldest: Option<u64>,
    /// With `GONE`: the seq of the newest update.
    #[serde(skip_serializing_if = "Option::is_none")]
    newest: Option<u64>,
}

/// The problem of a request that failed or was refused.
#[derive(Debug, Clone)]
pub struct Problem {
    status: StatusCode,
    code: &'static str,
    detail: Cow<'static, str>,
    parameter: Option<Cow<'static, str>>,
    /// The first and last seq that are stored.
    history: Option<(u64, u64)>,
    retry_after_ms: Option<u64>,
    /// For middleware, not for the client.
    extensions: Extensions,
}

/// `Retry-After` of a 503 response without a delay of its own, in ms.
const RETRY_AFTER_MS: u64 = 1_000;

/// The value of a `Retry-After` header, in whole seconds, at least 1.
pub fn retry_after(ms: u64) -> HeaderValue {
    ms.div_ceil(1_000).max(1).into()
}

impl Problem {
    /// `code` is for programs, `detail` for people.
    pub fn new(
        status: StatusCode,
        code: &'static str,
        detail: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self {
            status,
            code,
            detail: detail.into(),
            parameter: None,
            history: None,
            retry_after_ms: None,
            extensions: Extensions::new(),
        }
    }

    /// Names the path or query parameter, header or body field that is wrong.
    pub fn with_parameter(mut self, name: impl Into<Cow<'static, str>>) -> Self {
        self.parameter = Some(name.into());
        self
    }

    /// Adds the range of stored updates, by seq.
    pub fn with_history(mut self, oldest: u64, newest: u64) -> Self {
        self.history = Some((oldest, newest));
        self
    }

    /// The same request may succeed after this many ms.
    pub fn with_retry_after_ms(mut self, ms: u64) -> Self {
        self.retry_after_ms = Some(ms);
        self
    }

    /// Adds an extension to the response.
    pub fn with_extension<T: Clone + Send + Sync + 'static>(mut self, extension: T) -> Self {
        self.extensions.insert(extension);
        self
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let document = ProblemDocument {
            r#type: "about:blank",
            title: self.status.canonical_reason().unwrap_or("Error"),
            status: self.status.as_u16(),
            code: self.code,
            detail: self.detail,
            parameter: self.parameter,
            oldest: self.history.map(|(oldest, _)| oldest),
            newest: self.history.map(|(_, newest)| newest),
        };
        let mut response = (self.status, Json(document)).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
        let is_unavailable = self.status == StatusCode::SERVICE_UNAVAILABLE;
        let default_ms = is_unavailable.then_some(RETRY_AFTER_MS);
        if let Some(ms) = self.retry_after_ms.or(default_ms) {
            headers.insert(RETRY_AFTER, retry_after(ms));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response.extensions_mut().extend(self.extensions);
        response
    }
}

#[cfg(test)]
mod tests {
    use axum::body::to_bytes;

    use super::*;

    async fn parts(problem: Problem) -> (Response<()>, serde_json::Value) {
        let (head, body) = problem.into_response().into_parts();
        let body = to_bytes(body, 10_000).await.unwrap();
        let body = serde_json::from_slice(&body).unwrap();
        (Response::from_parts(head, ()), body)
    }

    #[tokio::test]
    async fn document_has_only_the_members_that_apply() {
        let bad = Problem::new(StatusCode::BAD_REQUEST, "BAD_REQUEST", "limit is wrong");
        let (response, body) = parts(bad.with_parameter("limit")).await;
        assert_eq!(response.headers()["content-type"], PROBLEM_JSON);
        assert!(!response.headers().contains_key("retry-after"));
        let expected = serde_json::json!({
            "type": "about:blank", "title": "Bad Request", "status": 400, "code": "BAD_REQUEST",
            "detail": "limit is wrong", "parameter": "limit"
        });
        assert_eq!(body, expected);
        let gone = Problem::new(StatusCode::GONE, "GONE", "pruned").with_history(3, 9);
        let (_, body) = parts(gone).await;
        assert_eq!((&body["oldest"], &body["newest"]), (&3.into(), &9.into()));
        assert!(body.get("parameter").is_none(), "{body}");
    }

    #[tokio::test]
    async fn headers_follow_the_status() {
        #[derive(Debug, Clone, PartialEq)]
        struct Mark(u8);
        for (status, ms, expected) in [
            (StatusCode::SERVICE_UNAVAILABLE, None, Some("1")),
            (StatusCode::SERVICE_UNAVAILABLE, Some(4_001), Some("5")),
            (StatusCode::TOO_MANY_REQUESTS, Some(0), Some("1")),
            (StatusCode::TOO_MANY_REQUESTS, None, None),
        ] {
            let mut problem = Problem::new(status, "CODE", "detail").with_extension(Mark(1));
            if let Some(ms) = ms {
                problem = problem.with_retry_after_ms(ms);
            }
            let (response, _) = parts(problem).await;
            let found = response.headers().get("retry-after");
            assert_eq!(
                found.map(|found| found.to_str().unwrap()),
                expected,
                "{status}"
            );
            assert_eq!(response.extensions().get::<Mark>(), Some(&Mark(1)));
        }
        let (response, _) = parts(Problem::new(StatusCode::UNAUTHORIZED, "CODE", "")).await;
        assert_eq!(response.headers()["www-authenticate"], "Bearer");
    }
}
