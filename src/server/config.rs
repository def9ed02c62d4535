use serde::Deserialize;

/// `[server]`
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ServerConfig {
    /// Address to listen on; `0.0.0.0` for every interface.
    pub host: String,
    /// The one port; 0 for a free one.
    pub port: u16,
    /// Connections that may wait to be accepted, as after a restart; the kernel's `net.core.somaxconn` may allow fewer.
    pub accept_backlog: u32,
    /// How long a client may take to send a request's headers, in ms.
    pub header_timeout_ms: u64,
    /// Most bytes of a request's headers; at least 8192.
    pub header_bytes: usize,
    /// Send buffer asked of the kernel a connection, in bytes: small, so that a client that does not read shows early.
    pub send_buffer_bytes: usize,
    /// Connections that are kept free of sessions, for REST, health and metrics.
    pub reserved_connections: usize,
    /// On shutdown, how long sessions and requests may take to end, in ms.
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
