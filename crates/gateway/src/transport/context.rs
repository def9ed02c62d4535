//! What the handlers of all transports need: admission of clients, sessions and their requests.

use std::{net::SocketAddr, sync::Arc};

use axum::http::HeaderMap;
use chaincast_base::shutdown::Tasks;
use chaincast_http::client::{OriginPolicy, client_address};
use chaincast_protocol::encode::Wire;

use crate::{
    admission::{Admission, ConnectionLimit, LimitReached, SocketGuard},
    auth::{AuthError, Authenticator, Identity, bearer_token},
    config::GatewayConfig,
    hub::Hub,
    requests::Requests,
    session::{Opener, Session},
};

/// See the module's description. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Context(Arc<ContextParts>);

/// The parts of a [`Context`].
pub(crate) struct ContextParts {
    pub config: Arc<GatewayConfig>,
    pub hub: Hub,
    pub requests: Requests,
    pub authenticator: Arc<Authenticator>,
    pub origins: OriginPolicy,
    pub connections: ConnectionLimit,
    pub tasks: Tasks,
}

impl Context {
    pub(crate) fn new(parts: ContextParts) -> Self {
        Self(Arc::new(parts))
    }

    pub(crate) fn config(&self) -> &Arc<GatewayConfig> {
        &self.0.config
    }

    pub(crate) fn origins(&self) -> &OriginPolicy {
        &self.0.origins
    }

    pub(crate) fn requests(&self) -> &Requests {
        &self.0.requests
    }

    /// Spawns the tasks of transports that outlive a request.
    pub(crate) fn tasks(&self) -> &Tasks {
        &self.0.tasks
    }

    /// Counts one more connection for the client of a request.
    pub(crate) fn admit(
        &self,
        peer: SocketAddr,
        headers: &HeaderMap,
    ) -> Result<Admission, LimitReached> {
        let trusted = &self.0.config.trusted_proxies;
        let address = client_address(peer.ip(), headers, trusted);
        let permit = self.0.connections.admit(address)?;
        Ok(Admission { address, permit })
    }

    /// Counts a socket that a transport is about to take over from the HTTP server.
    pub(crate) fn socket(&self) -> SocketGuard {
        self.0.connections.socket()
    }

    /// The client's identity, from the `Authorization` header or else the `token` parameter of the query.
    pub(crate) async fn identify(
        &self,
        headers: &HeaderMap,
        query: Option<&str>,
    ) -> Result<Option<Identity>, AuthError> {
        let token = bearer_token(headers).or(query);
        self.0.authenticator.identify(token).await
    }

    /// Opens a session for an admitted client; otherwise the server is shutting down, and the client should retry after the
    /// returned time in ms.
    pub(crate) fn open(
        &self,
        wire: Wire,
        identity: Option<Identity>,
        admission: Admission,
    ) -> Result<Arc<Session>, u64> {
        let opener = Opener {
            identity,
            admission: Some(admission),
        };
        let session = self.0.hub.open(wire, opener);
        session.ok_or_else(|| self.0.hub.retry_after_ms())
    }

    /// The time in ms after which a client should retry, if the server is shutting down.
    pub(crate) fn closing(&self) -> Option<u64> {
        let hub = &self.0.hub;
        hub.is_closing().then(|| hub.retry_after_ms())
    }

    #[cfg(test)]
    pub fn connections(&self) -> &ConnectionLimit {
        &self.0.connections
    }
}
