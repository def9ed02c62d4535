//! Errors of JWTs and of the authentication configuration.

use chaincast_protocol::{ErrorCode, Refusal};
use jsonwebtoken::errors::{Error as JwtError, ErrorKind};

/// Maximum length of a JWT, in bytes.
pub const MAX_TOKEN_BYTES: usize = 8_192;

/// Messages are for the client that sent the JWT, except [`AuthError::Config`] and [`AuthError::Keys`], which are for
/// the operator.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    #[error("gateway.auth.{key}: {reason}")]
    Config { key: &'static str, reason: String },
    #[error("gateway.auth.{key}: cannot use the key set at {place}: {reason}")]
    Keys {
        key: &'static str,
        /// The path, or the URL without secrets.
        place: String,
        reason: String,
    },
    /// Not the fault of the JWT: the key set cannot be fetched now.
    #[error("The keys to verify JWTs cannot be fetched now; try again")]
    Unavailable,
    #[error("A JWT is required")]
    Missing,
    #[error("This server does not accept JWTs (auth mode off)")]
    Off,
    #[error("This server has no key to verify JWTs")]
    NoKey,
    #[error("The JWT is longer than {max} bytes", max = MAX_TOKEN_BYTES)]
    TooLong,
    #[error("The token is not a JWT, or one of its claims has the wrong type")]
    Malformed,
    #[error("The JWT is signed with an algorithm that this server does not accept")]
    Algorithm,
    #[error("The JWT requires a critical extension that this server does not support")]
    Critical,
    #[error("The JWT names an unknown key")]
    UnknownKey,
    #[error("The signature of the JWT is not valid")]
    Signature,
    #[error("The JWT has expired")]
    Expired,
    #[error("The JWT is not valid yet")]
    NotYetValid,
    #[error("The JWT has no valid claim {0:?}")]
    Claim(String),
    #[error("The JWT has an issuer that this server does not accept")]
    Issuer,
    #[error("The JWT is for a different audience")]
    Audience,
}

impl AuthError {
    pub(super) fn config(key: &'static str, reason: impl Into<String>) -> Self {
        Self::Config {
            key,
            reason: reason.into(),
        }
    }

    /// Whether the JWT has expired: the client then fetches a new one instead of giving up.
    pub fn is_expired(&self) -> bool {
        matches!(self, Self::Expired)
    }
}

impl From<JwtError> for AuthError {
    fn from(error: JwtError) -> Self {
        match error.kind() {
            ErrorKind::ExpiredSignature => Self::Expired,
            ErrorKind::ImmatureSignature => Self::NotYetValid,
            ErrorKind::InvalidIssuer => Self::Issuer,
            ErrorKind::InvalidAudience => Self::Audience,
            ErrorKind::InvalidAlgorithm
            | ErrorKind::InvalidAlgorithmName
            | ErrorKind::UnsupportedAlgorithm => Self::Algorithm,
            ErrorKind::MissingRequiredClaim(claim) | ErrorKind::InvalidClaimFormat(claim) => {
                Self::Claim(claim.clone())
            }
            ErrorKind::InvalidSignature
            | ErrorKind::InvalidKeyFormat
            | ErrorKind::InvalidEcdsaKey
            | ErrorKind::InvalidEddsaKey
            | ErrorKind::InvalidRsaKey(_) => Self::Signature,
            _ => Self::Malformed,
        }
    }
}

/// The error for a client whose JWT was refused.
impl From<&AuthError> for Refusal {
    fn from(error: &AuthError) -> Self {
        let code = match error {
            AuthError::Expired => ErrorCode::TokenExpired,
            AuthError::Unavailable => ErrorCode::Internal,
            _ => ErrorCode::Unauthorized,
        };
        Self::new(code, error.to_string())
    }
}
