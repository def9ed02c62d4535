//! What the application provides to authenticate requests.

use axum::http::HeaderMap;
use chaincast_protocol::Channel;
use chaincast_rooms::{JoinRule, PublishRule};
use futures_util::future::BoxFuture;

use super::{code::Code, error::Problem};

/// Verifies the JWT of a request. The application provides the gateway's verifier: this module does not know tokens.
pub trait TokenVerifier: Send + Sync {
    /// The client with the JWT in the header `Authorization: Bearer` (RFC 6750).
    fn client<'a>(
        &'a self,
        headers: &'a HeaderMap,
    ) -> BoxFuture<'a, Result<Box<dyn Client>, TokenRefused>>;
}

/// An authenticated client and its rights.
pub trait Client: Send + Sync {
    /// The subject of its JWT.
    fn subject(&self) -> &str;

    /// Whether it may join a room with this rule.
    fn can_join(&self, room: &Channel, rule: JoinRule) -> bool;

    /// Whether it may publish over REST at all.
    fn is_publisher(&self) -> bool;

    /// Whether it may publish to a channel; `rule` is that of the room, if it is one.
    fn can_publish(&self, channel: &Channel, rule: Option<PublishRule>) -> bool;

    /// Whether it may redact messages and disconnect users.
    fn is_moderator(&self) -> bool;
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
