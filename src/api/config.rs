use serde::Deserialize;

/// `[api]`
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ApiConfig {
    /// `Origin`s that may read the API from a browser (CORS); `*` for any.
    pub allowed_origins: Vec<String>,
    /// Items a page when the request does not say.
    pub default_limit: u32,
    /// Most items a page.
    pub max_limit: u32,
    /// How long one request may take, in ms.
    pub request_timeout_ms: u64,
    /// `/readyz` fails when the newest block is further than this behind the node, in blocks.
    pub ready_lag_blocks: u64,
    /// `/readyz` fails when a chain's node has not answered for this long, in ms.
    pub ready_silence_ms: u64,
    pub alerts: AlertsConfig,
}

/// `[api.alerts]`
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AlertsConfig {
    /// Active alerts a user.
    pub per_user: u32,
    /// Active alerts of all users: the price writer holds them in memory.
    pub total: u32,
    /// New alerts a user in any window of `rate_window_ms`, over all processes.
    pub creations: u32,
    pub rate_window_ms: u32,
    /// How far the price has to go back for a repeating alert that says nothing itself, in basis points of its
    /// threshold.
    pub hysteresis_bps: u32,
    /// The least that one may ask for, in basis points of its threshold: a price that trembles must not fire with
    /// every tick.
    pub min_hysteresis_bps: u32,
    /// Longest note, in bytes.
    pub note_bytes: usize,
    /// Ids in one acknowledgement.
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
