use std::path::PathBuf;

use serde::Deserialize;

use chaincast_base::{
    Secret,
    settings::{Problems, lower_case_word, plain_settings, settings},
};

/// Least bytes of a key for HMAC-SHA-256 (RFC 2104 section 3).
const MIN_KEY_BYTES: usize = 32;

/// How committed updates travel between processes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BusKind {
    /// Within this process; other processes see updates by polling the store.
    Memory,
    /// Through Redis as well.
    Redis,
}

plain_settings! { BusKind = lower_case_word }

settings! {
    /// `[bus]`
    pub struct BusConfig {
        /// How updates travel between processes: `"memory"`, or `"redis"` if gateways run as separate processes.
        kind: BusKind = BusKind::Memory;
        /// URL of Redis; `rediss://` for TLS, `unix:///path` for a socket. Redis may be unreachable at start.
        redis_url: Secret = Secret::default(), example("\"redis://127.0.0.1:6379\"");
        /// PEM file of the certificate authorities of a `rediss://` server; default: the system's.
        redis_ca: Option<PathBuf> = None, example("\"/etc/chaincast/redis-ca.pem\"");
        /// Key that signs the messages, so that hubs need not read each update from the database: at least 32 bytes, the
        /// same in every process. Keep it secret, as CHAINCAST__BUS__REDIS_KEY.
        redis_key: Secret = Secret::default(), example("\"…\"");
        /// Commits buffered for a slow hub; beyond it the hub reads from the database.
        capacity: usize = 4_096, range(16, 1_048_576), unit("commits");
        /// Interval at which a hub checks the database for missed updates.
        poll_interval_ms: u64 = 1_000, range(20, 60_000);
    }
}

impl BusConfig {
    /// Checks what no key shows by itself.
    pub fn check(&self, problems: &mut Problems) {
        let has_redis = Problems::has_scheme(&self.redis_url, &["redis", "rediss", "unix"]);
        if self.kind == BusKind::Redis && !has_redis {
            problems.refuse(
                "bus.redis_url",
                "is required when bus.kind is \"redis\"; use redis://host:6379",
            );
        }
        problems.check(
            self.redis_ca.is_none()
                || problems.is_reported("bus.redis_url")
                || Problems::has_scheme(&self.redis_url, &["rediss"]),
            "bus.redis_ca",
            "requires a bus.redis_url that begins with rediss://",
        );
        problems.check(
            self.redis_key.is_empty() || self.redis_key.expose().len() >= MIN_KEY_BYTES,
            "bus.redis_key",
            "is too short; use at least 32 bytes, such as the output of `openssl rand -hex 32`",
        );
    }
}
