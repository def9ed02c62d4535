//! The realtime gateway: sessions, channels and the fan-out between them, over three transports.
//!
//! ```text
//! bus::Feed → hub (channel, lanes) → session (outbox) → transport (websocket, sse, socketio)
//!                   ↑                     ↑ request, subscribe, replay ← bus::History
//!                 clock                 protocol, auth, rate
//! ```

pub mod address;
pub mod auth;
mod backlog;
mod beat;
mod budget;
pub mod channel;
mod channels;
mod clock;
mod close;
mod commits;
mod config;
pub mod context;
pub mod deflate;
pub mod encode;
mod error_code;
pub mod frame;
mod handshakes;
mod heartbeat;
pub mod hub;
pub mod inflate;
mod journal;
mod metrics;
pub mod msgpack;
pub mod outbox;
pub mod past;
mod prefetch;
pub mod problem;
pub mod protocol;
pub mod rate;
mod replay;
mod request;
mod resolve;
mod ring;
pub mod session;
pub mod socketio;
pub mod stats;
mod subscribe;
#[cfg(test)]
mod tests;
pub mod transport;
#[cfg(target_os = "linux")]
mod uring;
mod watchers;
mod watches;
mod writer;

pub use close::CloseReason;
pub use config::{AuthConfig, AuthMode, GatewayConfig, LimitsConfig};
pub use error_code::{ErrorCode, Refusal};
pub use hub::KnownChannels;

use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::{Router, middleware, routing::get};
use utoipa::OpenApi;

use self::{
    address::Connections,
    auth::{AuthError, Authenticator},
    context::Context,
    hub::Hub,
    past::Past,
    transport::{sse, websocket},
    writer::Writer,
};
use crate::{
    bus::{Feed, History},
    model::Channel,
    shutdown::Tasks,
    visitor::{OriginError, OriginPolicy},
};

/// How long the feed rests after the store failed.
const FEED_RETRY: Duration = Duration::from_secs(1);

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
    #[error(transparent)]
    Origin(#[from] OriginError),
    #[error("io_uring cannot be used: {0}; set gateway.io_uring = false")]
    IoUring(std::io::Error),
}

#[derive(OpenApi)]
#[openapi(paths(stats::show), components(schemas(stats::Stats)))]
struct Api;

impl Gateway {
    /// Checks the configuration, and begins to hand the feed's updates to sessions.
    pub async fn start(
        config: GatewayConfig,
        channels: KnownChannels,
        feed: Feed,
        history: History,
        tasks: &Tasks,
    ) -> Result<Self, GatewayError> {
        let authenticator = Authenticator::new(&config.auth)?;
        // Public channels need no keys, and an issuer that is down now may be up when the first token comes.
        let unloaded = authenticator.load().await.err();
        let gateway = Self::assemble(config, channels, Box::new(history), authenticator, tasks)?;
        let hub = gateway.context.hub().clone();
        if let Some(error) = unloaded {
            tracing::warn!(%error, "tokens are refused until the key set is fetched; trying again until it is");
            let (hub, stop) = (hub.clone(), tasks.token());
            tasks.spawn(async move {
                tokio::select! {
                    () = stop.cancelled() => {}
                    () = hub.authenticator().load_in_time() => {}
                }
            });
        }
        // Not critical: a client that subscribes asks again.
        if let Err(error) = hub.warm(&Channel::NewBlock(None)).await {
            tracing::warn!(%error, "the newest block is not known yet");
        }
        spawn(tasks, "gateway feed", async move {
            follow(&hub, feed).await;
        });
        Ok(gateway)
    }

    /// Everything but what feeds it.
    fn assemble(
        config: GatewayConfig,
        channels: KnownChannels,
        past: Box<dyn Past>,
        authenticator: Authenticator,
        tasks: &Tasks,
    ) -> Result<Self, GatewayError> {
        let origins = OriginPolicy::new(&config.allowed_origins, config.site())?;
        let limits = &config.limits;
        let connections = Connections::new(limits.connections_per_address, limits.connections);
        let hub = Hub::new(
            config,
            channels,
            past,
            Arc::new(authenticator),
            tasks.clone(),
        );
        for shard in 0..hub.flushers() {
            let hub = hub.clone();
            let writer = Writer::new(hub.config().io_uring).map_err(GatewayError::IoUring)?;
            spawn(tasks, "gateway flusher", async move {
                hub.run_flusher(shard, writer).await;
            });
        }
        let (ticking, beating, sweeping) = (hub.clone(), hub.clone(), hub.clone());
        let watching = hub.clone();
        spawn(tasks, "gateway watches", async move {
            watching.run_watches().await;
        });
        let relieving = hub.clone();
        spawn(tasks, "gateway relief", async move {
            relieving.run_relief().await;
        });
        spawn(tasks, "gateway clock", async move {
            ticking.run_clock().await;
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

    /// `/realtime`, `/realtime/sse` and `/socket.io`, each also with a slash at its end, and `/api/v1/stats`.
    pub fn router(&self) -> Router {
        let watched = middleware::from_fn_with_state(self.context.clone(), handshakes::watch);
        let realtime = get(websocket::open).options(websocket::open);
        let stream = get(sse::open).options(sse::open);
        Router::new()
            .route("/realtime", realtime.clone())
            .route("/realtime/", realtime)
            .route("/realtime/sse", stream.clone())
            .route("/realtime/sse/", stream)
            .with_state(self.context.clone())
            .merge(transport::socketio::router(self.context.clone()))
            .layer(watched)
            .route(
                "/api/v1/stats",
                get(stats::show).with_state(self.context.clone()),
            )
    }

    /// Sockets that are no longer HTTP's: of sessions, and of clients that are being refused.
    pub fn sockets(&self) -> usize {
        self.context.sockets()
    }

    /// Checks tokens as this gateway does, with the same keys.
    pub fn authenticator(&self) -> Arc<Authenticator> {
        self.context.hub().shared_authenticator()
    }

    /// What of it is REST.
    pub fn openapi(&self) -> utoipa::openapi::OpenApi {
        Api::openapi()
    }

    /// Tells every session to come back (1001 with `retryAfterMs`), sends what is queued, and closes, within
    /// `deadline`. New sessions are refused from now on.
    pub async fn close(&self, deadline: Duration) {
        if !self.context.hub().close(deadline).await {
            tracing::warn!("some sessions did not take their goodbye in time");
        }
    }
}

/// Spawns one of the hub's own tasks, which only shutdown ends.
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

/// Publishes what the feed hands over. While the store fails, the feed is asked again and again.
async fn follow(hub: &Hub, mut feed: Feed) {
    let mut failing = false;
    loop {
        match feed.next().await {
            Ok(commit) => {
                if failing && !feed.has_failed() {
                    failing = false;
                    tracing::info!("the updates can be read again");
                }
                hub.publish(&commit, commit.at);
            }
            Err(error) => {
                if !std::mem::replace(&mut failing, true) {
                    tracing::error!(%error, "updates cannot be read; trying again until they can");
                }
                tokio::time::sleep(FEED_RETRY).await;
            }
        }
    }
}
