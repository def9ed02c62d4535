//! Problem documents (RFC 9457). The cause of an internal error is logged here, once, and never sent to the client.

use std::{borrow::Cow, collections::BTreeMap, time::Duration};

use axum::{
    extract::Request,
    http::{
        HeaderValue, StatusCode,
        header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE},
    },
    response::{IntoResponse, Response},
};
use serde::Serialize;
use utoipa::{
    ToSchema,
    openapi::{ContentBuilder, Ref, RefOr, ResponseBuilder},
};

use crate::store::StoreError;

/// An error response, `application/problem+json`.
#[derive(Debug, Serialize, ToSchema)]
#[schema(
    as = Problem,
    examples(json!({
        "type": "about:blank", "title": "Bad Request", "status": 400, "code": "BAD_REQUEST",
        "detail": "limit must be 1 to 1000, not 5000", "parameter": "limit"
    }))
)]
pub(super) struct ProblemDocument {
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

/// The problem of a failed request.
#[derive(Debug)]
pub(super) struct Problem {
    status: StatusCode,
    code: &'static str,
    detail: Cow<'static, str>,
    parameter: Option<Cow<'static, str>>,
    history: Option<(u64, u64)>,
    retry_after_s: Option<u64>,
}

const PROBLEM_JSON: &str = "application/problem+json";
/// `Retry-After` of a 503 response, in seconds.
const RETRY_AFTER_S: HeaderValue = HeaderValue::from_static("1");

impl Problem {
    fn new(status: StatusCode, code: &'static str, detail: impl Into<Cow<'static, str>>) -> Self {
        Self {
            status,
            code,
            detail: detail.into(),
            parameter: None,
            history: None,
            retry_after_s: None,
        }
    }

    /// An invalid parameter.
    pub(super) fn bad_parameter(
        name: impl Into<Cow<'static, str>>,
        detail: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self {
            parameter: Some(name.into()),
            ..Self::new(StatusCode::BAD_REQUEST, "BAD_REQUEST", detail)
        }
    }

    /// An invalid body field or header, with a specific code.
    pub(super) fn invalid(
        code: &'static str,
        name: &'static str,
        detail: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self {
            parameter: Some(name.into()),
            ..Self::new(StatusCode::BAD_REQUEST, code, detail)
        }
    }

    /// The JWT is missing, invalid or expired: `UNAUTHORIZED` or `TOKEN_EXPIRED`.
    pub(super) fn unauthorized(code: &'static str, detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, code, detail)
    }

    /// A conflict with the current state.
    pub(super) fn conflict(code: &'static str, detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::CONFLICT, code, detail)
    }

    /// The body is longer than `most` bytes.
    pub(super) fn too_large(most: usize) -> Self {
        Self::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "PAYLOAD_TOO_LARGE",
            format!("the body may have at most {most} bytes"),
        )
    }

    /// The user's rate limit is reached.
    pub(super) fn rate_limited(retry_after_ms: u64, detail: impl Into<Cow<'static, str>>) -> Self {
        Self {
            retry_after_s: Some(retry_after_ms.div_ceil(1_000)),
            ..Self::new(StatusCode::TOO_MANY_REQUESTS, "RATE_LIMITED", detail)
        }
    }

    /// A limit of all users together is reached.
    pub(super) fn limit_reached(code: &'static str, detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, code, detail)
    }

