//! The gateway as the rest of the process sees it: assembles the parts, routes, and closes.

use std::{collections::HashMap, convert::Infallible, sync::Arc, time::Duration};

use axum::{Router, middleware, routing::get};
use chaincast_base::shutdown::Tasks;
use chaincast_bus::{CommitStream, LiveMessage, LiveMessages, LiveStream, UpdateLog};
use chaincast_http::client::{OriginError, OriginPolicy};
use chaincast_protocol::Channel;
use chaincast_rooms::{MessageQuota, MessageWriter, Rooms};
use utoipa::OpenApi;

use crate::{
    admission::ConnectionLimit,
    auth::{AuthError, Authenticator},
    channel_log::ChannelLog,
    config::GatewayConfig,
    deployment::{Deployment, KnownChannels},
    hub::{FlushIo, FlushMethod, Flushers, Hub, HubLimits},
    message_sink::MessageSink,
    observe::SessionLog,
    requests::{self, Answers, Messaging, Replays, Requests, Watches},
    session::Shared,
    stats::{self, StatsSource},
    transport::{
        context::{Context, ContextParts},
        refusals::{self, Refusals},
        socketio, sse, websocket,
    },
    upkeep::{BacklogMonitor, Disconnects, Eviction, Heartbeat, Sweep, Timers},
};

#[cfg(test)]
use crate::session::BacklogTotal;

/// Delay before the commit stream is read again after the store failed.
const COMMIT_STREAM_RETRY: Duration = Duration::from_secs(1);

/// The realtime part of the service. Cheap to clone.
#[derive(Clone)]
pub struct Gateway {
    pub(crate) hub: Hub,
    pub(crate) context: Context,
    authenticator: Arc<Authenticator>,
    connections: ConnectionLimit,
    refusals: Refusals,
    stats: StatsSource,
    #[cfg(test)]
    pub(crate) parts: TestParts,
}

/// What the gateway serves and where it reads and writes.
pub struct GatewayInputs {
    /// What the deployment has channels of.
    pub channels: KnownChannels,
    /// Updates as they are committed.
    pub commits: CommitStream,
    /// Older updates.
    pub update_log: UpdateLog,
    /// Stores the messages of clients.
    pub messages: MessageWriter,
    /// Limits the messages of clients.
    pub quota: MessageQuota,
    /// Messages that are never stored.
    pub live: LiveMessages,
}

/// What only the tests look at.
#[cfg(test)]
#[derive(Clone)]
pub(crate) struct TestParts {
    pub watches: Watches,
    pub backlog: Arc<BacklogMonitor>,
    pub backlog_total: Arc<BacklogTotal>,
}

/// Where updates are read and messages are written: in tests without a store.
pub(crate) struct Stores {
    pub log: Arc<dyn ChannelLog>,
    pub messages: Arc<dyn MessageSink>,
    pub quota: MessageQuota,
    pub live: LiveMessages,
}

