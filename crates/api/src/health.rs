//! `/healthz`: whether the process is alive. `/readyz`: whether it can serve requests, and if not, why.

use std::{sync::atomic::Ordering, time::Duration};

use axum::{
    Json,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::routes;

use super::{
    ApiConfig, ApiState, Routes, SharedApiState,
    blocks::ChainQuery,
    error::{Problem, Problems},
    extract::Params,
    writers::write_failure,
};
use chaincast_protocol::ChainId;
use chaincast_store::{StoreError, read::ChainRow, writer::Stream, writers::find_writer};

pub(super) fn routes() -> Routes {
    Routes::new()
        .routes(routes!(healthz))
        .routes(routes!(readyz))
}

/// Timeout of the database: shorter than common timeouts of probes.
const DATABASE_TIMEOUT: Duration = Duration::from_secs(2);

#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Alive {
    alive: bool,
}

/// Whether the process is alive
#[utoipa::path(
    get, path = "/healthz", tag = "service",
    responses((status = 200, description = "The process is alive", body = Alive))
)]
async fn healthz() -> Json<Alive> {
    Json(Alive { alive: true })
}

/// Whether the service is ready, with each check.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Readiness {
    ready: bool,
    checks: Vec<Check>,
}

#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Check {
    /// `database`; `chain:ID`; `prices`, if price sources are configured; or `indexes`, while some must still be
    /// rebuilt after a large load.
    #[schema(examples("database"))]
    name: String,
    ok: bool,
    /// Human-readable.
    detail: String,
}

impl Check {
    fn passed(name: impl Into<String>, detail: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            ok: true,
            detail: detail.into(),
        }
    }

    fn failed(name: impl Into<String>, detail: impl Into<String>) -> Self {
        Self {
            ok: false,
            ..Self::passed(name, detail)
        }
    }
}

/// Whether the service is ready, and if not, why
///
/// It is ready if the database accepts reads and writes, no index is deferred for a large load, prices are written (if
/// price sources are configured), and at least one chain is ready: not halted, written by a process, with a node that
/// answered recently and a head close to the node's. One of several chains is enough, so that a failure of one does not
/// take the others offline. With `chain`, only that chain is checked.
#[utoipa::path(
    get, path = "/readyz", tag = "service", params(ChainQuery),
    responses(
        (status = 200, description = "Ready", body = Readiness),
        (status = 503, description = "Not ready; the failed checks state why", body = Readiness),
        Problems
    )
)]
async fn readyz(
    State(state): SharedApiState,
    Params(query): Params<ChainQuery>,
) -> Result<Response, Problem> {
    let chains = match query.chain {
        Some(_) => vec![state.chain(query.chain)?],
        None => state.chains.clone(),
    };
    let database = |detail: String| (vec![Check::failed("database", detail)], Vec::new());
    let (mut checks, chains) =
        match tokio::time::timeout(DATABASE_TIMEOUT, checks(&state, &chains)).await {
            Ok(Ok(checks)) => {
                if state.unreadable.swap(false, Ordering::Relaxed) {
                    tracing::info!("the database is readable again");
                }
                checks
            }
            Ok(Err(error)) => {
                if !state.unreadable.swap(true, Ordering::Relaxed) {
                    tracing::warn!(%error, "not ready: cannot read the database");
                }
                database("cannot read the database".to_owned())
            }
            Err(_) => database(format!(
                "the database did not answer within {} ms",
                DATABASE_TIMEOUT.as_millis()
            )),
        };
    let ready = checks.iter().all(|check| check.ok) && chains.iter().any(|check| check.ok);
    checks.extend(chains);
    let status = match ready {
        true => StatusCode::OK,
        false => StatusCode::SERVICE_UNAVAILABLE,
    };
    Ok((status, Json(Readiness { ready, checks })).into_response())
}

/// The checks of the whole service, and those of each chain.
async fn checks(
    state: &ApiState,
    chains: &[ChainId],
) -> Result<(Vec<Check>, Vec<Check>), StoreError> {
    let rows = state.store.read_chains(chains).await?;
    let halts = state.store.read_halts(chains).await?;
    let writers = state.store.read_writers().await?;
    let mut whole = vec![match state.store.is_read_only().await? {
        false => Check::passed("database", "answers"),
        true => Check::failed(
            "database",
            "answers, but is read-only: it is a replica, or default_transaction_read_only is on",
        ),
    }];
    if state.has_prices {
        let written = find_writer(&writers, Stream::Prices);
        whole.push(
            match (
                write_failure(&state.store, &writers, Stream::Prices),
                written,
            ) {
                (Some(why), _) => Check::failed("prices", why),
                (None, Some(row)) => Check::passed("prices", format!("written by {}", row.holder)),
                (None, None) => Check::failed("prices", "no process has written prices yet"),
            },
        );
    }
    let missing = state.store.read_deferred_indexes().await?;
    if !missing.is_empty() {
        let detail = format!(
            "a large load is running without the indexes {}; they are rebuilt after it",
            missing.join(", ")
        );
        whole.push(Check::failed("indexes", detail));
    }
    let each = chains.iter().map(|id| {
        let row = rows.iter().find(|row| row.chain_id == *id);
        match halts.iter().find(|halt| halt.chain_id == *id) {
            Some(halt) => {
                let detail = format!("halted: {}", halt.reason);
                Check::failed(format!("chain:{id}"), detail)
            }
            None => match write_failure(&state.store, &writers, Stream::Chain(*id)) {
                Some(why) => Check::failed(format!("chain:{id}"), why),
                None => chain(*id, row, &state.config),
            },
        }
    });
    Ok((whole, each.collect()))
}

fn chain(id: ChainId, row: Option<&ChainRow>, config: &ApiConfig) -> Check {
    let name = format!("chain:{id}");
    let Some(head) = row.and_then(|row| row.head) else {
        return Check::failed(name, "no block is indexed yet");
    };
    let answer = row.and_then(|row| row.node_head.zip(row.node_silent_ms));
    let Some((node, silent_ms)) = answer else {
        let detail = format!(
            "block {} is indexed; the node has not answered yet",
            head.number
        );
        return Check::failed(name, detail);
    };
    let silent_ms = u64::try_from(silent_ms).unwrap_or(0);
    if silent_ms > config.ready_silence_ms {
        let detail = format!(
            "the node has not answered for {} s, or no indexer polls it",
            silent_ms / 1_000
        );
        return Check::failed(name, detail);
    }
    let (lag, most) = (node.saturating_sub(head.number), config.ready_lag_blocks);
    let detail = format!("block {} is {lag} blocks behind the node", head.number);
    if lag > most {
        return Check::failed(name, format!("{detail}; ready up to {most}"));
    }
    Check::passed(name, detail)
}
