//! The state of the API.

use std::sync::{Arc, atomic::AtomicBool};

use utoipa_axum::router::OpenApiRouter;

use super::{ApiConfig, TokenVerifier, error::Problem, messaging::Messaging};
use chaincast_http::client::OriginPolicy;
use chaincast_protocol::{ChainId, ChainLimits, now_ms};
use chaincast_store::Store;

/// State shared by the handlers.
pub struct ApiState {
    pub(super) store: Store,
    pub(super) config: ApiConfig,
    /// The configured chains; the first is the default of `?chain=`.
    pub(super) chains: Vec<ChainId>,
    /// When each chain counts as lagging or down, and price sources on it too.
    pub(super) limits: Vec<ChainLimits>,
    /// Origins that may read the API.
    pub(super) origins: OriginPolicy,
    /// Whether prices are configured, so that some process must write them.
    pub(super) has_prices: bool,
    /// `None` disables messages.
    pub(super) messaging: Option<Messaging>,
    /// `None` disables authentication.
    pub(super) verifier: Option<Arc<dyn TokenVerifier>>,
    pub(super) version: &'static str,
    /// In ms since the Unix epoch.
    pub(super) started_at: i64,
    /// Whether the last readiness check could not read the database: logged once per outage.
    pub(super) unreadable: AtomicBool,
}

/// The routes of a resource, with their description.
pub(super) type Routes = OpenApiRouter<Arc<ApiState>>;

/// How handlers receive it.
pub(super) type SharedApiState = axum::extract::State<Arc<ApiState>>;

impl ApiState {
    /// Creates the state for the configured `chains`. There must be one; the first is the default. Pages of `origins` may
    /// read the API.
    pub fn new(
        store: Store,
        config: ApiConfig,
        chains: Vec<ChainId>,
        origins: OriginPolicy,
    ) -> Self {
        Self {
            origins,
            store,
            config,
            chains,
            limits: Vec::new(),
            has_prices: false,
            messaging: None,
            verifier: None,
            version: env!("CARGO_PKG_VERSION"),
            started_at: now_ms(),
            unreadable: AtomicBool::new(false),
        }
    }

    /// Sets the limits of chains: a price source is not healthier than its chain.
    pub fn with_chain_limits(mut self, limits: Vec<ChainLimits>) -> Self {
        self.limits = limits;
        self
    }

    /// Sets whether prices are configured: then it is ready only while they are written.
    pub fn with_prices(mut self, has_prices: bool) -> Self {
        self.has_prices = has_prices;
        self
    }

    /// Enables messages of backends, and what moderators do.
    pub fn with_messaging(mut self, messaging: Messaging) -> Self {
        self.messaging = Some(messaging);
        self
    }

    /// What publishes and moderates messages.
    pub(super) fn messaging(&self) -> Result<&Messaging, Problem> {
        let messaging = self.messaging.as_ref();
        messaging.ok_or_else(|| Problem::forbidden("messages are disabled on this server"))
    }

    /// Enables authentication with this verifier.
    pub fn with_token_verifier(mut self, verifier: Arc<dyn TokenVerifier>) -> Self {
        self.verifier = Some(verifier);
        self
    }
}
