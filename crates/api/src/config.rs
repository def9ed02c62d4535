use chaincast_base::settings::{Problems, settings};
use chaincast_http::client::{OriginPolicy, Site};

settings! {
    /// `[api]`
    pub struct ApiConfig {
        /// Browser origins that may read the API (CORS), besides the server's own; `"*"` for any.
        allowed_origins: Vec<String> = vec!["*".to_owned()];
        /// Items per page if the request does not set it; at most `max_limit`.
        default_limit: u32 = 100, range(1, 1_000), unit("items");
        /// Most items per page.
        max_limit: u32 = 1_000, range(1, 1_000), unit("items");
        /// Time limit of a request.
        request_timeout_ms: u64 = 10_000, range(100, 600_000);
        /// A chain further behind its node is not ready; /readyz fails if no chain is ready.
        ready_lag_blocks: u64 = 100, unit("blocks");
        /// Nor is one whose node has not answered for this long; more than every `poll_interval_ms`.
        ready_silence_ms: u64 = 30_000, range(5_000, 86_400_000);
        /// Channels in one POST /publish; no more than `gateway.messages.queue`.
        publish_channels: usize = 1_000, range(1, 4_096), unit("channels");
        /// Price alerts, for requests with a JWT.
        alerts: AlertsConfig = AlertsConfig::default();
    }
}

settings! {
    /// `[api.alerts]`
    pub struct AlertsConfig {
        /// Active price alerts per user.
        per_user: u32 = 100, range(1, 100_000), unit("alerts");
        /// Active price alerts in total; the price writer holds them in memory.
        total: u32 = 50_000, range(1, 1_000_000), unit("alerts");
        /// New alerts of a user per window, over all processes.
        creations: u32 = 60, range(1, 100_000), unit("alerts");
        /// Length of the window.
        rate_window_ms: u32 = 60_000, range(1_000, 3_600_000);
        /// Default hysteresis of a repeating alert, relative to the threshold: how far the price must return before the
        /// alert may fire again; at least `min_hysteresis_bps`.
        hysteresis_bps: u32 = 50, range(1, 5_000);
        /// Smallest accepted hysteresis, relative to the threshold: small price movements must not fire an alert with
        /// every tick.
        min_hysteresis_bps: u32 = 10, range(1, 5_000);
        /// Longest note.
        note_bytes: usize = 256, range(0, 4_096);
        /// Ids in one acknowledgement.
        acknowledged_ids: usize = 1_000, range(1, 10_000), unit("ids");
    }
}

impl ApiConfig {
    /// Checks what no key shows by itself; `poll_intervals_ms` are those of the chains.
    pub fn check(&self, mut poll_intervals_ms: impl Iterator<Item = u64>, problems: &mut Problems) {
        if let Err(error) = OriginPolicy::new(&self.allowed_origins, Site::default()) {
            problems.add("api.allowed_origins", error.to_string());
        }
        problems.check(
            self.default_limit <= self.max_limit,
            "api.default_limit",
            "must be 1 to api.max_limit",
        );
        problems.check(
            poll_intervals_ms.all(|interval| interval < self.ready_silence_ms),
            "api.ready_silence_ms",
            "must be more than poll_interval_ms of every chain; otherwise an idle node is reported as silent",
        );
        problems.check(
            self.alerts.hysteresis_bps >= self.alerts.min_hysteresis_bps
                || problems.is_reported("api.alerts.min_hysteresis_bps"),
            "api.alerts.hysteresis_bps",
            "must be at least api.alerts.min_hysteresis_bps",
        );
    }
}
