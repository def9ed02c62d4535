//! REST takes the tokens that the gateway takes.

use std::sync::Arc;

use axum::http::HeaderMap;
use futures_util::future::BoxFuture;

use super::AppError;
use crate::{
    api::{TokenRefused, TokenVerifier},
    gateway::{
        AuthConfig, GatewayError,
        auth::{AuthError, Authenticator, bearer_token},
    },
    shutdown::Tasks,
};

/// The gateway's check of tokens, for REST.
pub(super) struct Tokens(Arc<Authenticator>);

impl Tokens {
    pub(super) fn new(authenticator: Arc<Authenticator>) -> Self {
        Self(authenticator)
    }
}

impl TokenVerifier for Tokens {
    fn subject<'a>(
        &'a self,
        headers: &'a HeaderMap,
    ) -> BoxFuture<'a, Result<String, TokenRefused>> {
        Box::pin(async move {
            // Asking for a token that could not be taken would help nobody.
            self.0.takes_tokens().map_err(|error| refused(&error))?;
            let token = bearer_token(headers).unwrap_or_default();
            match self.0.verify(token).await {
                Ok(identity) => Ok(identity.sub),
                Err(error) => Err(refused(&error)),
            }
        })
    }
}

fn refused(error: &AuthError) -> TokenRefused {
    let text = error.to_string();
    match error {
        AuthError::Expired => TokenRefused::Expired(text),
        AuthError::Off | AuthError::NoKey => TokenRefused::Closed(text),
        AuthError::Unavailable => TokenRefused::Unavailable(text),
        _ => TokenRefused::Invalid(text),
    }
}

/// For a process without a gateway. A key set that is out of reach is fetched when it can be.
pub(super) fn own(config: &AuthConfig, tasks: &Tasks) -> Result<Arc<Authenticator>, AppError> {
    let authenticator = Arc::new(Authenticator::new(config).map_err(GatewayError::from)?);
    let (keys, stop) = (authenticator.clone(), tasks.token());
    tasks.spawn(async move {
        let load = async {
            if let Err(error) = keys.load().await {
                tracing::warn!(%error, "tokens are refused until the key set is fetched; trying again until it is");
                keys.load_in_time().await;
            }
        };
        tokio::select! {
            () = stop.cancelled() => {}
            () = load => {}
        }
    });
    Ok(authenticator)
}
