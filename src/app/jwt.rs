//! REST accepts the same JWTs as the gateway.

use std::sync::Arc;

use axum::http::HeaderMap;
use futures_util::future::BoxFuture;

use super::AppError;
use chaincast_api::{Client, TokenRefused, TokenVerifier};
use chaincast_base::shutdown::Tasks;
use chaincast_gateway::{
    AuthConfig, GatewayError,
    auth::{AuthError, Authenticator, Identity, bearer_token},
};
use chaincast_protocol::Channel;
use chaincast_rooms::{JoinRule, PublishRule};

/// Verifies JWTs for REST with the gateway's authenticator.
pub(super) struct JwtVerifier(Arc<Authenticator>);

impl JwtVerifier {
    pub(super) fn new(authenticator: Arc<Authenticator>) -> Self {
        Self(authenticator)
    }
}

impl TokenVerifier for JwtVerifier {
    fn client<'a>(
        &'a self,
        headers: &'a HeaderMap,
    ) -> BoxFuture<'a, Result<Box<dyn Client>, TokenRefused>> {
        Box::pin(async move {
            // If no JWT can be accepted, report that instead of a missing JWT.
            self.0.require_keys().map_err(|error| rejection(&error))?;
            let token = bearer_token(headers).unwrap_or_default();
            match self.0.verify(token).await {
                Ok(identity) => Ok(Box::new(JwtClient(identity)) as Box<dyn Client>),
                Err(error) => Err(rejection(&error)),
            }
        })
    }
}

/// A client of REST, with the rights that the gateway gives it.
struct JwtClient(Identity);

impl Client for JwtClient {
    fn subject(&self) -> &str {
        &self.0.sub
    }

    fn can_join(&self, room: &Channel, rule: JoinRule) -> bool {
        self.0.can_join(room, rule)
    }

    fn is_publisher(&self) -> bool {
        self.0.is_publisher()
    }

    fn can_publish(&self, channel: &Channel, rule: Option<PublishRule>) -> bool {
        self.0.can_publish(channel, rule)
    }

    fn is_moderator(&self) -> bool {
        self.0.is_moderator()
    }
}

fn rejection(error: &AuthError) -> TokenRefused {
    let text = error.to_string();
    match error {
        AuthError::Expired => TokenRefused::Expired(text),
        AuthError::Off | AuthError::NoKey => TokenRefused::Disabled(text),
        AuthError::Unavailable => TokenRefused::Unavailable(text),
        _ => TokenRefused::Invalid(text),
    }
}

/// An authenticator for a process without a gateway. Retries until the key set can be fetched.
pub(super) fn standalone_authenticator(
    config: &AuthConfig,
    tasks: &Tasks,
) -> Result<Arc<Authenticator>, AppError> {
    let authenticator = Arc::new(Authenticator::new(config).map_err(GatewayError::from)?);
    let (keys, stop) = (authenticator.clone(), tasks.token());
    tasks.spawn(async move {
        let load = async {
            if let Err(error) = keys.load().await {
                tracing::warn!(%error, "cannot fetch the key set; JWTs are rejected until a retry succeeds");
                keys.retry_load().await;
            }
        };
        tokio::select! {
            () = stop.cancelled() => {}
            () = load => {}
        }
    });
    Ok(authenticator)
}
