//! Who a client is: JSON Web Tokens (RFC 7519) checked against the one configured algorithm and key.
//!
//! A token is good when its `alg` is the configured one, its signature verifies, `exp` is present and ahead,
//! `nbf` is not ahead, `sub` names somebody, and `iss` and `aud` are the configured ones where set. What is
//! wrong with a token is told to the client; key material never is.

mod error;
mod identity;
mod jwks;
mod keys;
mod mint;

pub use error::AuthError;
pub use identity::Identity;
pub use mint::{TokenRequest, mint};

use std::time::Duration;

use axum::http::{HeaderMap, header::AUTHORIZATION};
use jsonwebtoken::{DecodingKey, Validation, decode, decode_header};
use serde::Deserialize;

use self::keys::{KeySource, algorithm};
use super::config::{AuthConfig, AuthMode};
use crate::model::now_ms;

/// Longest token that is looked at, in bytes.
pub const MAX_TOKEN_BYTES: usize = 8_192;
/// Most keys of a key set that are tried for a token that names none.
const MAX_TRIED_KEYS: usize = 8;
/// How long after a failed first fetch of the key set the next is tried, and to what that doubles.
const FIRST_RETRY: Duration = Duration::from_secs(1);
const LAST_RETRY: Duration = Duration::from_secs(30);
/// Largest clock difference that may be configured, in seconds.
const MAX_LEEWAY_SECS: u64 = 3_600;

/// Checks tokens as `[gateway.auth]` says.
pub struct Authenticator {
    mode: AuthMode,
    validation: Validation,
    keys: KeySource,
}

impl Authenticator {
    /// Reads the key, or the key file. A key set at a URL is fetched by [`Authenticator::load`].
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

    /// Fetches the key set when it is at a URL; call it once before serving.
    pub async fn load(&self) -> Result<(), AuthError> {
        match &self.keys {
            KeySource::Set(set) => set.load().await,
            KeySource::None | KeySource::One(_) => Ok(()),
        }
    }

    /// Fetches the key set again and again until that succeeds.
    pub async fn load_in_time(&self) {
        let mut wait = FIRST_RETRY;
        loop {
            tokio::time::sleep(wait).await;
            match self.load().await {
                Ok(()) => return tracing::info!("the key set is fetched"),
                Err(error) => tracing::warn!(%error, "the key set could not be fetched"),
            }
            wait = (wait * 2).min(LAST_RETRY);
        }
    }

    pub fn mode(&self) -> AuthMode {
        self.mode
    }

    /// Who connects with this token, if any; an empty token is no token. `None` is a nameless client, where the
    /// mode allows it.
    pub async fn identify(&self, token: Option<&str>) -> Result<Option<Identity>, AuthError> {
        match (self.mode, token.filter(|token| !token.is_empty())) {
            (AuthMode::Off, _) | (AuthMode::Optional, None) => Ok(None),
            (AuthMode::Required, None) => Err(AuthError::Missing),
            (_, Some(token)) => self.verify(token).await.map(Some),
        }
    }

    /// As [`Self::identify`] for a token that is sent later; in mode `off` it cannot be taken, and that is told.
    pub async fn renew(&self, token: &str) -> Result<Option<Identity>, AuthError> {
        match token {
            "" => self.identify(None).await,
            token => self.verify(token).await.map(Some),
        }
    }

    /// Refuses where no token could be taken, whatever it is: in mode `off`, and without a key.
    pub fn takes_tokens(&self) -> Result<(), AuthError> {
        match &self.keys {
            KeySource::None => Err(self.no_key()),
            KeySource::One(_) | KeySource::Set(_) => Ok(()),
        }
    }

    /// Why there is no key.
    fn no_key(&self) -> AuthError {
        match self.mode {
            AuthMode::Off => AuthError::Off,
            AuthMode::Optional | AuthMode::Required => AuthError::NoKey,
        }
    }

    /// Whom a token names. In mode `off` every token is refused, for it cannot be checked.
    pub async fn verify(&self, token: &str) -> Result<Identity, AuthError> {
        if token.is_empty() {
            return Err(AuthError::Missing);
        }
        if token.len() > MAX_TOKEN_BYTES {
            return Err(AuthError::TooLong);
        }
        match &self.keys {
            KeySource::None => Err(self.no_key()),
            KeySource::One(key) => self.check(token, key),
            KeySource::Set(set) => {
                let header = decode_header(token)?;
                // Looked at before the key set, so that a token of another algorithm causes no fetch.
                if !self.validation.algorithms.contains(&header.alg) {
                    return Err(AuthError::Algorithm);
                }
                let keys = set.candidates(header.kid.as_deref()).await;
                let mut outcome = Err(match set.is_failing() {
                    true => AuthError::Unavailable,
                    false => AuthError::UnknownKey,
                });
                for key in keys.iter().take(MAX_TRIED_KEYS) {
                    outcome = self.check(token, key);
                    if !matches!(outcome, Err(AuthError::Signature)) {
                        break;
                    }
                }
                outcome
            }
        }
    }

    fn check(&self, token: &str, key: &DecodingKey) -> Result<Identity, AuthError> {
        // RFC 7515 section 4.1.11: who does not know what is critical refuses the token. None is known here.
        if decode_header(token)?.crit.is_some() {
            return Err(AuthError::Critical);
        }
        let claims = decode::<Claims>(token, key, &self.validation)?.claims;
        let identity = Identity::new(claims, self.validation.leeway)?;
        // RFC 7519 section 4.1.4: not "on or after" that time; the library lets the very second pass.
        match identity.expires_at_ms <= now_ms() {
            true => Err(AuthError::Expired),
            false => Ok(identity),
        }
    }
}

/// The claims that are looked at beside those that the validation checks.
#[derive(Debug, Deserialize)]
struct Claims {
    // Both are required, but their absence is the validation's to tell.
    sub: Option<String>,
    exp: Option<NumericDate>,
    #[serde(default)]
    role: Option<String>,
    #[serde(default)]
    channels: Option<Vec<String>>,
}

/// Seconds since the Unix epoch, which RFC 7519 lets be fractional.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum NumericDate {
    Whole(u64),
    Fraction(f64),
}

impl NumericDate {
    fn as_ms(&self) -> i64 {
        match self {
            Self::Whole(secs) => i64::try_from(*secs)
                .unwrap_or(i64::MAX)
                .saturating_mul(1_000),
            // A cast from a float saturates.
            Self::Fraction(secs) => (secs * 1_000.0) as i64,
        }
    }
}

/// The token of an `Authorization: Bearer` header (RFC 6750); other schemes belong to somebody else.
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
