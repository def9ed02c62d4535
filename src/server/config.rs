use serde::Deserialize;

/// `[server]`
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ServerConfig {
    /// Address to listen on; `0.0.0.0` for every interface.
    pub host: String,
    /// The port; 0 for any free one.
    pub port: u16,
    /// Listen backlog: connections that may be pending, as after a restart. The kernel's `net.core.somaxconn` may allow
    /// fewer.
    pub accept_backlog: u32,
    /// Timeout for receiving the headers of a request, in ms.
    pub header_timeout_ms: u64,
    /// Most bytes of a request's headers; at least 8192.
    pub header_bytes: usize,
    /// Kernel send buffer of a connection, in bytes. Small, so that a client that does not read is detected early.
    pub send_buffer_bytes: usize,
    /// Connections that sessions cannot use; reserved for REST, health and metrics.
    pub reserved_connections: usize,
    /// Time for sessions and requests to end on shutdown, in ms.
    pub drain_timeout_ms: u64,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            host: "127.0.0.1".to_owned(),
            port: 3000,
            accept_backlog: 4_096,
            header_timeout_ms: 10_000,
            header_bytes: 65_536,
            send_buffer_bytes: 65_536,
            reserved_connections: 256,
            drain_timeout_ms: 10_000,
        }
    }
}
