//! REST: what is stored, as JSON, with an OpenAPI description. One file a resource.
//!
//! Promises: pages are cursors and stay stable while new rows arrive; every error is a problem document with a stable
//! code and says nothing of the inside; no request takes longer, nor answers more, than the configuration allows.
//! Assumes: everything here may be read by anyone, but for what belongs to a subject: price alerts. Whose a token is, the
//! application tells (see [`TokenVerifier`]). The channel `user:…` itself is not served.

mod addresses;
mod alert_deliveries;
mod alert_request;
mod alerts;
mod blocks;
mod candles;
mod config;
mod contracts;
mod docs;
mod error;
mod extract;
mod health;
mod layers;
mod moment;
mod page;
mod prices;
mod source_status;
mod status;
mod subject;
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

use self::subject::Bearer;
use crate::{
    model::{ChainId, ChainLimits, now_ms},
    store::Store,
    visitor::{OriginPolicy, Site},
};

/// What the handlers share.
pub struct ApiState {
    store: Store,
    config: ApiConfig,
    /// Those configured; the first is meant by requests without `?chain=`.
    chains: Vec<ChainId>,
    /// From when on which of them is not well, and price sources on it with it.
    limits: Vec<ChainLimits>,
    /// Pages that may read it.
    origins: OriginPolicy,
    /// Whether prices are configured, which some process then is to write.
    has_prices: bool,
    /// Without one nobody is anybody.
    verifier: Option<Arc<dyn TokenVerifier>>,
    version: &'static str,
    /// In ms since the Unix epoch.
    started_at: i64,
    /// Whether the database could not be read when readiness was asked for last: that is logged once an outage.
    unreadable: AtomicBool,
}

type Shared = axum::extract::State<Arc<ApiState>>;

impl ApiState {
    /// For the configured `chains`, of which the first is the default. There must be one.
    pub fn new(store: Store, config: ApiConfig, chains: Vec<ChainId>) -> Self {
        Self {
            origins: OriginPolicy::new(&config.allowed_origins, Site::default())
                .unwrap_or_default(),
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

    /// Lets these pages read it, instead of those that the configuration names.
    pub fn with_origins(mut self, origins: OriginPolicy) -> Self {
        self.origins = origins;
        self
    }

    /// Takes price sources for no better than these chains, where those are down or lag.
    pub fn watching(mut self, limits: Vec<ChainLimits>) -> Self {
        self.limits = limits;
        self
    }

    /// With tokens configured: it is ready only while their prices are written.
    pub fn with_prices(mut self, has_prices: bool) -> Self {
        self.has_prices = has_prices;
        self
    }

    /// Serves what belongs to subjects, to those whose token this takes.
    pub fn with_tokens(mut self, verifier: Arc<dyn TokenVerifier>) -> Self {
        self.verifier = Some(verifier);
        self
    }
}

#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "chaincast",
        description = "Blocks, transactions, transfers, contract events and token prices of EVM chains, as indexed.\n\n\
            Lists are pages `{\"data\": […], \"next\": cursor}`: pass `next` as `cursor`, with the same other \
            parameters, for the next page; `null` is the end. Hashes are 0x-hex, addresses are checksummed (EIP-55), \
            quantities of a chain are decimal strings. Prices are JSON numbers with all their digits. Errors are \
            `application/problem+json` (RFC 9457) with a stable `code`.",
    ),
    tags(
        (name = "chain", description = "Blocks, transactions and transfers of the canonical chain"),
        (name = "contracts", description = "Configured contracts and their decoded events"),
        (name = "prices", description = "Tracked tokens and their prices"),
        (name = "alerts", description = "Price alerts of the user whose token is given"),
        (name = "channels", description = "The messages of the live channels, by seq"),
        (name = "service", description = "How the service itself is doing"),
    ),
    components(schemas(error::ProblemDocument)),
    modifiers(&Bearer),
)]
struct Description;

/// Everything under `/api/v1` that the store answers, `/healthz` and `/readyz`; and their description.
/// Other paths under `/api` answer 404, unless another router that is merged with this one has them.
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
        .method_not_allowed_fallback(error::wrong_method)
        .with_state(Arc::clone(&state));
    let origins = state.origins.clone();
    (layers::around(router, &state.config, origins), openapi)
}
