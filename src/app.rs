//! The composition root: bind, wire, spawn, drain.

mod descriptors;
mod hosts;
mod tokens;

pub use self::descriptors::Descriptors;

use std::{
    collections::{BTreeMap, BTreeSet},
    future::Future,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{Router, routing::get};
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use self::tokens::Tokens;
use crate::{
    api::{self, ApiState},
    bus::{Bus, BusError},
    config::{Config, ConfigError},
    gateway::{Gateway, GatewayError, KnownChannels},
    ingest::{ChainContext, ChainWriters, IngestError, PriceIngest, PriceSignals},
    model::{ChainLimits, IndexMode},
    page,
    server::{self, Room},
    shutdown::{Failures, TaskFailure, Tasks},
    source::{
        chain::ChainConfig,
        contract::Contract,
        price::{OnChainSources, PriceConfigError},
    },
    store::{Store, StoreError},
    telemetry::TelemetryError,
    visitor::{OriginError, OriginPolicy},
};

/// Which part of the service a process is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    All,
    /// Writes: chains and prices. Serves REST and metrics, no realtime gateway.
    Indexer,
    /// Serves what others write.
    Gateway,
}

/// What writers have to finish their commit when sessions took all the time there was.
const WRITERS_MOMENT: Duration = Duration::from_secs(1);

