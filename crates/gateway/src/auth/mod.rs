//! Authentication of clients: verifies JSON Web Tokens (RFC 7519) with the configured algorithm and key.
//!
//! A JWT is valid when `alg` is the configured algorithm, the signature verifies, `exp` is present and in the future,
//! `nbf` is not in the future, `sub` is present, and `iss` and `aud` match the configuration where set. Clients receive
//! the reason for a rejected JWT; errors never contain key material.

mod claims;
mod error;
mod identity;
mod jwks;
mod key_file;
mod keys;
mod mint;

pub use error::AuthError;
pub(crate) use error::MAX_TOKEN_BYTES;
pub use identity::Identity;
pub use mint::{TokenRequest, mint};

use std::time::Duration;

use axum::http::{HeaderMap, header::AUTHORIZATION};
use jsonwebtoken::{DecodingKey, Validation, decode, decode_header};

use self::{
    claims::Claims,
    keys::{KeySource, algorithm},
};
use crate::config::{AuthConfig, AuthMode};
use chaincast_base::{retry::Backoff, settings::Problems};
use chaincast_protocol::now_ms;

/// Maximum number of keys tried for a JWT without `kid`.
const MAX_TRIED_KEYS: usize = 8;
/// Delay after the first failed fetch of the key set; doubled after each failure up to `MAX_RETRY_DELAY`.
const FIRST_RETRY_DELAY: Duration = Duration::from_secs(1);
const MAX_RETRY_DELAY: Duration = Duration::from_secs(30);
/// Maximum configurable clock difference, in seconds.
const MAX_LEEWAY_SECS: u64 = 3_600;

/// The keys of `[gateway.auth]` that select the key of JWTs; they are checked together.
const KEYS_OF_KEYS: [&str; 6] = [
    "mode",
    "algorithm",
    "secret",
    "public_key_file",
    "jwks_file",
    "jwks_url",
];

/// Verifies JWTs according to `[gateway.auth]`.
pub struct Authenticator {
    mode: AuthMode,
    validation: Validation,
    keys: KeySource,
}

impl AuthConfig {
    /// Checks what no key shows by itself, and the key file.
    pub fn check(&self, problems: &mut Problems) {
        let is_reported = |key: &&str| problems.is_reported(&format!("gateway.auth.{key}"));
        if KEYS_OF_KEYS.iter().any(is_reported) {
            return;
        }
        match Authenticator::new(self) {
            Ok(_) => {}
            Err(AuthError::Config { key, reason }) => {
                problems.add(format!("gateway.auth.{key}"), reason);
            }
            Err(error) => {
                let text = error.to_string();
                let (key, message) = text.split_once(": ").unwrap_or(("gateway.auth", &text));
                problems.add(key, message);
            }
        }
    }
}

impl Authenticator {
    /// Reads the key or the key file. [`Authenticator::load`] fetches a key set at a URL.
    pub fn new(config: &AuthConfig) -> Result<Self, AuthError> {
        let algorithm = algorithm(config)?;
        if config.leeway_secs > MAX_LEEWAY_SECS {
            return Err(AuthError::config(
                "leeway_secs",
                format!(
                    "{} is more than {MAX_LEEWAY_SECS} seconds",
                    config.leeway_secs
                ),
            ));
        }
        let keys = match config.mode {
            AuthMode::Off => KeySource::None,
            AuthMode::Optional | AuthMode::Required => KeySource::open(config, algorithm)?,
        };
        if config.mode == AuthMode::Required && matches!(keys, KeySource::None) {
            return Err(AuthError::config(
                "mode",
                "required needs a key: set secret, public_key_file, jwks_file or jwks_url",
            ));
        }
        let mut validation = Validation::new(algorithm);
        let mut required = vec!["exp", "sub"];
        validation.leeway = config.leeway_secs;
        validation.validate_nbf = true;
        validation.validate_aud = config.audience.is_some();
        if let Some(issuer) = &config.issuer {
            validation.set_issuer(&[issuer]);
            required.push("iss");
        }
        if let Some(audience) = &config.audience {
            validation.set_audience(&[audience]);
            required.push("aud");
        }
        validation.set_required_spec_claims(&required);
        Ok(Self {
            mode: config.mode,
            validation,
            keys,
        })
    }

