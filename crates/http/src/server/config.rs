use chaincast_base::settings::settings;

settings! {
    /// `[server]`
    pub struct ServerConfig {
        /// Address to listen on; `"0.0.0.0"` for all interfaces.
        host: String = "127.0.0.1".to_owned();
        /// TCP port of all protocols; 0 picks a free one.
        port: u16 = 3_000;
        /// Pending connections in the listen queue, as after a restart. The kernel's net.core.somaxconn may allow fewer.
        accept_backlog: u32 = 4_096, range(16, 65_535), unit("connections");
        /// Time limit for a client to send the headers of a request.
        header_timeout_ms: u64 = 10_000, range(100, 600_000);
        /// Maximum size of the headers of a request.
        header_bytes: usize = 65_536, range(8_192, 16_777_216);
        /// Kernel send buffer (SO_SNDBUF) of a connection. Small, so that a client that does not read is detected early.
        send_buffer_bytes: usize = 65_536, range(4_096, 16_777_216);
        /// Connections reserved for REST, health and metrics within the limit of open files; at most a third of that
        /// limit. Sessions cannot use them.
        reserved_connections: usize = 256, range(8, 65_536), unit("connections");
        /// On shutdown, time limit for sessions and requests to end.
        drain_timeout_ms: u64 = 10_000, range(100, 600_000);
    }
}