/// Why the application did not start, or ended.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Bus(#[from] BusError),
    #[error(transparent)]
    Gateway(#[from] GatewayError),
    #[error(transparent)]
    Ingest(#[from] IngestError),
    #[error(transparent)]
    Prices(#[from] PriceConfigError),
    #[error(transparent)]
    Origin(#[from] OriginError),
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Telemetry(#[from] TelemetryError),
    #[error("the address it listens on cannot be read: {0}")]
    Address(std::io::Error),
    #[error(transparent)]
    Task(#[from] TaskFailure),
    #[error("some tasks were still running {0:?} after shutdown began; they were abandoned")]
    Drain(Duration),
}

/// A running chaincast.
pub struct App {
    address: SocketAddr,
    drain: Duration,
    tasks: Tasks,
    failures: Failures,
    gateway: Option<Gateway>,
    /// Stops accepting connections, ahead of everything else.
    listening: CancellationToken,
    store: Store,
}

impl App {
    /// Connects the database, wires the parts of `role` and begins to serve on `listener`.
    pub async fn start(
        mut config: Config,
        role: Role,
        listener: TcpListener,
        metrics: PrometheusHandle,
    ) -> Result<Self, AppError> {
        let address = listener.local_addr().map_err(AppError::Address)?;
        let descriptors = Descriptors::of_process(&config);
        if let Some(descriptors) = descriptors {
            if role != Role::Indexer
                && let Some(doubt) = descriptors.doubt(&config)
            {
                tracing::warn!("{doubt}");
            }
            let connections = &mut config.gateway.limits.connections;
            *connections = descriptors.sessions.min(*connections);
        }
        let store = match role {
            Role::Gateway => Store::connect(&config.database).await?,
            Role::All | Role::Indexer => Store::connect_for_writing(&config.database).await?,
        };
        let (tasks, failures) = Tasks::new();
        let bus = Bus::connect(&config.bus, store.clone(), &tasks).await?;
        let listening = CancellationToken::new();

        // The hub listens before anyone writes, so that it misses nothing.
        let gateway = if role == Role::Indexer {
            None
        } else {
            let known = KnownChannels {
                first_chain: config.first_chain(),
                chain_ids: config.chains.iter().map(|chain| chain.chain_id).collect(),
                tokens: config
                    .prices
                    .tokens
                    .iter()
                    .map(|token| token.symbol.clone())
                    .collect(),
                transactions: config
                    .chains
                    .iter()
                    .any(|chain| chain.index == IndexMode::Blocks),
                contracts: contract_channels(&config.contracts()?),
            };
            let feed = bus.feed().await?;
            let history = bus.history().watching(chain_limits(&config));
            let gateway =
                Gateway::start(config.gateway.clone(), known, feed, history, &tasks).await?;
            Some(gateway)
        };
        let authenticator = match &gateway {
            Some(gateway) => gateway.authenticator(),
            None => tokens::own(&config.gateway.auth, &tasks)?,
        };
        let state = ApiState::new(
            store.clone(),
            config.api.clone(),
            config.chains.iter().map(|chain| chain.chain_id).collect(),
        );
        let origins = OriginPolicy::new(&config.api.allowed_origins, config.gateway.site())?;
        let state = state
            .with_origins(origins)
            .watching(chain_limits(&config))
            .with_prices(!config.prices.sources.is_empty())
            .with_tokens(Arc::new(Tokens::new(authenticator)));
        let (api, mut openapi) = api::router(state);
        let mut router = api.merge(metrics_router(&metrics));
        if let Some(gateway) = &gateway {
            // The page lives on what the gateway streams.
            router = router.merge(page::router()).merge(gateway.router());
            router = router.fallback(page::unknown_path);
            openapi.merge(gateway.openapi());
        } else {
            router = router.fallback(page::no_gateway);
        }
        router = router.merge(api::docs_router(openapi));
        let router = hosts::around(router, config.gateway.site());
        tasks.spawn_critical(
            "http server",
            server::serve_within(
                room(descriptors, gateway.clone()),
                listener,
                router,
                config.server.clone(),
                tasks.clone(),
                listening.clone(),
            ),
        );
        tasks.spawn(upkeep(metrics, tasks.token()));
        if role != Role::Gateway {
            spawn_writers(&config, &store, &bus, &tasks).await?;
            tasks.spawn(store.clone().retain_watches(tasks.token()));
            tasks.spawn(store.clone().retain(config.database.clone(), tasks.token()));
        }
        let drain = Duration::from_millis(config.server.drain_timeout_ms);
        Ok(Self {
            address,
            drain,
            tasks,
            failures,
            gateway,
            listening,
            store,
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// An address that a browser on this machine can open.
    pub fn url(&self) -> String {
        let host = match self.address.ip() {
            ip if ip.is_unspecified() => "127.0.0.1".to_owned(),
            std::net::IpAddr::V6(ip) => format!("[{ip}]"),
            ip => ip.to_string(),
        };
        format!("http://{host}:{}", self.address.port())
    }

    /// Runs until `stop`, or until a critical task fails; then drains.
    pub async fn run_until(mut self, stop: impl Future<Output = ()>) -> Result<(), AppError> {
        let failure = tokio::select! {
            () = stop => None,
            failure = self.failures.first() => Some(failure),
        };
        match &failure {
            Some(failure) => {
                tracing::error!(task = failure.task, reason = %failure.reason, "stopping")
            }
            None => tracing::info!("stopping"),
        }
        // No new connections, then sessions are told to come back, then writers finish their commit.
        self.listening.cancel();
        let begun = Instant::now();
        if let Some(gateway) = &self.gateway {
            gateway.close(self.drain).await;
        }
        // One deadline for all, but writers have a moment even if sessions took it whole.
        let left = self.drain.saturating_sub(begun.elapsed());
        let drained = self.tasks.drain(left.max(WRITERS_MOMENT)).await;
        self.store.close().await;
        match failure {
            Some(failure) => Err(failure.into()),
            None if drained => Ok(()),
            None => Err(AppError::Drain(self.drain)),
        }
    }
}

/// The names that contracts and their events have in channels.
fn contract_channels(contracts: &[Contract]) -> BTreeMap<String, BTreeSet<String>> {
    let events = |contract: &Contract| {
        let names = contract
            .events
            .iter()
            .map(|event| event.name.to_ascii_lowercase());
        names.collect()
    };
    contracts
        .iter()
        .map(|contract| (contract.key(), events(contract)))
        .collect()
}

fn chain_limits(config: &Config) -> Vec<ChainLimits> {
    config.chains.iter().map(ChainConfig::limits).collect()
}

/// One writer a chain, and one for prices.
async fn spawn_writers(
    config: &Config,
    store: &Store,
    bus: &Bus,
    tasks: &Tasks,
) -> Result<(), AppError> {
    let first = config.first_chain();
    for (key, reason) in config.prices.doubts(first) {
        tracing::warn!(key, reason, "a setting of prices needs attention");
    }
    let sources = Arc::new(OnChainSources::new(&config.prices, first)?);
    let (signals, incoming) = PriceSignals::new();
    let context = ChainContext {
        first_chain: first,
        store: store.clone(),
        publisher: bus.publisher(),
        decoder: sources.clone(),
        signals,
        contracts: config.contracts()?.into(),
    };
    let writers = ChainWriters::new(&config.chains, context).await?;
    tasks.spawn_critical("chain writer", writers.run(tasks.token()));
    let prices = PriceIngest::new(
        config.prices.clone(),
        first,
        store.clone(),
        bus.publisher(),
        incoming,
    )?
    .watching(chain_limits(config));
    sources.report_to(prices.sink());
    tasks.spawn_critical("price writer", prices.run(tasks.token()));
    Ok(())
}

fn metrics_router(metrics: &PrometheusHandle) -> Router {
    let metrics = metrics.clone();
    Router::new().route("/metrics", get(async move || metrics.render()))
}

/// Histograms are folded at scrapes; without scrapes they would grow.
async fn upkeep(metrics: PrometheusHandle, stop: CancellationToken) {
    let mut every = tokio::time::interval(Duration::from_secs(5));
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = every.tick() => metrics.run_upkeep(),
        }
    }
}

/// The connections that the process has descriptors for.
fn room(descriptors: Option<Descriptors>, gateway: Option<Gateway>) -> Room {
    match descriptors {
        Some(descriptors) => Room::new(descriptors.connections, move || {
            gateway.as_ref().map_or(0, Gateway::sockets)
        }),
        None => Room::unbounded(),
    }
}
