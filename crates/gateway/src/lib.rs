//! The realtime gateway: sessions, channels and the fan-out between them, over three transports.
//!
//! ```text
//! bus::CommitStream → hub (channel, lanes) → session (outbox) → transport (websocket, sse, socketio)
//!                      ↑                      ↑ request, subscribe, replay ← bus::UpdateLog
//!                    timers                 protocol, auth, rate_limit
//! ```

pub mod auth;
mod backlog;
pub mod channel;
pub mod channel_log;
mod channels;
mod config;
pub mod connection_limit;
pub mod context;
mod fanout_latency;
mod flush_io;
mod handshake_metrics;
mod heartbeat;
pub mod hub;
mod liveness;
mod metrics;
pub mod outbox;
mod prefetch;
pub mod problem;
pub mod rate_limit;
mod replay;
mod request;
mod resolve;
mod ring;
pub mod session;
mod session_log;
pub mod stats;
mod subscribe;
#[cfg(test)]
mod tests;
mod timers;
pub mod transport;
#[cfg(target_os = "linux")]
mod uring;
mod watch_quota;
mod watches;

pub use config::{AuthConfig, AuthMode, GatewayConfig, LimitsConfig};
pub use hub::KnownChannels;

use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::{Router, middleware, routing::get};
use utoipa::OpenApi;

use self::{
    auth::{AuthError, Authenticator},
    channel_log::ChannelLog,
    connection_limit::ConnectionLimit,
    context::Context,
    flush_io::FlushIo,
    hub::Hub,
    transport::{sse, websocket},
};
use chaincast_base::shutdown::Tasks;
use chaincast_bus::{CommitStream, UpdateLog};
use chaincast_http::client::{OriginError, OriginPolicy};
use chaincast_protocol::Channel;

/// Delay before the commit stream is read again after the store failed.
const COMMIT_STREAM_RETRY: Duration = Duration::from_secs(1);

/// The realtime part of the service. Cheap to clone.
#[derive(Clone)]
pub struct Gateway {
    context: Context,
}

