use std::path::PathBuf;

use serde::Deserialize;

use crate::{model::Secret, visitor::Site};

/// `[gateway]`
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GatewayConfig {
    /// How often the server pings each session, in ms.
    pub ping_interval_ms: u64,
    /// Beyond the interval, how long a session may be silent before it is closed, in ms.
    pub ping_timeout_ms: u64,
    /// `Origin`s that browsers may connect from, beside the server's own: `*` for any, or `https://app.example`.
    /// Requests without an `Origin`, as from bots, are not checked.
    pub allowed_origins: Vec<String>,
    /// The names that the server is reached by, such as `chain.example`; with `[]`, whatever `Host` says.
    pub own_hosts: Vec<String>,
    /// Networks of proxies whose `X-Forwarded-For`, `-Host` and `-Proto` are believed, such as `10.0.0.0/8`.
    pub trusted_proxies: Vec<ipnet::IpNet>,
    /// Updates kept in memory a channel, for clients that resume.
    pub ring_updates: usize,
    /// Channels kept in memory before those that nobody listens to are forgotten.
    pub channels_in_memory: usize,
    /// Memory for the newest updates of all channels together, in bytes, about; beyond it, channels with most have fewer.
    pub ring_bytes: usize,
    /// How long a transaction or address goes on being watched after its last subscriber, in s: clients that come
    /// back within it miss nothing.
    pub watch_retention_secs: u64,
    /// Most transactions and addresses watched at once, by all gateways of the database together.
    pub watches: u64,
    /// Most updates replayed to a client that resumes; beyond it the client gets a snapshot.
    pub replay_updates: u64,
    /// Most fired alerts that a new subscriber of `user:SUB` is shown, the newest that nobody acknowledged.
    pub alert_snapshot: u32,
    /// How long frames may wait, at most, to be written together under lasting load, which is when round after round
    /// more comes while it is written, in ms; 0 never waits.
    pub linger_ms: u64,
    /// Tasks that write to sessions, each for its share of them: more than one helps when one core cannot write
    /// for all.
    pub flushers: usize,
    /// Whether sockets are written to through io_uring, many with one system call. Linux only.
    pub io_uring: bool,
    /// Send buffer asked of the kernel a connection, in bytes: small, so that a slow client shows early.
    pub send_buffer_bytes: usize,
    /// Bytes waiting for all sessions together: near it each has an equal share, above it the fullest are closed.
    pub backlog_total_bytes: usize,
    /// On shutdown, clients are told to return after a random delay up to this, in ms.
    pub reconnect_window_ms: u64,
    /// Whether WebSocket clients may have messages compressed (permessage-deflate, RFC 7692).
    pub permessage_deflate: bool,
    /// Messages shorter than this are sent uncompressed, in bytes.
    pub deflate_min_bytes: usize,
    /// Whether anyone may read `/api/v1/stats`, or only tokens with the role `admin`.
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
    /// How the server is reached.
    pub fn site(&self) -> Site {
        Site {
            proxies: self.trusted_proxies.clone(),
            hosts: self.own_hosts.clone(),
        }
    }
}

/// Who may connect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AuthMode {
    /// Public channels need no token; a token that is given must be good.
    Optional,
    /// Every session needs a token.
    Required,
    /// Tokens are not looked at; private channels are closed.
    Off,
}

/// `[gateway.auth]`
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AuthConfig {
    pub mode: AuthMode,
    /// The one algorithm accepted: `HS256`, `RS256`, `ES256` or `EdDSA`.
    pub algorithm: String,
    /// HS256: the shared secret, at least 32 bytes.
    pub secret: Secret,
    /// RS256, ES256, EdDSA: file of the public key in PEM.
    pub public_key_file: Option<PathBuf>,
    /// Instead of a PEM: file of a JSON Web Key Set (RFC 7517).
    pub jwks_file: Option<PathBuf>,
    /// Instead of a PEM: http(s) URL of a JSON Web Key Set.
    pub jwks_url: Option<Secret>,
    /// Shortest time between two fetches of the set at the URL, in ms, however many tokens name unknown keys.
    pub jwks_reload_ms: u64,
    /// Required `iss`, when set.
    pub issuer: Option<String>,
    /// Required `aud`, when set.
    pub audience: Option<String>,
    /// Clock difference that `exp` and `nbf` may show, in seconds.
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
    /// Requests a session in any window of `rate_window_ms`.
    pub requests: u32,
    pub rate_window_ms: u64,
    /// Requests refused in one window before the session is closed with 4029.
    pub abuse_requests: u32,
    /// WebSocket pings and pongs of a client in `rate_window_ms` before its session is closed with 4029.
    pub control_frames: u32,
    /// Most bytes of one incoming message.
    pub message_bytes: usize,
    /// Subscriptions a session.
    pub subscriptions: usize,
    /// Channels named in one request.
    pub channels_per_request: usize,
    /// Ids in one `acknowledge`.
    pub acknowledged_ids: usize,
    /// Sessions an address.
    pub connections_per_address: usize,
    /// Sessions in all.
    pub connections: usize,
    /// Transactions and addresses watched for the clients of one address that have no token, also for as long as they
    /// go on being watched without a subscriber. A gateway counts its own clients.
    pub watches_per_address: usize,
    /// The same for one subject of tokens.
    pub watches_per_subject: usize,
    /// Bytes waiting for a session before it is conflated, or closed as slow.
    pub backlog_bytes: usize,
    /// How long a connection may take to finish its handshake, in ms.
    pub handshake_timeout_ms: u64,
    /// Log lines a minute about each kind of fault of clients; the rest is only counted.
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