    /// Fetches the key set if it is at a URL. Call it once before serving.
    pub async fn load(&self) -> Result<(), AuthError> {
        match &self.keys {
            KeySource::Set(set) => set.load().await,
            KeySource::None | KeySource::One(_) => Ok(()),
        }
    }

    /// Fetches the key set until a fetch succeeds, with a delay of 1 s that doubles up to 30 s.
    pub async fn retry_load(&self) {
        let mut backoff = Backoff::exact(FIRST_RETRY_DELAY, MAX_RETRY_DELAY);
        loop {
            tokio::time::sleep(backoff.next_delay()).await;
            match self.load().await {
                Ok(()) => return tracing::info!("fetched the key set"),
                Err(error) => tracing::warn!(%error, "cannot fetch the key set; retrying"),
            }
        }
    }

    /// The identity of a client that connects with this JWT. An empty JWT counts as none. `None` is an anonymous client,
    /// if the mode allows it.
    pub(crate) async fn identify(
        &self,
        token: Option<&str>,
    ) -> Result<Option<Identity>, AuthError> {
        match (self.mode, token.filter(|token| !token.is_empty())) {
            (AuthMode::Off, _) | (AuthMode::Optional, None) => Ok(None),
            (AuthMode::Required, None) => Err(AuthError::Missing),
            (_, Some(token)) => self.verify(token).await.map(Some),
        }
    }

    /// As [`Self::identify`] for a JWT sent later; an error in mode `off`.
    pub(crate) async fn renew(&self, token: &str) -> Result<Option<Identity>, AuthError> {
        match token {
            "" => self.identify(None).await,
            token => self.verify(token).await.map(Some),
        }
    }

    /// An error when no JWT can be verified: in mode `off`, and without a key.
    pub fn require_keys(&self) -> Result<(), AuthError> {
        match &self.keys {
            KeySource::None => Err(self.missing_key_error()),
            KeySource::One(_) | KeySource::Set(_) => Ok(()),
        }
    }

    /// The error when there is no key.
    fn missing_key_error(&self) -> AuthError {
        match self.mode {
            AuthMode::Off => AuthError::Off,
            AuthMode::Optional | AuthMode::Required => AuthError::NoKey,
        }
    }

    /// Verifies a JWT and returns its identity. In mode `off` every JWT is refused.
    pub async fn verify(&self, token: &str) -> Result<Identity, AuthError> {
        if token.is_empty() {
            return Err(AuthError::Missing);
        }
        if token.len() > MAX_TOKEN_BYTES {
            return Err(AuthError::TooLong);
        }
        match &self.keys {
            KeySource::None => Err(self.missing_key_error()),
            KeySource::One(key) => self.check(token, key),
            KeySource::Set(set) => {
                let header = decode_header(token)?;
                // Checked before the key set, so that a JWT with another algorithm causes no fetch.
                if !self.validation.algorithms.contains(&header.alg) {
                    return Err(AuthError::Algorithm);
                }
                let keys = set.candidates(header.kid.as_deref()).await;
                let mut result = Err(match set.is_failing() {
                    true => AuthError::Unavailable,
                    false => AuthError::UnknownKey,
                });
                for key in keys.iter().take(MAX_TRIED_KEYS) {
                    result = self.check(token, key);
                    if !matches!(result, Err(AuthError::Signature)) {
                        break;
                    }
                }
                result
            }
        }
    }

    fn check(&self, token: &str, key: &DecodingKey) -> Result<Identity, AuthError> {
        // RFC 7515 section 4.1.11: unsupported critical extensions must be rejected. None is supported here.
        if decode_header(token)?.crit.is_some() {
            return Err(AuthError::Critical);
        }
        let claims = decode::<Claims>(token, key, &self.validation)?.claims;
        let identity = Identity::new(claims, self.validation.leeway)?;
        // RFC 7519 section 4.1.4: rejected "on or after" that time; the library accepts that second.
        match identity.expires_at_ms <= now_ms() {
            true => Err(AuthError::Expired),
            false => Ok(identity),
        }
    }
}

/// The token of an `Authorization: Bearer` header (RFC 6750). Other schemes are ignored.
pub fn bearer_token(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme
        .eq_ignore_ascii_case("bearer")
        .then(|| token.trim())
        .filter(|token| !token.is_empty())
}

#[cfg(test)]
mod tests;
