//! What the application provides to authenticate requests.

use axum::http::HeaderMap;
use futures_util::future::BoxFuture;

use super::{code::Code, error::Problem};

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
