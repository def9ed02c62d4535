//! Authentication: the client of a request.

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, request::Parts},
};
use utoipa::{
    Modify,
    openapi::{
        OpenApi, RefOr,
        security::{HttpAuthScheme, HttpBuilder, SecurityScheme},
    },
};

use super::{
    ApiState,
    error::{Problem, problem_response},
    token_verifier::Client,
};

/// The authenticated client.
pub(super) struct Authenticated(pub Box<dyn Client>);

/// The authenticated subject.
pub(super) struct Subject(pub String);

impl FromRequestParts<Arc<ApiState>> for Authenticated {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &Arc<ApiState>) -> Result<Self, Problem> {
        state.authenticate(&parts.headers).await.map(Self)
    }
}

impl FromRequestParts<Arc<ApiState>> for Subject {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &Arc<ApiState>) -> Result<Self, Problem> {
        let client = state.authenticate(&parts.headers).await?;
        Ok(Self(client.subject().to_owned()))
    }
}

impl ApiState {
    /// The client with the JWT of a request.
    pub(super) async fn authenticate(
        &self,
        headers: &HeaderMap,
    ) -> Result<Box<dyn Client>, Problem> {
        match &self.verifier {
            Some(verifier) => Ok(verifier.client(headers).await?),
            None => Err(Problem::forbidden(
                "authentication is disabled on this server",
            )),
        }
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
                "The JWT does not allow it, or authentication is disabled on this server (`FORBIDDEN`)",
            ),
        ]
        .map(|(status, description)| (status.to_owned(), problem_response(description)))
        .into()
    }
}
