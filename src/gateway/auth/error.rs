//! What can be wrong with a token, or with the configuration that checks them.

use jsonwebtoken::errors::{Error as JwtError, ErrorKind};

/// Texts are fit for the client that sent the token; [`AuthError::Config`] and [`AuthError::Keys`] are for the
/// operator.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    #[error("gateway.auth.{key}: {reason}")]
    Config { key: &'static str, reason: String },
    #[error("gateway.auth.{key}: the key set at {place} cannot be used: {reason}")]
    Keys {
        key: &'static str,
        /// Path, or URL without what may be secret.
        place: String,
        reason: String,
    },
    /// Not the token's fault: what it has to be checked with cannot be fetched now.
    #[error("The keys that tokens are checked with cannot be fetched now; try again")]
    Unavailable,
    #[error("A token is required")]
    Missing,
    #[error("This server does not look at tokens")]
    Off,
    #[error("This server has no key configured to check tokens with")]
    NoKey,
    #[error("The token is longer than {max} bytes", max = super::MAX_TOKEN_BYTES)]
    TooLong,
    #[error("The token is not a JSON Web Token, or one of its claims has the wrong type")]
    Malformed,
    #[error("The token is signed with another algorithm than this server accepts")]
    Algorithm,
    #[error("The token demands an extension that is not known here")]
    Critical,
    #[error("The token names a key that is not known here")]
    UnknownKey,
    #[error("The token's signature does not verify")]
    Signature,
    #[error("The token has expired")]
    Expired,
    #[error("The token is not valid yet")]
    NotYet,
    #[error("The token lacks a usable claim {0:?}")]
    Claim(String),
    #[error("The token was issued by somebody else than this server accepts")]
    Issuer,
    #[error("The token is meant for another audience")]
    Audience,
}

impl AuthError {
    pub(super) fn config(key: &'static str, reason: impl Into<String>) -> Self {
        Self::Config {
            key,
            reason: reason.into(),
        }
    }

    /// Whether the token was good once: a client then fetches a new one instead of giving up.
    pub fn is_expired(&self) -> bool {
        matches!(self, Self::Expired)
    }
}

impl From<JwtError> for AuthError {
    fn from(error: JwtError) -> Self {
        match error.kind() {
            ErrorKind::ExpiredSignature => Self::Expired,
            ErrorKind::ImmatureSignature => Self::NotYet,
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
