//! The configuration sections `[gateway]`, `[gateway.auth]` and `[gateway.limits]`; those of rooms are in their crate.

use std::path::PathBuf;

use serde::Deserialize;

use chaincast_base::{
    Secret,
    settings::{Problems, lower_case_word, plain_settings, settings},
};
use chaincast_http::client::{OriginPolicy, Site};
use chaincast_rooms::{MessagesConfig, RoomConfig};

settings! {
    /// `[gateway]`
    pub struct GatewayConfig {
        /// Interval of the server's pings to each session.
        ping_interval_ms: u64 = 10_000, range(100, 600_000);
        /// A session without data for interval + timeout is closed with 4000.
        ping_timeout_ms: u64 = 5_000, range(100, 600_000);
        /// Browser origins that may connect, such as `"https://app.example"`; `"*"` for any. The server's own origin, where
        /// Origin and Host have the same name, is always allowed. Requests without an Origin, such as from bots, are not
        /// checked.
        allowed_origins: Vec<String> = vec!["*".to_owned()];
        /// Host names of this server, such as `"chain.example"`. A request whose Host (or X-Forwarded-Host of a trusted
        /// proxy) is not an address, localhost or one of them gets 421; /healthz is exempt. `[]` allows every name, which
        /// permits DNS rebinding: a web page can give this server a name of its own. Include the names used to scrape
        /// /metrics and to check /readyz; each rejected name is logged.
        own_hosts: Vec<String> = Vec::new();
        /// Networks whose X-Forwarded-For, -Host and -Proto are trusted, such as `"10.0.0.0/8"` or `"10.0.0.1/32"`.
        trusted_proxies: Vec<ipnet::IpNet> = Vec::new();
        /// Updates kept in memory per channel for clients that resume.
        ring_updates: usize = 1_024, range(1, 1_048_576), unit("updates");
        /// Channels in memory; beyond it, channels without subscribers are removed from memory.
        channels_in_memory: usize = 4_096, range(16, 1_048_576), unit("channels");
        /// Approximate memory for the updates of all channels together; beyond it, the largest channels keep fewer.
        ring_bytes: usize = 256 << 20, range(1 << 20, 64 << 30);
        /// A tx: or address: channel without subscribers stays watched this long: clients that resume within it miss
        /// nothing.
        watch_retention_secs: u64 = 3_600, range(10, 2_592_000);
        /// Most watched tx: and address: channels, for all gateways of the database together.
        watches: u64 = 100_000, range(1, 10_000_000), unit("channels");
        /// Most updates replayed to a client that resumes; beyond it, the client gets a snapshot.
        replay_updates: u64 = 10_000, unit("updates");
        /// Most unacknowledged fired alerts and messages, newest first, sent to a new subscriber of user:SUB.
        alert_snapshot: u32 = 100, range(0, 1_000), unit("deliveries");
        /// Under sustained load, frames are held back up to this long and written together; 0 disables it.
        linger_ms: u64 = 5, range(0, 100);
        /// Tasks that write to sessions, each for a share of them. More than one helps when one core is not enough.
        flushers: usize = 1, range(1, 64), unit("tasks");
        /// Whether to write through io_uring, to many sockets per system call; Linux only, if the kernel allows it.
        io_uring: bool = false;
        /// Kernel send buffer of an open WebSocket. Small, so that a slow client is detected early.
        send_buffer_bytes: usize = 65_536, range(4_096, 16_777_216);
        /// Unread bytes of all sessions together: close to it, each session gets an equal share instead of
        /// `limits.backlog_bytes`; above it, the largest backlogs are closed with 4008.
        backlog_total_bytes: usize = 256 << 20, range(1 << 20, 64 << 30);
        /// On shutdown, clients are asked to reconnect after a random delay up to this.
        reconnect_window_ms: u64 = 5_000;
        /// Whether to allow compression of WebSocket messages (permessage-deflate, RFC 7692).
        permessage_deflate: bool = false;
        /// Shorter messages are sent uncompressed.
        deflate_min_bytes: usize = 128, range(0, 1_048_576);
        /// Whether /api/v1/stats is public; otherwise it requires a JWT with the role "admin".
        public_stats: bool = false;
        /// Which clients are authenticated, and how.
        auth: AuthConfig = AuthConfig::default();
        /// What a client may use.
        limits: LimitsConfig = LimitsConfig::default();
        /// Messages of clients to rooms, to users and to all. See docs/rooms.md.
        messages: MessagesConfig = MessagesConfig::default();
        /// One section per kind of room; the first whose pattern matches a room's name decides. There are no rooms without it.
        /// The indexer reads `history` too, so give it the same sections.
        rooms: Vec<RoomConfig> = Vec::new();
    }
}

