//! What every transport's handlers share: the hub, and who may connect.

use std::{net::SocketAddr, sync::Arc};

use axum::http::HeaderMap;

use super::{
    GatewayConfig,
    address::{Connections, Refused, Socket},
    auth::{AuthError, Authenticator, Identity, bearer_token},
    hub::Hub,
    session::Hold,
};
use crate::{
    shutdown::Tasks,
    visitor::{OriginPolicy, client_address},
};

/// See the module's description. Cheap to clone.
#[derive(Clone)]
pub struct Context(Arc<Inner>);

struct Inner {
    hub: Hub,
    origins: OriginPolicy,
    connections: Connections,
    tasks: Tasks,
}

impl Context {
    pub fn new(hub: Hub, origins: OriginPolicy, connections: Connections, tasks: Tasks) -> Self {
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

    /// Where transports spawn what outlives a request.
    pub fn tasks(&self) -> &Tasks {
        &self.0.tasks
    }

    /// Counts one more connection from the client that a request comes from.
    pub fn admit(&self, peer: SocketAddr, headers: &HeaderMap) -> Result<Hold, Refused> {
        let trusted = &self.config().trusted_proxies;
        let address = client_address(peer.ip(), headers, trusted);
        let permit = self.0.connections.admit(address)?;
        Ok(Hold { address, permit })
    }

    /// Connections that are counted now.
    pub fn connections(&self) -> usize {
        self.0.connections.open()
    }

    /// Counts a socket that a transport is about to get from HTTP.
    pub fn socket(&self) -> Socket {
        self.0.connections.socket()
    }

    /// Sockets that transports have now.
    pub fn sockets(&self) -> usize {
        self.0.connections.sockets()
    }

    /// Who connects, by the `Authorization` header or else the token of the query.
    pub async fn identify(
        &self,
        headers: &HeaderMap,
        query: Option<&str>,
    ) -> Result<Option<Identity>, AuthError> {
        let token = bearer_token(headers).or(query);
        self.authenticator().identify(token).await
    }
}
