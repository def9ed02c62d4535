//! The configured verification key: exactly one source, which must match the algorithm.

use std::{path::Path, time::Duration};

use jsonwebtoken::{Algorithm, DecodingKey};

use super::{error::AuthError, jwks::KeySet, key_file::read_bounded};
use crate::config::AuthConfig;

/// Minimum length of an HS256 secret, in bytes: the size of the hash (RFC 7518 section 3.2).
pub(super) const MIN_SECRET_BYTES: usize = 32;

/// The source of verification keys.
pub(super) enum KeySource {
    /// Nothing is configured.
    None,
    One(DecodingKey),
    Set(KeySet),
}

impl KeySource {
    pub(super) fn open(config: &AuthConfig, algorithm: Algorithm) -> Result<Self, AuthError> {
        let given = [
            ("secret", !config.secret.is_empty()),
            ("public_key_file", config.public_key_file.is_some()),
            ("jwks_file", config.jwks_file.is_some()),
            ("jwks_url", config.jwks_url.is_some()),
        ];
        let mut given = given.iter().filter(|(_, set)| *set).map(|(key, _)| *key);
        let (Some(key), second) = (given.next(), given.next()) else {
            return Ok(Self::None);
        };
        if let Some(second) = second {
            return Err(AuthError::config(
                second,
                format!("{key} is also set; set only one of them"),
            ));
        }
        let symmetric = algorithm == Algorithm::HS256;
        if symmetric != (key == "secret") {
            let expected = if symmetric {
                "a secret"
            } else {
                "a public key or a key set"
            };
            return Err(AuthError::config(
                key,
                format!("algorithm {} needs {expected}", config.algorithm),
            ));
        }
        if let Some(path) = &config.public_key_file {
            public_key(path, algorithm).map(Self::One)
        } else if let Some(path) = &config.jwks_file {
            KeySet::from_file(path, algorithm).map(Self::Set)
        } else if let Some(url) = &config.jwks_url {
            let reload = Duration::from_millis(config.jwks_reload_ms);
            KeySet::at_url(url, algorithm, reload).map(Self::Set)
        } else {
            secret(config).map(|bytes| Self::One(DecodingKey::from_secret(bytes)))
        }
    }
}

/// The configured algorithm.
pub(super) fn algorithm(config: &AuthConfig) -> Result<Algorithm, AuthError> {
    match config.algorithm.as_str() {
        "HS256" => Ok(Algorithm::HS256),
        "RS256" => Ok(Algorithm::RS256),
        "ES256" => Ok(Algorithm::ES256),
        "EdDSA" => Ok(Algorithm::EdDSA),
        other => Err(AuthError::config(
            "algorithm",
            format!("{other:?} is not one of HS256, RS256, ES256 and EdDSA"),
        )),
    }
}

/// The HS256 secret; an error when it is too short.
pub(super) fn secret(config: &AuthConfig) -> Result<&[u8], AuthError> {
    let bytes = config.secret.expose().as_bytes();
    if bytes.len() < MIN_SECRET_BYTES {
        return Err(AuthError::config(
            "secret",
            format!(
                "{} bytes are too short, HS256 needs at least {MIN_SECRET_BYTES}: try `openssl rand -hex 32`",
                bytes.len()
            ),
        ));
    }
    Ok(bytes)
}

fn public_key(path: &Path, algorithm: Algorithm) -> Result<DecodingKey, AuthError> {
    let pem = read_bounded(path).map_err(|reason| AuthError::config("public_key_file", reason))?;
    let key = match algorithm {
        Algorithm::RS256 => DecodingKey::from_rsa_pem(&pem),
        Algorithm::ES256 => DecodingKey::from_ec_pem(&pem),
        _ => DecodingKey::from_ed_pem(&pem),
    };
    key.map_err(|_| {
        AuthError::config(
            "public_key_file",
            format!("{} has no PEM public key for {algorithm:?}", path.display()),
        )
    })
}
