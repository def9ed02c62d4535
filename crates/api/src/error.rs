//! What the problem documents of REST say. The cause of an internal error is logged here, once, and never sent to the client.

use std::{borrow::Cow, collections::BTreeMap, time::Duration};

use axum::{
    extract::Request,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use utoipa::openapi::{ContentBuilder, Ref, RefOr, ResponseBuilder};

use super::code::Code;
pub(super) use chaincast_http::problem::ProblemDocument;
use chaincast_http::problem::{self, PROBLEM_JSON};
use chaincast_store::StoreError;

/// The problem of a REST request, with a [`Code`].
#[derive(Debug, Clone)]
pub(super) struct Problem(problem::Problem);

impl Problem {
    fn of(status: StatusCode, code: Code, detail: impl Into<Cow<'static, str>>) -> Self {
        Self(problem::Problem::new(status, code.as_str(), detail))
    }

    fn with_parameter(self, name: impl Into<Cow<'static, str>>) -> Self {
        Self(self.0.with_parameter(name))
    }

    /// An invalid parameter.
    pub(super) fn bad_parameter(
        name: impl Into<Cow<'static, str>>,
        detail: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self::of(StatusCode::BAD_REQUEST, Code::BadRequest, detail).with_parameter(name)
    }

    /// An invalid body field or header, with a specific code.
    pub(super) fn invalid(
        code: Code,
        name: &'static str,
        detail: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self::of(StatusCode::BAD_REQUEST, code, detail).with_parameter(name)
    }

    /// The JWT is missing, invalid or expired: `UNAUTHORIZED` or `TOKEN_EXPIRED`.
    pub(super) fn unauthorized(code: Code, detail: impl Into<Cow<'static, str>>) -> Self {
        Self::of(StatusCode::UNAUTHORIZED, code, detail)
    }

    /// A conflict with the current state.
    pub(super) fn conflict(code: Code, detail: impl Into<Cow<'static, str>>) -> Self {
        Self::of(StatusCode::CONFLICT, code, detail)
    }

    /// The body is longer than `most` bytes.
    pub(super) fn too_large(most: usize) -> Self {
        Self::of(
            StatusCode::PAYLOAD_TOO_LARGE,
            Code::PayloadTooLarge,
            format!("the body may have at most {most} bytes"),
        )
    }

    /// A part of the body is longer than allowed.
    pub(super) fn payload_too_large(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::of(StatusCode::PAYLOAD_TOO_LARGE, Code::PayloadTooLarge, detail)
    }

    /// The user's rate limit is reached.
    pub(super) fn rate_limited(retry_after_ms: u64, detail: impl Into<Cow<'static, str>>) -> Self {
        let problem = Self::of(StatusCode::TOO_MANY_REQUESTS, Code::RateLimited, detail);
        Self(problem.0.with_retry_after_ms(retry_after_ms))
    }

    /// A limit of all users together is reached.
    pub(super) fn limit_reached(code: Code, detail: impl Into<Cow<'static, str>>) -> Self {
        Self::of(StatusCode::SERVICE_UNAVAILABLE, code, detail)
    }

    /// The keys to verify JWTs are not available.
    pub(super) fn keys_unavailable(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::of(StatusCode::SERVICE_UNAVAILABLE, Code::Unavailable, detail)
    }

    /// A request that cannot be parsed.
    pub(super) fn bad_request(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::of(StatusCode::BAD_REQUEST, Code::BadRequest, detail)
    }

    pub(super) fn not_found(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::of(StatusCode::NOT_FOUND, Code::NotFound, detail)
    }

    /// The token of an alert is not tracked.
    pub(super) fn unknown_token(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::of(StatusCode::NOT_FOUND, Code::UnknownToken, detail).with_parameter("token")
    }

    /// The chain of `?chain=` is not indexed here.
    pub(super) fn unknown_chain(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::of(StatusCode::NOT_FOUND, Code::UnknownChain, detail).with_parameter("chain")
    }

    pub(super) fn unknown_channel(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::of(StatusCode::NOT_FOUND, Code::UnknownChannel, detail).with_parameter("channel")
    }

    /// The resource exists but access is denied.
    pub(super) fn forbidden(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::of(StatusCode::FORBIDDEN, Code::Forbidden, detail)
    }

    /// The requested updates are no longer stored, or belong to another epoch.
    pub(super) fn gone(
        parameter: &'static str,
        detail: impl Into<Cow<'static, str>>,
        oldest: u64,
        newest: u64,
    ) -> Self {
        let problem = Self::of(StatusCode::GONE, Code::Gone, detail).with_parameter(parameter);
        Self(problem.0.with_history(oldest, newest))
    }

    pub(super) fn internal() -> Self {
        Self::of(
            StatusCode::INTERNAL_SERVER_ERROR,
            Code::Internal,
            "internal server error; the server's log states the cause",
        )
    }

    pub(super) fn unavailable() -> Self {
        Self::of(
            StatusCode::SERVICE_UNAVAILABLE,
            Code::Unavailable,
            "the database is not available; try again shortly",
        )
    }

    /// Nobody knows whether the request was carried out.
    pub(super) fn unknown_outcome(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::of(StatusCode::SERVICE_UNAVAILABLE, Code::Unavailable, detail)
    }

    pub(super) fn timed_out(limit: Duration) -> Self {
        Self::of(
            StatusCode::SERVICE_UNAVAILABLE,
            Code::Unavailable,
            format!(
                "the request took longer than {} ms; request less data at once, or try again",
                limit.as_millis()
            ),
        )
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        self.0.into_response()
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
    Problem::of(
        StatusCode::METHOD_NOT_ALLOWED,
        Code::MethodNotAllowed,
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