impl GatewayConfig {
    /// Checks what no key shows by itself.
    pub fn check(&self, problems: &mut Problems) {
        if let Err(error) = OriginPolicy::new(&self.allowed_origins, Site::default()) {
            problems.add("gateway.allowed_origins", error.to_string());
        }
        RoomConfig::check_all(&self.rooms, problems);
        problems.check(
            self.own_hosts.iter().all(|host| is_host_name(host)),
            "gateway.own_hosts",
            "must be host names without scheme, port or path, such as \"chain.example\"",
        );
    }

    /// The trusted proxies and the host names of the server.
    pub fn site(&self) -> Site {
        Site {
            proxies: self.trusted_proxies.clone(),
            hosts: self.own_hosts.clone(),
        }
    }
}

fn is_host_name(name: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
    !name.is_empty() && name.chars().all(allowed)
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

plain_settings! { AuthMode = lower_case_word }

settings! {
    /// `[gateway.auth]`
    pub struct AuthConfig {
        /// `"optional"`: public channels need no JWT, but one that is sent must be valid; `"required"`: every session needs
        /// one; `"off"`: JWTs are ignored and private channels are unavailable.
        mode: AuthMode = AuthMode::Optional;
        /// The only accepted algorithm: HS256, RS256, ES256 or EdDSA.
        algorithm: String = "HS256".to_owned();
        /// HS256: the shared secret, at least 32 bytes; preferably set by CHAINCAST__GATEWAY__AUTH__SECRET.
        secret: Secret = Secret::default(), example("\"…\"");
        /// RS256, ES256, EdDSA: PEM file of the public key.
        public_key_file: Option<PathBuf> = None, example("\"jwt.pem\"");
        /// Instead of a PEM: file of a JSON Web Key Set (RFC 7517).
        jwks_file: Option<PathBuf> = None, example("\"jwks.json\"");
        /// Instead of a PEM: http(s) URL of a JSON Web Key Set.
        jwks_url: Option<Secret> = None, example("\"https://issuer.example/.well-known/jwks.json\"");
        /// Shortest time between two fetches of the key set at `jwks_url`, however many JWTs name unknown keys.
        jwks_reload_ms: u64 = 30_000, range(100, 600_000);
        /// Required `iss`, if set.
        issuer: Option<String> = None, example("\"https://issuer.example\"");
        /// Required `aud`, if set.
        audience: Option<String> = None, example("\"chaincast\"");
        /// Tolerated clock difference for `exp` and `nbf`.
        leeway_secs: u64 = 0, range(0, 3_600);
    }
}

settings! {
    /// `[gateway.limits]`
    pub struct LimitsConfig {
        /// Requests of a session per window.
        requests: u32 = 100, at_least(1), unit("requests");
        /// Length of the window.
        rate_window_ms: u64 = 60_000, range(1_000, 3_600_000);
        /// Rejected requests in one window after which the session is closed with 4029.
        abuse_requests: u32 = 100, unit("requests");
        /// WebSocket pings and pongs of a client per `rate_window_ms` before its session is closed with 4029.
        control_frames: u32 = 300, range(20, 1_000_000), unit("frames");
        /// Maximum size of an incoming message.
        message_bytes: usize = 65_536, range(128, 16_777_216);
        /// Subscriptions of a session.
        subscriptions: usize = 512, at_least(1);
        /// Channels in one request.
        channels_per_request: usize = 100, at_least(1);
        /// Ids in one acknowledge.
        acknowledged_ids: usize = 1_000, range(1, 10_000), unit("ids");
        /// Sessions per client address (an IPv6 /64 counts as one).
        connections_per_address: usize = 256, at_least(1), unit("sessions");
        /// Sessions in total; fewer if the limit of open files (ulimit -n) does not allow that many.
        connections: usize = 100_000, at_least(1), unit("sessions");
        /// Watched tx: and address: channels per client address (an IPv6 /64 counts as one): those that its clients without
        /// a JWT subscribe to, or did within watch_retention_secs.
        watches_per_address: usize = 1_024, at_least(1), unit("channels");
        /// The same per JWT subject; each gateway counts its own clients.
        watches_per_subject: usize = 4_096, at_least(1), unit("channels");
        /// Backlog of a session at which it is conflated, or closed with 4008.
        backlog_bytes: usize = 1_048_576, at_least(16_384);
        /// Time limit of a handshake.
        handshake_timeout_ms: u64 = 10_000, range(100, 600_000);
        /// Log lines per minute for each kind of client error; the rest is counted.
        log_lines: u32 = 60, range(1, 100_000), unit("lines");
    }
}
