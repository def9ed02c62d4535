//! State shared by the handlers of all transports: the hub, the origin policy and the connection limit.

use std::{net::SocketAddr, sync::Arc};

use axum::http::HeaderMap;

use super::{
    GatewayConfig,
    auth::{AuthError, Authenticator, Identity, bearer_token},
    connection_limit::{ConnectionLimit, LimitReached, SocketGuard},
    hub::Hub,
    session::Admission,
};
use chaincast_base::shutdown::Tasks;
use chaincast_http::client::{OriginPolicy, client_address};

/// See the module's description. Cheap to clone.
#[derive(Clone)]
pub struct Context(Arc<Inner>);

struct Inner {
    hub: Hub,
    origins: OriginPolicy,
    connections: ConnectionLimit,
    tasks: Tasks,
}

impl Context {
    pub fn new(
        hub: Hub,
        origins: OriginPolicy,
        connections: ConnectionLimit,
        tasks: Tasks,
    ) -> Self {
        Self(Arc::new(Inner {
            hub,
            origins,
            connections,
            tasks,
        }))
    }

    pub fn hub(&self) -> &Hub {
        &self.0.hub
    }

    pub fn config(&self) -> &GatewayConfig {
        self.0.hub.config()
    }

    pub fn authenticator(&self) -> &Authenticator {
        self.0.hub.authenticator()
    }

    pub fn origins(&self) -> &OriginPolicy {
        &self.0.origins
    }

    /// Spawns the tasks of transports that outlive a request.
    pub fn tasks(&self) -> &Tasks {
        &self.0.tasks
    }

    /// Counts one more connection for the client of a request.
    pub fn admit(&self, peer: SocketAddr, headers: &HeaderMap) -> Result<Admission, LimitReached> {
        let trusted = &self.config().trusted_proxies;
        let address = client_address(peer.ip(), headers, trusted);
        let permit = self.0.connections.admit(address)?;
        Ok(Admission { address, permit })
    }

    /// Open connections.
    pub fn connections(&self) -> usize {
        self.0.connections.open()
    }

    /// Counts a socket that a transport is about to take over from the HTTP server.
    pub fn socket(&self) -> SocketGuard {
        self.0.connections.socket()
    }

    /// Sockets held by transports now.
    pub fn sockets(&self) -> usize {
        self.0.connections.sockets()
    }

    /// The client's identity, from the `Authorization` header or else the `token` parameter of the query.
    pub async fn identify(
        &self,
        headers: &HeaderMap,
        query: Option<&str>,
    ) -> Result<Option<Identity>, AuthError> {
        let token = bearer_token(headers).or(query);
        self.authenticator().identify(token).await
    }
}
