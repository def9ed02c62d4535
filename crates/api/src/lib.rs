//! REST: the stored data as JSON, with an OpenAPI description. One file per resource.
//!
//! ```text
//! request ─▶ layers ─▶ extract ─▶ a resource ─▶ store::read ─▶ wire, page ─▶ JSON
//!                                     └─▶ error ─▶ problem document
//! ```
//!
//! | modules | what they have |
//! |---|---|
//! | those of `RESOURCES` | the resources |
//! | `alert_request`, `alert_schema`, `subject`, `token_verifier` | parts of the resources of one user, and who that is |
//! | `messaging` | what the resources of messages share |
//! | `source_status`, `writers` | parts of `/status` and `/readyz` |
//! | `state`, `config`, `layers`, `extract`, `time_range`, `page`, `wire`, `code`, `error`, `docs` | what resources share: state, middleware, parameters, pages, JSON types, problems, the description |
//!
//! Promises: pages have cursors and stay stable while new rows arrive; every error is a problem document with a stable
//! code and reveals no internals; no request takes longer, nor returns more, than configured. Assumes: everything here
//! may be read by anyone, except what belongs to a subject (price alerts) and rooms, whose rules decide. The application
//! verifies JWTs (see [`TokenVerifier`]). The channels `user:…` are not served.

mod addresses;
mod alert_deliveries;
mod alert_request;
mod alert_schema;
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
mod messaging;
mod moderation;
mod page;
mod prices;
mod publish;
mod source_status;
mod state;
mod status;
mod subject;
mod time_range;
mod token_verifier;
mod tokens;
mod transactions;
mod updates;
mod wire;
mod writers;

pub use config::{AlertsConfig, ApiConfig};
pub use docs::docs_router;
pub use messaging::Messaging;
pub use state::ApiState;
pub use token_verifier::{Client, TokenRefused, TokenVerifier};

use std::sync::Arc;

use axum::{Router, routing::any};
use utoipa::{OpenApi as _, openapi::OpenApi};

use self::{
    state::{Routes, SharedApiState},
    subject::BearerScheme,
};

/// Every resource. The router and the OpenAPI description follow.
const RESOURCES: &[fn() -> Routes] = &[
    status::routes,
    blocks::routes,
    transactions::routes,
    addresses::routes,
    contracts::routes,
    tokens::routes,
    prices::routes,
    candles::routes,
    alerts::routes,
    alert_deliveries::routes,
    updates::routes,
    publish::routes,
    moderation::routes,
    health::routes,
];

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
        (name = "messages", description = "Messages of backends, and what moderators do"),
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
    let description = Routes::with_openapi(Description::openapi());
    let resources = RESOURCES.iter();
    let all = resources.fold(description, |all, routes| all.merge(routes()));
    let (router, openapi) = all.split_for_parts();
    let router = router
        .route("/api", any(error::unknown_path))
        .route("/api/", any(error::unknown_path))
        .route("/api/{*rest}", any(error::unknown_path))
        .method_not_allowed_fallback(error::method_not_allowed)
        .with_state(Arc::clone(&state));
    let origins = state.origins.clone();
    (layers::around(router, &state.config, origins), openapi)
}
