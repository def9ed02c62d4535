//! Authentication: the subject of a request.

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, request::Parts},
};
use futures_util::future::BoxFuture;
use utoipa::{
    Modify,
    openapi::{
        OpenApi, RefOr,
        security::{HttpAuthScheme, HttpBuilder, SecurityScheme},
    },
};

use super::{
    ApiState,
    code::Code,
    error::{Problem, problem_response},
};

/// Verifies the JWT of a request. The application provides the gateway's verifier: this module does not know tokens.
pub trait TokenVerifier: Send + Sync {
    /// The subject of the JWT in the header `Authorization: Bearer` (RFC 6750).
    fn subject<'a>(&'a self, headers: &'a HeaderMap)
    -> BoxFuture<'a, Result<String, TokenRefused>>;
}

/// Why a request is not authenticated. Texts are shown to the client.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenRefused {
    /// The JWT is missing or invalid.
    #[error("{0}")]
    Invalid(String),
    /// The JWT has expired.
    #[error("{0}")]
    Expired(String),
    /// Authentication is disabled on this server.
    #[error("{0}")]
    Disabled(String),
    /// The JWT cannot be verified now.
    #[error("{0}")]
    Unavailable(String),
}

impl From<TokenRefused> for Problem {
    fn from(refused: TokenRefused) -> Self {
        match refused {
            TokenRefused::Invalid(detail) => Self::unauthorized(Code::Unauthorized, detail),
            TokenRefused::Expired(detail) => Self::unauthorized(Code::TokenExpired, detail),
            TokenRefused::Disabled(detail) => Self::forbidden(detail),
            TokenRefused::Unavailable(detail) => Self::keys_unavailable(detail),
        }
    }
}

/// The authenticated subject.
pub(super) struct Subject(pub String);

impl FromRequestParts<Arc<ApiState>> for Subject {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &Arc<ApiState>) -> Result<Self, Problem> {
        let Some(verifier) = &state.verifier else {
            return Err(Problem::forbidden(
                "authentication is disabled on this server",
            ));
        };
        Ok(Self(verifier.subject(&parts.headers).await?))
    }
}

/// The `bearer` security scheme, for the OpenAPI description.
pub(super) struct BearerScheme;

impl Modify for BearerScheme {
    fn modify(&self, openapi: &mut OpenApi) {
        let scheme = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .bearer_format("JWT")
            .build();
        openapi
            .components
            .get_or_insert_default()
            .add_security_scheme("bearer", SecurityScheme::Http(scheme));
    }
}

/// Problem responses of authenticated requests, for the OpenAPI description.
pub(super) struct AuthProblems;

impl utoipa::IntoResponses for AuthProblems {
    fn responses() -> BTreeMap<String, RefOr<utoipa::openapi::Response>> {
        [
            (
                "401",
                "The JWT is missing, invalid or expired (`UNAUTHORIZED`, `TOKEN_EXPIRED`)",
            ),
            (
                "403",
                "Authentication is disabled on this server (`FORBIDDEN`)",
            ),
        ]
        .map(|(status, description)| (status.to_owned(), problem_response(description)))
        .into()
    }
}
