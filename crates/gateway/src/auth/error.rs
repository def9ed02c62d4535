//! Errors of JWTs and of the authentication configuration.

use chaincast_protocol::{ErrorCode, Refusal};
use jsonwebtoken::errors::{Error as JwtError, ErrorKind};

/// Maximum length of a JWT, in bytes.
pub(crate) const MAX_TOKEN_BYTES: usize = 8_192;

/// Why a JWT, or the configuration of JWTs, is rejected.
///
/// Messages are for the client that sent the JWT, except [`AuthError::Config`] and [`AuthError::Keys`], which are for
/// the operator.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    /// A key of `[gateway.auth]` is invalid, or does not fit the others.
    #[error("gateway.auth.{key}: {reason}")]
    Config {
        /// The name of the key, such as `secret`.
        key: &'static str,
        /// What is wrong, without key material.
        reason: String,
    },
    /// A key set cannot be fetched or parsed, or has no usable key.
    #[error("gateway.auth.{key}: cannot use the key set at {place}: {reason}")]
    Keys {
        /// `jwks_file` or `jwks_url`.
        key: &'static str,
        /// The path, or the URL without secrets.
        place: String,
        /// What is wrong, without key material.
        reason: String,
    },
    /// Not the fault of the JWT: the key set cannot be fetched now.
    #[error("The keys to verify JWTs cannot be fetched now; try again")]
    Unavailable,
    /// There is no JWT where one is required.
    #[error("A JWT is required")]
    Missing,
    /// The mode is `off`: no JWT is accepted.
    #[error("This server does not accept JWTs (auth mode off)")]
    Off,
    /// No key is configured: no JWT can be verified.
    #[error("This server has no key to verify JWTs")]
    NoKey,
    /// The JWT is longer than 8192 bytes; it was not read.
    #[error("The JWT is longer than {max} bytes", max = MAX_TOKEN_BYTES)]
    TooLong,
    /// The token is not a JWT of RFC 7519, or a claim has the wrong type.
    #[error("The token is not a JWT, or one of its claims has the wrong type")]
    Malformed,
    /// `alg` is not the configured algorithm.
    #[error("The JWT is signed with an algorithm that this server does not accept")]
    Algorithm,
    /// The header has `crit` (RFC 7515 section 4.1.11); no extension is supported.
    #[error("The JWT requires a critical extension that this server does not support")]
    Critical,
    /// The key set has no key for this JWT: none with its `kid`.
    #[error("The JWT names an unknown key")]
    UnknownKey,
    /// The signature was not made with the key, or is malformed.
    #[error("The signature of the JWT is not valid")]
    Signature,
    /// `exp` has passed.
    #[error("The JWT has expired")]
    Expired,
    /// `nbf` has not come.
    #[error("The JWT is not valid yet")]
    NotYetValid,
    /// The name of a required claim that is missing or not allowed.
    #[error("The JWT has no valid claim {0:?}")]
    Claim(String),
    /// `iss` is not the configured one.
    #[error("The JWT has an issuer that this server does not accept")]
    Issuer,
    /// `aud` does not contain the configured one.
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
