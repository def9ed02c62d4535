//! Problem documents (RFC 9457): what a client is told. The cause is logged here, once, and never told.

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

/// An error answer, `application/problem+json`.
#[derive(Debug, Serialize, ToSchema)]
#[schema(
    as = Problem,
    examples(json!({
        "type": "about:blank", "title": "Bad Request", "status": 400, "code": "BAD_REQUEST",
        "detail": "limit must be 1 to 1000, not 5000", "parameter": "limit"
    }))
)]
pub(super) struct ProblemDocument {
    /// Always `about:blank`: `code` tells problems apart.
    r#type: &'static str,
    /// What the HTTP status means.
    title: &'static str,
    /// The HTTP status.
    status: u16,
    /// Stable: what programs should look at.
    code: &'static str,
    /// For people: what was wrong and what to do.
    detail: Cow<'static, str>,
    /// The path or query parameter, header or field of the body that was wrong.
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

/// Why a request gets no answer.
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
/// How soon to ask again when the database was away, in seconds.
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

    /// A parameter that is not what it must be.
    pub(super) fn bad_parameter(
        name: impl Into<Cow<'static, str>>,
        detail: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self {
            parameter: Some(name.into()),
            ..Self::new(StatusCode::BAD_REQUEST, "BAD_REQUEST", detail)
        }
    }

    /// A field of the body, or a header, that is not what it must be, with a code of its own.
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

    /// The token is missing or not good: `UNAUTHORIZED` or `TOKEN_EXPIRED`.
    pub(super) fn unauthorized(code: &'static str, detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, code, detail)
    }

    /// What stands already does not allow it.
    pub(super) fn conflict(code: &'static str, detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::CONFLICT, code, detail)
    }

    /// The body is longer than `most` bytes.
    pub(super) fn too_large(most: usize) -> Self {
        Self::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "PAYLOAD_TOO_LARGE",
            format!("the body may have {most} bytes"),
        )
    }

    /// The user asked too often.
    pub(super) fn rate_limited(retry_after_ms: u64, detail: impl Into<Cow<'static, str>>) -> Self {
        Self {
            retry_after_s: Some(retry_after_ms.div_ceil(1_000)),
            ..Self::new(StatusCode::TOO_MANY_REQUESTS, "RATE_LIMITED", detail)
        }
    }

    /// There is no room for more, whoever asks.
    pub(super) fn full(code: &'static str, detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, code, detail)
    }

    /// The keys that tokens are checked with are not there.
    pub(super) fn keyless(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "UNAVAILABLE", detail)
    }

    /// The request as a whole cannot be read.
    pub(super) fn bad_request(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "BAD_REQUEST", detail)
    }

    pub(super) fn not_found(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "NOT_FOUND", detail)
    }

    /// The token of an alert is not tracked here.
    pub(super) fn unknown_token(detail: impl Into<Cow<'static, str>>) -> Self {
        Self {
            parameter: Some("token".into()),
            ..Self::new(StatusCode::NOT_FOUND, "UNKNOWN_TOKEN", detail)
        }
    }

    /// `?chain=` names a chain that is not indexed here.
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

    /// The stream exists but is private.
    pub(super) fn forbidden(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "FORBIDDEN", detail)
    }

    /// Updates asked for are not stored any more, or belong to another epoch.
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
            "the request failed for a reason of the server's own; it is in its log",
        )
    }

    pub(super) fn unavailable() -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "UNAVAILABLE",
            "the database does not answer at the moment; try again shortly",
        )
    }

    pub(super) fn too_slow(limit: Duration) -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "UNAVAILABLE",
            format!(
                "no answer within {} ms; ask for less at once, or try again",
                limit.as_millis()
            ),
        )
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        if error.is_outage() {
            tracing::warn!(%error, "a request found no database");
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

/// The problems that any request may end in, for the OpenAPI description.
pub(super) struct Problems;

impl utoipa::IntoResponses for Problems {
    fn responses() -> BTreeMap<String, RefOr<utoipa::openapi::Response>> {
        [
            (
                "400",
                "A parameter is wrong (`BAD_REQUEST`); `parameter` names it",
            ),
            (
                "404",
                "There is no such thing here (`NOT_FOUND`, `UNKNOWN_CHAIN`, `UNKNOWN_CHANNEL`)",
            ),
            ("500", "The server failed (`INTERNAL`)"),
            (
                "503",
                "The database does not answer at the moment, or not in time (`UNAVAILABLE`)",
            ),
        ]
        .map(|(status, description)| (status.to_owned(), described(description)))
        .into()
    }
}

/// A problem response for the OpenAPI description.
pub(super) fn described(description: &str) -> RefOr<utoipa::openapi::Response> {
    let content = ContentBuilder::new()
        .schema(Some(Ref::from_schema_name("Problem")))
        .build();
    ResponseBuilder::new()
        .description(description)
        .content(PROBLEM_JSON, content)
        .build()
        .into()
}

/// Answers for paths under `/api` that nobody has.
pub(super) async fn unknown_path(request: Request) -> Problem {
    Problem::not_found(format!(
        "there is nothing at {}; /api-docs lists what there is",
        shortened(request.uri().path())
    ))
}

/// Answers for methods that a path does not have; axum adds `Allow`.
pub(super) async fn wrong_method(request: Request) -> Problem {
    Problem::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "METHOD_NOT_ALLOWED",
        format!(
            "{} cannot be used on {}; see the header Allow",
            shortened(request.method().as_str()),
            shortened(request.uri().path())
        ),
    )
}

/// What a client sent, short enough to be told back.
pub(super) fn shortened(text: &str) -> String {
    const LONGEST: usize = 100;
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