    /// The keys to verify JWTs are not available.
    pub(super) fn keys_unavailable(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "UNAVAILABLE", detail)
    }

    /// A request that cannot be parsed.
    pub(super) fn bad_request(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "BAD_REQUEST", detail)
    }

    pub(super) fn not_found(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "NOT_FOUND", detail)
    }

    /// The token of an alert is not tracked.
    pub(super) fn unknown_token(detail: impl Into<Cow<'static, str>>) -> Self {
        Self {
            parameter: Some("token".into()),
            ..Self::new(StatusCode::NOT_FOUND, "UNKNOWN_TOKEN", detail)
        }
    }

    /// The chain of `?chain=` is not indexed here.
    pub(super) fn unknown_chain(detail: impl Into<Cow<'static, str>>) -> Self {
        Self {
            parameter: Some("chain".into()),
            ..Self::new(StatusCode::NOT_FOUND, "UNKNOWN_CHAIN", detail)
        }
    }

    pub(super) fn unknown_channel(detail: impl Into<Cow<'static, str>>) -> Self {
        Self {
            parameter: Some("channel".into()),
            ..Self::new(StatusCode::NOT_FOUND, "UNKNOWN_CHANNEL", detail)
        }
    }

    /// The resource exists but access is denied.
    pub(super) fn forbidden(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "FORBIDDEN", detail)
    }

    /// The requested updates are no longer stored, or belong to another epoch.
    pub(super) fn gone(
        parameter: &'static str,
        detail: impl Into<Cow<'static, str>>,
        oldest: u64,
        newest: u64,
    ) -> Self {
        Self {
            parameter: Some(parameter.into()),
            history: Some((oldest, newest)),
            ..Self::new(StatusCode::GONE, "GONE", detail)
        }
    }

    pub(super) fn internal() -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "INTERNAL",
            "internal server error; the server's log states the cause",
        )
    }

    pub(super) fn unavailable() -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "UNAVAILABLE",
            "the database is not available; try again shortly",
        )
    }

    pub(super) fn timed_out(limit: Duration) -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "UNAVAILABLE",
            format!(
                "the request took longer than {} ms; request less data at once, or try again",
                limit.as_millis()
            ),
        )
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        if error.is_outage() {
            tracing::warn!(%error, "cannot serve a request: the database is not available");
            Self::unavailable()
        } else {
            tracing::error!(%error, "a request failed");
            Self::internal()
        }
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
        let mut response = (self.status, axum::Json(document)).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
        if let Some(seconds) = self.retry_after_s {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        } else if self.status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(RETRY_AFTER, RETRY_AFTER_S);
        }
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

/// Problem responses of any request, for the OpenAPI description.
pub(super) struct Problems;

impl utoipa::IntoResponses for Problems {
    fn responses() -> BTreeMap<String, RefOr<utoipa::openapi::Response>> {
        [
            (
                "400",
                "Invalid request (`BAD_REQUEST`); `parameter` names the wrong parameter",
            ),
            (
                "404",
                "Not found (`NOT_FOUND`, `UNKNOWN_CHAIN`, `UNKNOWN_CHANNEL`)",
            ),
            ("500", "Internal server error (`INTERNAL`)"),
            (
                "503",
                "The database is not available, or did not answer in time (`UNAVAILABLE`)",
            ),
        ]
        .map(|(status, description)| (status.to_owned(), problem_response(description)))
        .into()
    }
}

/// A problem response for the OpenAPI description.
pub(super) fn problem_response(description: &str) -> RefOr<utoipa::openapi::Response> {
    let content = ContentBuilder::new()
        .schema(Some(Ref::from_schema_name("Problem")))
        .build();
    ResponseBuilder::new()
        .description(description)
        .content(PROBLEM_JSON, content)
        .build()
        .into()
}

/// Fallback for unknown paths under `/api`.
pub(super) async fn unknown_path(request: Request) -> Problem {
    Problem::not_found(format!(
        "there is no resource at {}; /api-docs lists the available ones",
        shortened(request.uri().path())
    ))
}

/// Fallback for methods that a path does not support; axum adds `Allow`.
pub(super) async fn method_not_allowed(request: Request) -> Problem {
    Problem::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "METHOD_NOT_ALLOWED",
        format!(
            "{} is not allowed on {}; see the Allow header",
            shortened(request.method().as_str()),
            shortened(request.uri().path())
        ),
    )
}

/// A client's text, shortened to be repeated in an error.
pub(super) fn shortened(text: &str) -> String {
    const LONGEST: usize = 100;
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