/// Why the gateway cannot start.
#[derive(Debug, thiserror::Error)]
pub enum GatewayError {
    #[error(transparent)]
    Auth(#[from] AuthError),
    #[error("gateway.allowed_origins: {0}")]
    Origin(#[from] OriginError),
    #[error("io_uring cannot be used: {0}; set gateway.io_uring = false")]
    IoUring(std::io::Error),
}

#[derive(OpenApi)]
#[openapi(paths(stats::show), components(schemas(stats::Stats)))]
struct Api;

impl Gateway {
    /// Checks the configuration and starts to deliver the updates of `commits` to sessions.
    pub async fn start(
        config: GatewayConfig,
        channels: KnownChannels,
        commits: CommitStream,
        update_log: UpdateLog,
        tasks: &Tasks,
    ) -> Result<Self, GatewayError> {
        let authenticator = Authenticator::new(&config.auth)?;
        // Public channels need no keys, and an issuer that is down now may be up when the first JWT arrives.
        let load_error = authenticator.load().await.err();
        let gateway = Self::assemble(config, channels, Box::new(update_log), authenticator, tasks)?;
        let hub = gateway.context.hub().clone();
        if let Some(error) = load_error {
            tracing::warn!(%error, "cannot fetch the key set; JWTs are rejected until a retry succeeds");
            let (hub, stop) = (hub.clone(), tasks.token());
            tasks.spawn(async move {
                tokio::select! {
                    () = stop.cancelled() => {}
                    () = hub.authenticator().retry_load() => {}
                }
            });
        }
        // The heartbeat lists the newest block. Not critical: the next subscription tries again.
        if let Err(error) = hub.warm(&Channel::NewBlock(None)).await {
            tracing::warn!(%error, "cannot read the newest block yet");
        }
        spawn(tasks, "gateway commit stream", async move {
            publish_commits(&hub, commits).await;
        });
        Ok(gateway)
    }

    /// Everything except the task that reads the commit stream.
    fn assemble(
        config: GatewayConfig,
        channels: KnownChannels,
        channel_log: Box<dyn ChannelLog>,
        authenticator: Authenticator,
        tasks: &Tasks,
    ) -> Result<Self, GatewayError> {
        let origins = OriginPolicy::new(&config.allowed_origins, config.site())?;
        let limits = &config.limits;
        let connections = ConnectionLimit::new(limits.connections_per_address, limits.connections);
        let hub = Hub::new(
            config,
            channels,
            channel_log,
            Arc::new(authenticator),
            tasks.clone(),
        );
        for shard in 0..hub.flushers() {
            let hub = hub.clone();
            let writer = FlushIo::new(hub.config().io_uring).map_err(GatewayError::IoUring)?;
            spawn(tasks, "gateway flusher", async move {
                hub.run_flusher(shard, writer).await;
            });
        }
        let (timing, beating, sweeping) = (hub.clone(), hub.clone(), hub.clone());
        let watching = hub.clone();
        spawn(tasks, "gateway watches", async move {
            watching.run_watches().await;
        });
        let evicting = hub.clone();
        spawn(tasks, "gateway eviction", async move {
            evicting.run_eviction().await;
        });
        spawn(tasks, "gateway timers", async move {
            timing.run_timers().await;
        });
        spawn(tasks, "gateway sweep", async move {
            sweeping.run_sweep().await;
        });
        spawn(tasks, "gateway heartbeat", async move {
            beating.run_heartbeat().await;
        });
        let context = Context::new(hub, origins, connections, tasks.clone());
        Ok(Self { context })
    }

    /// `/realtime`, `/realtime/sse` and `/socket.io`, each also with a trailing slash, and `/api/v1/stats`.
    pub fn router(&self) -> Router {
        let recorded = middleware::from_fn_with_state(
            self.context.clone(),
            handshake_metrics::record_refusals,
        );
        let realtime = get(websocket::open).options(websocket::open);
        let stream = get(sse::open).options(sse::open);
        Router::new()
            .route("/realtime", realtime.clone())
            .route("/realtime/", realtime)
            .route("/realtime/sse", stream.clone())
            .route("/realtime/sse/", stream)
            .with_state(self.context.clone())
            .merge(transport::socketio::router(self.context.clone()))
            .layer(recorded)
            .route(
                "/api/v1/stats",
                get(stats::show).with_state(self.context.clone()),
            )
    }

    /// Sockets taken over from the HTTP server: those of sessions and of clients that are being refused.
    pub fn sockets(&self) -> usize {
        self.context.sockets()
    }

    /// The authenticator of this gateway, with its mode and keys.
    pub fn authenticator(&self) -> Arc<Authenticator> {
        self.context.hub().shared_authenticator()
    }

    /// The OpenAPI description of the gateway's REST endpoints.
    pub fn openapi(&self) -> utoipa::openapi::OpenApi {
        Api::openapi()
    }

    /// Refuses new sessions, sends what is queued, and closes every session with 1001 and `retryAfterMs`, within
    /// `deadline`.
    pub async fn close(&self, deadline: Duration) {
        if !self.context.hub().close(deadline).await {
            tracing::warn!("some sessions did not close in time");
        }
    }
}

/// Spawns a task of the hub that runs until shutdown.
fn spawn(tasks: &Tasks, name: &'static str, work: impl Future<Output = ()> + Send + 'static) {
    let stop = tasks.token();
    tasks.spawn_critical(name, async move {
        tokio::select! {
            () = stop.cancelled() => {}
            () = work => {}
        }
        Ok::<(), Infallible>(())
    });
}

/// Publishes the commits of the stream. After a failed read it tries again every [`COMMIT_STREAM_RETRY`].
async fn publish_commits(hub: &Hub, mut commits: CommitStream) {
    let mut failing = false;
    loop {
        match commits.next().await {
            Ok(commit) => {
                if failing && !commits.has_failed() {
                    failing = false;
                    tracing::info!("reading updates again");
                }
                hub.publish(&commit, commit.at);
            }
            Err(error) => {
                if !std::mem::replace(&mut failing, true) {
                    tracing::error!(%error, "cannot read updates; retrying");
                }
                tokio::time::sleep(COMMIT_STREAM_RETRY).await;
            }
        }
    }
}
