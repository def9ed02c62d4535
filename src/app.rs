//! The composition root: bind, wire, spawn, drain.

mod descriptors;
mod error;
mod hosts;
mod jwt;

pub use self::{descriptors::Descriptors, error::AppError};

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

use self::jwt::JwtVerifier;
use crate::{config::Config, page};
use chaincast_api::{ApiState, Messaging};
use chaincast_base::shutdown::{Failures, Tasks};
use chaincast_bus::{Bus, LiveMessage, LiveMessages};
use chaincast_evm::{chain::ChainConfig, contract::Contract};
use chaincast_gateway::{Gateway, GatewayInputs, KnownChannels};
use chaincast_http::{
    client::OriginPolicy,
    server::{self, ConnectionCapacity},
};
use chaincast_ingest::{ChainContext, ChainWriters, PriceIngest, PriceSignals};
use chaincast_model::IndexMode;
use chaincast_prices::OnChainSources;
use chaincast_protocol::ChainLimits;
use chaincast_rooms::{MessageQuota, MessageWriter, Rooms};
use chaincast_store::{MessageRetention, Store};

/// The part of the service that a process runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    All,
    /// Writes chains and prices. Serves REST and metrics, without a gateway.
    Indexer,
    /// Serves clients; other processes write.
    Gateway,
}

/// Minimum time for writers to finish their commit on shutdown, even if sessions used up the drain timeout.
const WRITER_GRACE: Duration = Duration::from_secs(1);

/// A running chaincast.
pub struct App {
    address: SocketAddr,
    drain: Duration,
    tasks: Tasks,
    failures: Failures,
    gateway: Option<Gateway>,
    /// Canceled first on shutdown: stops accepting connections.
    listening: CancellationToken,
    store: Store,
}

impl App {
    /// Connects to the database, starts the parts of `role` and serves on `listener`.
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
                && let Some(warning) = descriptors.warning(&config)
            {
                tracing::warn!("{warning}");
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
        let messages =
            MessageWriter::start(&store, bus.publisher(), &config.gateway.messages, &tasks);
        let quota = MessageQuota::new(&config.gateway.messages);

        // The hub subscribes before the writers start, so it misses no commit.
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
            let inputs = GatewayInputs {
                channels: known,
                commits: bus.commit_stream().await?,
                update_log: bus.update_log().with_chains(chain_limits(&config)),
                messages: messages.clone(),
                quota: quota.clone(),
                live: bus.live(),
            };
            Some(Gateway::start(config.gateway.clone(), inputs, &tasks).await?)
        };
        let authenticator = match &gateway {
            Some(gateway) => gateway.authenticator(),
            None => jwt::standalone_authenticator(&config.gateway.auth, &tasks)?,
        };
        let state = ApiState::new(
            store.clone(),
            config.api.clone(),
            config.chains.iter().map(|chain| chain.chain_id).collect(),
            OriginPolicy::new(&config.api.allowed_origins, config.gateway.site())?,
        );
        let state = state
            .with_chain_limits(chain_limits(&config))
            .with_prices(!config.prices.sources.is_empty())
            .with_messaging(Messaging {
                writer: messages,
                rooms: Rooms::new(&config.gateway.rooms),
                quota,
                config: config.gateway.messages.clone(),
                disconnected: disconnected(bus.live()),
            })
            .with_token_verifier(Arc::new(JwtVerifier::new(authenticator)));
        let (api, mut openapi) = chaincast_api::router(state);
        let mut router = api.merge(metrics_router(&metrics));
        if let Some(gateway) = &gateway {
            // The page shows the streams of the gateway.
            router = router.merge(page::router()).merge(gateway.router());
            router = router.fallback(page::unknown_path);
            openapi.merge(gateway.openapi());
        } else {
            router = router.fallback(page::no_gateway);
        }
        router = router.merge(chaincast_api::docs_router(openapi));
        let router = hosts::layer(router, config.gateway.site());
        tasks.spawn_critical(
            "http server",
            server::serve_within(
                connection_capacity(descriptors, gateway.clone()),
                listener,
                router,
                config.server.clone(),
                tasks.clone(),
                listening.clone(),
            ),
        );
        tasks.spawn(run_metrics_upkeep(metrics, tasks.token()));
        if role != Role::Gateway {
            spawn_writers(&config, &store, &bus, &tasks).await?;
            tasks.spawn(store.clone().run_watch_expiry(tasks.token()));
            let messages = MessageRetention {
                rooms: Rooms::new(&config.gateway.rooms).history(),
                keys: config.gateway.messages.key_retention(),
            };
            let store = store.clone();
            tasks.spawn(store.run_retention(config.database.clone(), messages, tasks.token()));
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

    /// The address that it listens on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// A URL that a browser on this machine can open.
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
        // Stop accepting, close the sessions (they reconnect elsewhere), let the writers finish their commits.
        self.listening.cancel();
        let begun = Instant::now();
        if let Some(gateway) = &self.gateway {
            gateway.close(self.drain).await;
        }
        // One deadline for all, but never less than `WRITER_GRACE` for the writers.
        let left = self.drain.saturating_sub(begun.elapsed());
        let drained = self.tasks.drain(left.max(WRITER_GRACE)).await;
        self.store.close().await;
        match failure {
            Some(failure) => Err(failure.into()),
            None if drained => Ok(()),
            None => Err(AppError::Drain(self.drain)),
        }
    }
}

/// Tells every gateway that it can reach that the sessions of a subject must end.
fn disconnected(live: LiveMessages) -> Box<dyn Fn(Arc<str>) + Send + Sync> {
    Box::new(move |subject| live.send(LiveMessage::Disconnect(subject)))
}

/// The channel names of contracts and their events.
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

/// Spawns one writer per chain and the price writer.
async fn spawn_writers(
    config: &Config,
    store: &Store,
    bus: &Bus,
    tasks: &Tasks,
) -> Result<(), AppError> {
    let first = config.first_chain();
    for (key, reason) in config.prices.warnings(first) {
        tracing::warn!(key, reason, "suspicious [prices] setting");
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
    .with_chain_limits(chain_limits(config));
    sources.report_to(prices.sink());
    tasks.spawn_critical("price writer", prices.run(tasks.token()));
    Ok(())
}

fn metrics_router(metrics: &PrometheusHandle) -> Router {
    let metrics = metrics.clone();
    Router::new().route("/metrics", get(async move || metrics.render()))
}

/// Drains histogram samples regularly: without scrapes they would grow without bound.
async fn run_metrics_upkeep(metrics: PrometheusHandle, stop: CancellationToken) {
    let mut every = tokio::time::interval(Duration::from_secs(5));
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = every.tick() => metrics.run_upkeep(),
        }
    }
}

/// The number of connections that the process has file descriptors for.
fn connection_capacity(
    descriptors: Option<Descriptors>,
    gateway: Option<Gateway>,
) -> ConnectionCapacity {
    match descriptors {
        Some(descriptors) => ConnectionCapacity::new(descriptors.connections, move || {
            gateway.as_ref().map_or(0, Gateway::sockets)
        }),
        None => ConnectionCapacity::unbounded(),
    }
}
