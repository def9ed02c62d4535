//! REST: the stored data as JSON, with an OpenAPI description. One file per resource.
//!
//! Promises: pages have cursors and stay stable while new rows arrive; every error is a problem document with a stable
//! code and reveals no internals; no request takes longer, nor returns more, than configured. Assumes: everything here
//! may be read by anyone, except what belongs to a subject: price alerts. The application verifies JWTs (see
//! [`TokenVerifier`]). The channels `user:…` are not served.

mod addresses;
mod alert_deliveries;
mod alert_request;
mod alerts;
mod blocks;
mod candles;
mod code;
mod config;
mod contracts;
mod docs;
mod error;
mod extract;
mod health;
mod layers;
mod page;
mod prices;
mod source_status;
mod status;
mod subject;
mod time_range;
mod tokens;
mod transactions;
mod updates;
mod wire;
mod writers;

pub use config::{AlertsConfig, ApiConfig};
pub use docs::docs_router;
pub use subject::{TokenRefused, TokenVerifier};

use std::sync::{Arc, atomic::AtomicBool};

use axum::{Router, routing::any};
use utoipa::{OpenApi as _, openapi::OpenApi};
use utoipa_axum::{router::OpenApiRouter, routes};

use self::subject::BearerScheme;
use chaincast_http::client::OriginPolicy;
use chaincast_protocol::{ChainId, ChainLimits, now_ms};
use chaincast_store::Store;

/// State shared by the handlers.
pub struct ApiState {
    store: Store,
    config: ApiConfig,
    /// The configured chains; the first is the default of `?chain=`.
    chains: Vec<ChainId>,
    /// When each chain counts as lagging or down, and price sources on it too.
    limits: Vec<ChainLimits>,
    /// Origins that may read the API.
    origins: OriginPolicy,
    /// Whether prices are configured, so that some process must write them.
    has_prices: bool,
    /// `None` disables authentication.
    verifier: Option<Arc<dyn TokenVerifier>>,
    version: &'static str,
    /// In ms since the Unix epoch.
    started_at: i64,
    /// Whether the last readiness check could not read the database: logged once per outage.
    unreadable: AtomicBool,
}

type SharedApiState = axum::extract::State<Arc<ApiState>>;

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

    /// Enables authentication with this verifier.
    pub fn with_token_verifier(mut self, verifier: Arc<dyn TokenVerifier>) -> Self {
        self.verifier = Some(verifier);
        self
    }
}

#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "chaincast",
        description = "Blocks, transactions, transfers, contract events and token prices of EVM chains, as \
             indexed.\n\nLists are pages `{\"data\": […], \"next\": cursor}`: pass `next` as `cursor`, with the same \
             other parameters, for the next page; `null` on the last page. Hashes are 0x-hex, addresses are \
             checksummed (EIP-55), quantities of a chain are decimal strings. Prices are JSON numbers with full \
             precision. Errors are `application/problem+json` (RFC 9457) with a stable `code`.",
    ),
    tags(
        (name = "chain", description = "Blocks, transactions and transfers of the canonical chain"),
        (name = "contracts", description = "Configured contracts and their decoded events"),
        (name = "prices", description = "Tracked tokens and their prices"),
        (name = "alerts", description = "Price alerts of the authenticated user"),
        (name = "channels", description = "Messages of the live channels, by seq"),
        (name = "service", description = "Status and health of the service"),
    ),
    components(schemas(error::ProblemDocument)),
    modifiers(&BearerScheme),
)]
struct Description;

/// The routes under `/api/v1`, `/healthz` and `/readyz`, and their description. Other paths under `/api` return 404,
/// unless a router merged with this one has them.
pub fn router(state: ApiState) -> (Router, OpenApi) {
    let state = Arc::new(state);
    let (router, openapi) = OpenApiRouter::with_openapi(Description::openapi())
        .routes(routes!(status::read_status))
        .routes(routes!(blocks::list_blocks))
        .routes(routes!(blocks::read_block))
        .routes(routes!(blocks::read_header))
        .routes(routes!(transactions::list_block_transactions))
        .routes(routes!(transactions::read_transaction))
        .routes(routes!(addresses::list_address_transactions))
        .routes(routes!(addresses::list_address_transfers))
        .routes(routes!(contracts::list_contracts))
        .routes(routes!(contracts::list_contract_events))
        .routes(routes!(tokens::list_tokens))
        .routes(routes!(prices::list_prices))
        .routes(routes!(prices::read_price))
        .routes(routes!(prices::list_ticks))
        .routes(routes!(candles::list_candles))
        .routes(routes!(alerts::list_alerts, alerts::create_alert))
        .routes(routes!(alerts::read_alert, alerts::delete_alert))
        .routes(routes!(alert_deliveries::list_deliveries))
        .routes(routes!(alert_deliveries::acknowledge_deliveries))
        .routes(routes!(updates::list_updates))
        .routes(routes!(health::healthz))
        .routes(routes!(health::readyz))
        .split_for_parts();
    let router = router
        .route("/api", any(error::unknown_path))
        .route("/api/", any(error::unknown_path))
        .route("/api/{*rest}", any(error::unknown_path))
        .method_not_allowed_fallback(error::method_not_allowed)
        .with_state(Arc::clone(&state));
    let origins = state.origins.clone();
    (layers::around(router, &state.config, origins), openapi)
}
