//! Mints JWTs with the configured secret, for development and for services without an issuer.

use std::time::Duration;

use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde::Serialize;

use super::{
    error::AuthError,
    keys::{algorithm, secret},
};
use crate::config::AuthConfig;
use chaincast_protocol::now_ms;

/// The claims of a JWT to mint.
#[derive(Debug, Clone, Default)]
pub struct TokenRequest {
    /// The subject, at least one character.
    pub sub: String,
    /// The claim `role`; `None` for none.
    pub role: Option<String>,
    /// Channel patterns; `None` for every public channel.
    pub channels: Option<Vec<String>>,
    /// Patterns of the channels that may be published to; `None` for the rooms that are open to all subjects.
    pub publish: Option<Vec<String>>,
    /// Lifetime of the JWT.
    pub ttl: Duration,
}

/// A JWT for `request`, signed with `gateway.auth.secret`. Only for HS256: for other algorithms only the issuer has the
/// private key.
pub fn mint(config: &AuthConfig, request: &TokenRequest) -> Result<String, AuthError> {
    #[derive(Serialize)]
    struct Claims<'a> {
        sub: &'a str,
        iat: u64,
        exp: u64,
        #[serde(skip_serializing_if = "Option::is_none")]
        iss: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        aud: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        role: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        channels: Option<&'a [String]>,
        #[serde(skip_serializing_if = "Option::is_none")]
        publish: Option<&'a [String]>,
    }
    let algorithm = algorithm(config)?;
    if algorithm != Algorithm::HS256 {
        return Err(AuthError::config(
            "algorithm",
            format!(
                "JWTs are minted for HS256 only; for {algorithm:?} use the issuer that holds the private key"
            ),
        ));
    }
    if request.sub.is_empty() {
        return Err(AuthError::Claim("sub".to_owned()));
    }
    let now = now_ms().unsigned_abs() / 1_000;
    let claims = Claims {
        sub: &request.sub,
        iat: now,
        exp: now.saturating_add(request.ttl.as_secs()),
        iss: config.issuer.as_deref(),
        aud: config.audience.as_deref(),
        role: request.role.as_deref(),
        channels: request.channels.as_deref(),
        publish: request.publish.as_deref(),
    };
    let key = EncodingKey::from_secret(secret(config)?);
    encode(&Header::new(algorithm), &claims, &key).map_err(AuthError::from)
}
