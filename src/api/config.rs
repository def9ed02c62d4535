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
        }
    }
}
