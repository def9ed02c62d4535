use serde::Deserialize;

/// `[api]`
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ApiConfig {
    /// `Origin`s that may read the API from a browser (CORS); `*` for any.
    pub allowed_origins: Vec<String>,
    /// Default page size, in items.
    pub default_limit: u32,
    /// Maximum page size, in items.
    pub max_limit: u32,
    /// Timeout of a request, in ms.
    pub request_timeout_ms: u64,
    /// `/readyz` fails if the newest block is more than this many blocks behind the node.
    pub ready_lag_blocks: u64,
    /// `/readyz` fails if a chain's node has not answered for this long, in ms.
    pub ready_silence_ms: u64,
    pub alerts: AlertsConfig,
}

/// `[api.alerts]`
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AlertsConfig {
    /// Maximum active alerts per user.
    pub per_user: u32,
    /// Maximum active alerts of all users: the price writer holds them in memory.
    pub total: u32,
    /// Maximum new alerts per user in any window of `rate_window_ms`, over all processes.
    pub creations: u32,
    pub rate_window_ms: u32,
    /// Default hysteresis of a repeating alert: how far the price must move back, in basis points of the threshold.
    pub hysteresis_bps: u32,
    /// Minimum hysteresis of a repeating alert, in basis points of the threshold: small price movements must not fire
    /// it with every tick.
    pub min_hysteresis_bps: u32,
    /// Maximum length of a note, in bytes.
    pub note_bytes: usize,
    /// Maximum number of ids in one acknowledgement.
    pub acknowledged_ids: usize,
}

impl Default for AlertsConfig {
    fn default() -> Self {
        Self {
            per_user: 100,
            total: 50_000,
            creations: 60,
            rate_window_ms: 60_000,
            hysteresis_bps: 50,
            min_hysteresis_bps: 10,
            note_bytes: 256,
            acknowledged_ids: 1_000,
        }
    }
}

impl Default for ApiConfig {
    fn default() -> Self {
        Self {
            allowed_origins: vec!["*".to_owned()],
            default_limit: 100,
            max_limit: 1_000,
            request_timeout_ms: 10_000,
            ready_lag_blocks: 100,
            ready_silence_ms: 30_000,
            alerts: AlertsConfig::default(),
        }
    }
}
