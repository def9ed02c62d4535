//! The configuration sections `[gateway]`, `[gateway.auth]` and `[gateway.limits]`.

use std::path::PathBuf;

use serde::Deserialize;

use crate::{client::Site, model::Secret};

/// `[gateway]`
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GatewayConfig {
    /// Interval of the server's pings to each session, in ms.
    pub ping_interval_ms: u64,
    /// A session without data for interval + timeout is closed, in ms.
    pub ping_timeout_ms: u64,
    /// Browser origins that may connect besides the server's own: `*` for any, or `https://app.example`. Requests
    /// without an `Origin`, such as from bots, are not checked.
    pub allowed_origins: Vec<String>,
    /// Host names of the server, such as `chain.example`; `[]` accepts any `Host`.
    pub own_hosts: Vec<String>,
    /// Networks of proxies whose `X-Forwarded-For`, `-Host` and `-Proto` are trusted, such as `10.0.0.0/8`.
    pub trusted_proxies: Vec<ipnet::IpNet>,
    /// Updates kept in memory per channel, for clients that resume.
    pub ring_updates: usize,
    /// Maximum number of channels in memory before channels without subscribers are dropped.
    pub channels_in_memory: usize,
    /// Approximate memory for the updates of all channels together, in bytes; beyond it, the largest channels keep fewer.
    pub ring_bytes: usize,
    /// Time that a transaction or address stays watched after its last subscriber, in s: clients that resume within it
    /// miss nothing.
    pub watch_retention_secs: u64,
    /// Maximum number of watched transactions and addresses, for all gateways of the database together.
    pub watches: u64,
    /// Maximum number of updates replayed to a client that resumes; beyond it the client gets a snapshot.
    pub replay_updates: u64,
    /// Maximum number of unacknowledged fired alerts sent to a new subscriber of `user:SUB`, newest first.
    pub alert_snapshot: u32,
    /// Maximum time that frames are held back under sustained load to be written together, in ms; 0 disables it.
    pub linger_ms: u64,
    /// Tasks that write to sessions, each for a share of them. More than one helps when one core is not enough.
    pub flushers: usize,
    /// Whether to write through io_uring, to many sockets per system call. Linux only.
    pub io_uring: bool,
    /// Kernel send buffer per connection, in bytes. Small, so that a slow client is detected early.
    pub send_buffer_bytes: usize,
    /// Unread bytes of all sessions together: near it each session has an equal share, above it the largest backlogs are
    /// closed.
    pub backlog_total_bytes: usize,
    /// On shutdown, clients receive a random reconnect delay up to this, in ms.
    pub reconnect_window_ms: u64,
    /// Whether to allow compression of WebSocket messages (permessage-deflate, RFC 7692).
    pub permessage_deflate: bool,
    /// Messages shorter than this are sent uncompressed, in bytes.
    pub deflate_min_bytes: usize,
    /// Whether `/api/v1/stats` is public, or requires a JWT with the role `admin`.
    pub public_stats: bool,
    pub auth: AuthConfig,
    pub limits: LimitsConfig,
}

impl Default for GatewayConfig {
    fn default() -> Self {
        Self {
            ping_interval_ms: 10_000,
            ping_timeout_ms: 5_000,
            allowed_origins: vec!["*".to_owned()],
            own_hosts: Vec::new(),
            trusted_proxies: Vec::new(),
            ring_updates: 1_024,
            channels_in_memory: 4_096,
            ring_bytes: 256 << 20,
            watch_retention_secs: 3_600,
            watches: 100_000,
            replay_updates: 10_000,
            alert_snapshot: 100,
            linger_ms: 5,
            flushers: 1,
            io_uring: false,
            send_buffer_bytes: 65_536,
            backlog_total_bytes: 256 << 20,
            reconnect_window_ms: 5_000,
            permessage_deflate: false,
            deflate_min_bytes: 128,
            public_stats: false,
            auth: AuthConfig::default(),
            limits: LimitsConfig::default(),
        }
    }
}

