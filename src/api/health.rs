//! `/healthz`: the process is alive. `/readyz`: it can serve, and if not, why.

use std::{sync::atomic::Ordering, time::Duration};

use axum::{
    Json,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    ApiConfig, ApiState, Shared,
    blocks::ChainQuery,
    error::{Problem, Problems},
    extract::Params,
    writers::unwritten,
};
use crate::{
    model::ChainId,
    store::{StoreError, read::ChainRow, writer::Stream, writers::found},
};

/// How long the database may take to answer: shorter than the patience of whoever probes.
const PATIENCE: Duration = Duration::from_secs(2);

#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Alive {
    alive: bool,
}

/// Whether the process is alive
#[utoipa::path(
    get, path = "/healthz", tag = "service",
    responses((status = 200, description = "It is", body = Alive))
)]
pub(super) async fn healthz() -> Json<Alive> {
    Json(Alive { alive: true })
}

/// Whether the service is ready, check by check.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Readiness {
    ready: bool,
    checks: Vec<Check>,
}

#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Check {
    /// `database`, `chain:ID`, `prices` when there are sources of them, or `indexes` while some are yet to be built after
    /// a large load.
    #[schema(examples("database"))]
    name: String,
    ok: bool,
    /// For people.
    detail: String,
}

impl Check {
    fn new(name: impl Into<String>, ok: bool, detail: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            ok,
            detail: detail.into(),
        }
    }
}

/// Whether the service can serve, and why not
///
/// It is ready when the database answers and takes writes, no index is left out for a large load, prices are written when
/// there are sources of them, and a chain that is not halted and that some process writes has a node that answered of late
/// and a head that is not too far behind it. With several chains one is enough: what is wrong with one must
/// not take the others away. `chain` asks about that one.
#[utoipa::path(
    get, path = "/readyz", tag = "service", params(ChainQuery),
    responses(
        (status = 200, description = "Ready", body = Readiness),
        (status = 503, description = "Not ready; the checks say why", body = Readiness),
        Problems
    )
)]
pub(super) async fn readyz(
    State(state): Shared,
    Params(query): Params<ChainQuery>,
) -> Result<Response, Problem> {
    let chains = match query.chain {
        Some(_) => vec![state.chain(query.chain)?],
        None => state.chains.clone(),
    };
    let database = |detail: String| (vec![Check::new("database", false, detail)], Vec::new());
    let (mut checks, chains) = match tokio::time::timeout(PATIENCE, checks(&state, &chains)).await {
        Ok(Ok(checks)) => {
            if state.unreadable.swap(false, Ordering::Relaxed) {
                tracing::info!("the database can be read again");
            }
            checks
        }
        Ok(Err(error)) => {
            if !state.unreadable.swap(true, Ordering::Relaxed) {
                tracing::warn!(%error, "not ready: the database cannot be read");
            }
            database("the database cannot be read".to_owned())
        }
        Err(_) => database(format!(
            "the database gave no answer within {} ms",
            PATIENCE.as_millis()
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

/// What every request needs, and then each chain.
async fn checks(
    state: &ApiState,
    chains: &[ChainId],
) -> Result<(Vec<Check>, Vec<Check>), StoreError> {
    let rows = state.store.read_chains(chains).await?;
    let halts = state.store.read_halts(chains).await?;
    let writers = state.store.read_writers().await?;
    let mut whole = vec![match state.store.is_read_only().await? {
        false => Check::new("database", true, "answers"),
        true => Check::new(
            "database",
            false,
            "answers, but takes no writes: it is a replica, or default_transaction_read_only is on",
        ),
    }];
    if state.has_prices {
        let written = found(&writers, Stream::Prices);
        whole.push(
            match (unwritten(&state.store, &writers, Stream::Prices), written) {
                (Some(why), _) => Check::new("prices", false, why),
                (None, Some(row)) => {
                    Check::new("prices", true, format!("written by {}", row.holder))
                }
                (None, None) => Check::new("prices", false, "no process has written them yet"),
            },
        );
    }
    let missing = state.store.read_deferred_indexes().await?;
    if !missing.is_empty() {
        let detail = format!(
            "a large load goes on without {}; they are built after it",
            missing.join(", ")
        );
        whole.push(Check::new("indexes", false, detail));
    }
    let each = chains.iter().map(|id| {
        let row = rows.iter().find(|row| row.chain_id == *id);
        match halts.iter().find(|halt| halt.chain_id == *id) {
            Some(halt) => {
                let detail = format!("halted: {}", halt.reason);
                Check::new(format!("chain:{id}"), false, detail)
            }
            None => match unwritten(&state.store, &writers, Stream::Chain(*id)) {
                Some(why) => Check::new(format!("chain:{id}"), false, why),
                None => chain(*id, row, &state.config),
            },
        }
    });
    Ok((whole, each.collect()))
}

fn chain(id: ChainId, row: Option<&ChainRow>, config: &ApiConfig) -> Check {
    let name = format!("chain:{id}");
    let Some(head) = row.and_then(|row| row.head) else {
        return Check::new(name, false, "no block is indexed yet");
    };
    let heard = row.and_then(|row| row.node_head.zip(row.node_silent_ms));
    let Some((node, silent_ms)) = heard else {
        let detail = format!(
            "block {} is indexed; the node has not answered yet",
            head.number
        );
        return Check::new(name, false, detail);
    };
    let silent_ms = u64::try_from(silent_ms).unwrap_or(0);
    if silent_ms > config.ready_silence_ms {
        let detail = format!(
            "the node has not answered for {} s, or no indexer asks it",
            silent_ms / 1_000
        );
        return Check::new(name, false, detail);
    }
    let (lag, most) = (node.saturating_sub(head.number), config.ready_lag_blocks);
    let detail = format!("block {} is {lag} behind the node", head.number);
    if lag > most {
        return Check::new(
            name,
            false,
            format!("{detail}; more than {most} is not ready"),
        );
    }
    Check::new(name, true, detail)
}
