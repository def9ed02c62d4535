//! Whose request it is, for what belongs to a subject.

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
    error::{Problem, described},
};

/// Tells whose token a request carries. The application gives the one that the gateway uses: this module knows none.
pub trait TokenVerifier: Send + Sync {
    /// The subject of the token in the header `Authorization: Bearer` (RFC 6750).
    fn subject<'a>(&'a self, headers: &'a HeaderMap)
    -> BoxFuture<'a, Result<String, TokenRefused>>;
}

/// Why nobody is taken to ask. Texts are for the client.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenRefused {
    /// There is no token, or it is not good.
    #[error("{0}")]
    Invalid(String),
    /// It was good once.
    #[error("{0}")]
    Expired(String),
    /// No token would help: this server checks none.
    #[error("{0}")]
    Closed(String),
    /// It cannot be checked now.
    #[error("{0}")]
    Unavailable(String),
}

impl From<TokenRefused> for Problem {
    fn from(refused: TokenRefused) -> Self {
        match refused {
            TokenRefused::Invalid(detail) => Self::unauthorized("UNAUTHORIZED", detail),
            TokenRefused::Expired(detail) => Self::unauthorized("TOKEN_EXPIRED", detail),
            TokenRefused::Closed(detail) => Self::forbidden(detail),
            TokenRefused::Unavailable(detail) => Self::keyless(detail),
        }
    }
}

/// Who asks.
pub(super) struct Subject(pub String);

impl FromRequestParts<Arc<ApiState>> for Subject {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &Arc<ApiState>) -> Result<Self, Problem> {
        let Some(verifier) = &state.verifier else {
            return Err(Problem::forbidden("this server does not look at tokens"));
        };
        Ok(Self(verifier.subject(&parts.headers).await?))
    }
}

/// The scheme that `security` names, for the OpenAPI description.
pub(super) struct Bearer;

impl Modify for Bearer {
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

/// The problems of requests that belong to a subject, for the OpenAPI description.
pub(super) struct Refusals;

impl utoipa::IntoResponses for Refusals {
    fn responses() -> BTreeMap<String, RefOr<utoipa::openapi::Response>> {
        [
            (
                "401",
                "A token is needed, or the one given is not good (`UNAUTHORIZED`, `TOKEN_EXPIRED`)",
            ),
            ("403", "This server looks at no tokens (`FORBIDDEN`)"),
        ]
        .map(|(status, description)| (status.to_owned(), described(description)))
        .into()
    }
}