impl GatewayConfig {
    /// The trusted proxies and the host names of the server.
    pub fn site(&self) -> Site {
        Site {
            proxies: self.trusted_proxies.clone(),
            hosts: self.own_hosts.clone(),
        }
    }
}

/// Which sessions need a JWT.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AuthMode {
    /// Public channels need no JWT; a JWT that is sent must be valid.
    Optional,
    /// Every session needs a valid JWT.
    Required,
    /// JWTs are ignored; private channels are unavailable.
    Off,
}

/// `[gateway.auth]`
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AuthConfig {
    pub mode: AuthMode,
    /// The only accepted algorithm: `HS256`, `RS256`, `ES256` or `EdDSA`.
    pub algorithm: String,
    /// HS256: the shared secret, at least 32 bytes.
    pub secret: Secret,
    /// RS256, ES256, EdDSA: file of the public key in PEM.
    pub public_key_file: Option<PathBuf>,
    /// Instead of a PEM: file of a JSON Web Key Set (RFC 7517).
    pub jwks_file: Option<PathBuf>,
    /// Instead of a PEM: http(s) URL of a JSON Web Key Set.
    pub jwks_url: Option<Secret>,
    /// Shortest time between two fetches of the key set at the URL, in ms, however many JWTs name unknown keys.
    pub jwks_reload_ms: u64,
    /// Required `iss`, if set.
    pub issuer: Option<String>,
    /// Required `aud`, if set.
    pub audience: Option<String>,
    /// Tolerated clock difference for `exp` and `nbf`, in seconds.
    pub leeway_secs: u64,
}

impl Default for AuthConfig {
    fn default() -> Self {
        Self {
            mode: AuthMode::Optional,
            algorithm: "HS256".to_owned(),
            secret: Secret::default(),
            public_key_file: None,
            jwks_file: None,
            jwks_url: None,
            jwks_reload_ms: 30_000,
            issuer: None,
            audience: None,
            leeway_secs: 0,
        }
    }
}

/// `[gateway.limits]`
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LimitsConfig {
    /// Requests of a session in any window of `rate_window_ms`.
    pub requests: u32,
    pub rate_window_ms: u64,
    /// Refused requests in one window after which the session is closed with 4029.
    pub abuse_requests: u32,
    /// WebSocket pings and pongs of a client per `rate_window_ms` after which its session is closed with 4029.
    pub control_frames: u32,
    /// Maximum size of an incoming message, in bytes.
    pub message_bytes: usize,
    /// Subscriptions of a session.
    pub subscriptions: usize,
    /// Channels named in one request.
    pub channels_per_request: usize,
    /// Ids in one `acknowledge`.
    pub acknowledged_ids: usize,
    /// Sessions per client address.
    pub connections_per_address: usize,
    /// Sessions in total.
    pub connections: usize,
    /// Watched transactions and addresses per client address, for clients without a JWT, including watches that outlive
    /// their subscribers. Each gateway counts its own clients.
    pub watches_per_address: usize,
    /// The same per JWT subject.
    pub watches_per_subject: usize,
    /// Backlog of a session at which it is conflated, or closed as slow, in bytes.
    pub backlog_bytes: usize,
    /// Time limit of a handshake, in ms.
    pub handshake_timeout_ms: u64,
    /// Log lines per minute for each kind of client fault; the rest is only counted.
    pub log_lines: u32,
}

impl Default for LimitsConfig {
    fn default() -> Self {
        Self {
            requests: 100,
            rate_window_ms: 60_000,
            abuse_requests: 100,
            control_frames: 300,
            message_bytes: 65_536,
            subscriptions: 512,
            channels_per_request: 100,
            acknowledged_ids: 1_000,
            connections_per_address: 256,
            connections: 100_000,
            watches_per_address: 1_024,
            watches_per_subject: 4_096,
            backlog_bytes: 1_048_576,
            handshake_timeout_ms: 10_000,
            log_lines: 60,
        }
    }
}