/// Why the gateway cannot start.
#[derive(Debug, thiserror::Error)]
pub enum GatewayError {
    /// `[gateway.auth]` has no usable keys.
    #[error(transparent)]
    Auth(#[from] AuthError),
    /// `gateway.allowed_origins` has an entry that is not an origin.
    #[error("gateway.allowed_origins: {0}")]
    Origin(#[from] OriginError),
    /// The kernel has no io_uring, or does not allow it.
    #[error("io_uring cannot be used: {0}; set gateway.io_uring = false")]
    IoUring(std::io::Error),
}

#[derive(OpenApi)]
#[openapi(paths(stats::show), components(schemas(stats::Stats)))]
struct Api;

impl Gateway {
    /// Checks the configuration and starts to deliver updates and live messages to sessions.
    pub async fn start(
        config: GatewayConfig,
        inputs: GatewayInputs,
        tasks: &Tasks,
    ) -> Result<Self, GatewayError> {
        let GatewayInputs {
            channels,
            commits,
            update_log,
            messages,
            quota,
            live,
        } = inputs;
        let authenticator = Authenticator::new(&config.auth)?;
        // Public channels need no keys, and an issuer that is down now may be up when the first JWT arrives.
        let load_error = authenticator.load().await.err();
        let log: Arc<dyn ChannelLog> = Arc::new(update_log);
        let stores = Stores {
            log: log.clone(),
            messages: Arc::new(messages),
            quota,
            live,
        };
        let gateway = Self::assemble(config, channels, stores, authenticator, tasks)?;
        if let Some(error) = load_error {
            tracing::warn!(%error, "cannot fetch the key set; JWTs are rejected until a retry succeeds");
            let (authenticator, stop) = (gateway.authenticator(), tasks.token());
            tasks.spawn(async move {
                tokio::select! {
                    () = stop.cancelled() => {}
                    () = authenticator.retry_load() => {}
                }
            });
        }
        let hub = gateway.hub.clone();
        // The heartbeat lists the newest block. Not critical: the next subscription tries again.
        if let Err(error) = hub.warm(&*log, &Channel::NewBlock(None)).await {
            tracing::warn!(%error, "cannot read the newest block yet");
        }
        spawn(tasks, "gateway commit stream", async move {
            publish_commits(&hub, commits).await;
        });
        Ok(gateway)
    }

    /// Everything except the task that reads the commit stream.
    pub(crate) fn assemble(
        config: GatewayConfig,
        channels: KnownChannels,
        stores: Stores,
        authenticator: Authenticator,
        tasks: &Tasks,
    ) -> Result<Self, GatewayError> {
        let Stores {
            log,
            messages,
            quota,
            live,
        } = stores;
        let origins = OriginPolicy::new(&config.allowed_origins, config.site())?;
        let limits = &config.limits;
        let connections = ConnectionLimit::new(limits.connections_per_address, limits.connections);
        let session_log = Arc::new(SessionLog::new(limits.log_lines));
        let shared = Arc::new(Shared::new(&config));
        let metrics = shared.metrics.clone();
        let linger = Duration::from_millis(config.linger_ms);
        let flushers = Arc::new(Flushers::new(config.flushers, linger, metrics.clone()));
        let hub_limits = HubLimits::new(&config);
        let hub = Hub::new(
            hub_limits,
            shared.clone(),
            flushers.clone(),
            session_log.clone(),
        );
        let watches = Watches::new(hub.clone(), log.clone(), metrics.clone(), &config);
        let backlog = Arc::new(BacklogMonitor::new(hub.clone(), metrics.clone()));
        let upkeep = Upkeep {
            eviction: Eviction {
                hub: hub.clone(),
                total: shared.backlog_total.clone(),
                metrics: metrics.clone(),
                session_log: session_log.clone(),
            },
            heartbeat: Heartbeat::new(hub.clone(), log.clone(), metrics.clone()),
            disconnects: Disconnects::new(hub.clone(), log.clone()),
            sweep: Sweep::new(hub.clone(), hub_limits.ping()),
            timers: Timers {
                hub: hub.clone(),
                backlog: backlog.clone(),
                session_log: session_log.clone(),
            },
            watches: watches.clone(),
        };
        run_flushers(flushers, &config, tasks)?;
        upkeep.run(tasks);
        let (live_hub, live_stream) = (hub.clone(), live.stream());
        spawn(tasks, "gateway live messages", async move {
            deliver_live(&live_hub, live_stream).await;
        });

        #[cfg(test)]
        let parts = TestParts {
            watches: watches.clone(),
            backlog: backlog.clone(),
            backlog_total: shared.backlog_total.clone(),
        };
        let config = Arc::new(config);
        let rooms = Rooms::new(&config.rooms);
        let authenticator = Arc::new(authenticator);
        let replays = Replays::new(hub.clone(), log.clone(), tasks.clone(), &config);
        let requests = requests::Parts {
            config: config.clone(),
            deployment: Arc::new(Deployment::new(channels, rooms)),
            hub: hub.clone(),
            log,
            metrics: metrics.clone(),
            answers: Answers::new(metrics.clone(), session_log.clone()),
        };
        let messaging = Messaging {
            quota,
            sink: messages,
            live,
            message_bytes: config.messages.message_bytes,
        };
        let requests = Requests::new(requests, authenticator.clone(), watches, replays, messaging);
        let stats = StatsSource {
            hub: hub.clone(),
            backlog,
            clock: shared.clock,
            authenticator: authenticator.clone(),
            is_public: config.public_stats,
        };
        let refusals = Refusals {
            config: config.clone(),
            connections: connections.clone(),
            metrics,
            session_log,
        };
        let context = Context::new(ContextParts {
            config,
            hub: hub.clone(),
            requests,
            authenticator: authenticator.clone(),
            origins,
            connections: connections.clone(),
            tasks: tasks.clone(),
        });
        Ok(Self {
            hub,
            context,
            authenticator,
            connections,
            refusals,
            stats,
            #[cfg(test)]
            parts,
        })
    }

    /// `/realtime`, `/realtime/sse` and `/socket.io`, each also with a trailing slash, and `/api/v1/stats`.
    pub fn router(&self) -> Router {
        let recorded = middleware::from_fn_with_state(self.refusals.clone(), refusals::record);
        let realtime = get(websocket::open).options(websocket::open);
        let stream = get(sse::open).options(sse::open);
        Router::new()
            .route("/realtime", realtime.clone())
            .route("/realtime/", realtime)
            .route("/realtime/sse", stream.clone())
            .route("/realtime/sse/", stream)
            .with_state(self.context.clone())
            .merge(socketio::router(self.context.clone()))
            .layer(recorded)
            .route(
                "/api/v1/stats",
                get(stats::show).with_state(self.stats.clone()),
            )
    }

    /// Sockets taken over from the HTTP server: those of sessions and of clients that are being refused.
    pub fn sockets(&self) -> usize {
        self.connections.sockets()
    }

    /// The authenticator of this gateway, with its mode and keys.
    pub fn authenticator(&self) -> Arc<Authenticator> {
        self.authenticator.clone()
    }

    /// The OpenAPI description of the gateway's REST endpoints.
    pub fn openapi(&self) -> utoipa::openapi::OpenApi {
        Api::openapi()
    }

    /// Refuses new sessions, sends what is queued, and closes every session with 1001 and `retryAfterMs`, within
    /// `deadline`.
    pub async fn close(&self, deadline: Duration) {
        if !self.hub.close(deadline).await {
            tracing::warn!("some sessions did not close in time");
        }
    }
}

/// What runs by the clock, each in its own task.
struct Upkeep {
    disconnects: Disconnects,
    eviction: Eviction,
    heartbeat: Heartbeat,
    sweep: Sweep,
    timers: Timers,
    watches: Watches,
}

impl Upkeep {
    /// Starts the tasks.
    fn run(self, tasks: &Tasks) {
        let Self {
            disconnects,
            eviction,
            heartbeat,
            sweep,
            timers,
            watches,
        } = self;
        spawn(tasks, "gateway watches", async move { watches.run().await });
        spawn(
            tasks,
            "gateway eviction",
            async move { eviction.run().await },
        );
        spawn(tasks, "gateway timers", async move { timers.run().await });
        spawn(tasks, "gateway sweep", async move { sweep.run().await });
        spawn(
            tasks,
            "gateway heartbeat",
            async move { heartbeat.run().await },
        );
        spawn(tasks, "gateway disconnects", async move {
            disconnects.run().await;
        });
    }
}

/// Starts a task for each flusher.
fn run_flushers(
    flushers: Arc<Flushers>,
    config: &GatewayConfig,
    tasks: &Tasks,
) -> Result<(), GatewayError> {
    let method = match config.io_uring {
        true => FlushMethod::IoUring,
        false => FlushMethod::Send,
    };
    for shard in 0..flushers.count() {
        let flush_io = FlushIo::new(method).map_err(GatewayError::IoUring)?;
        let flushers = flushers.clone();
        spawn(tasks, "gateway flusher", async move {
            flushers.run(shard, flush_io).await;
        });
    }
    Ok(())
}

/// Spawns a task that runs until shutdown.
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

/// Delivers the messages of the stream.
async fn deliver_live(hub: &Hub, mut live: LiveStream) {
    while let Some(message) = live.next().await {
        match message {
            LiveMessage::Signal(signal) => hub.publish_live(&signal),
            LiveMessage::Disconnect(subject) => {
                let now = HashMap::from([(subject.to_string(), Duration::ZERO)]);
                hub.disconnect(&now).await;
            }
        }
    }
    // This process sends no more, but the task may only end at shutdown.
    std::future::pending().await
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
