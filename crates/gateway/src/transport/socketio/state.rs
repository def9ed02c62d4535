//! The state shared by all Socket.IO connections.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::extract::Request;
use chaincast_protocol::{encode::Wire, socketio::engine::Open};
use tokio_util::sync::CancellationToken;

use super::{
    super::context::Context, client::Client, engine_error::EngineError,
    pending_joins::PendingJoins, polling_sessions::PollingSessions,
};
use crate::{auth::bearer_token, session::random_id};

/// Interval between sweeps for ended connections and overdue joins.
const SWEEP_INTERVAL: Duration = Duration::from_millis(250);

/// See the module's description. Cheap to clone.
#[derive(Clone)]
pub(super) struct SocketIo(Arc<Inner>);

struct Inner {
    context: Context,
    sessions: PollingSessions,
    pending_joins: PendingJoins,
}

impl SocketIo {
    pub(super) fn new(context: Context) -> Self {
        Self(Arc::new(Inner {
            context,
            sessions: PollingSessions::default(),
            pending_joins: PendingJoins::default(),
        }))
    }

    pub(super) fn context(&self) -> &Context {
        &self.0.context
    }

    /// Timeout for joining a namespace, and for finishing an upgrade.
    pub(super) fn handshake_timeout(&self) -> Duration {
        Duration::from_millis(self.context().config().limits.handshake_timeout_ms)
    }

    pub(super) fn sessions(&self) -> &PollingSessions {
        &self.0.sessions
    }

    /// Sweeps all connections every [`SWEEP_INTERVAL`], until stopped and none is left.
    pub(super) async fn sweep(&self, stop: CancellationToken) {
        let mut sweep = tokio::time::interval(SWEEP_INTERVAL);
        sweep.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let now = sweep.tick().await;
            self.0.pending_joins.sweep(now);
            self.sessions().sweep(now, self.context().tasks());
            if stop.is_cancelled() && self.sessions().is_empty() {
                return;
            }
        }
    }

    /// Opens a session for a handshake; returns the `sid`, the client and the `open` packet.
    pub(super) fn open(
        &self,
        peer: SocketAddr,
        request: &Request,
        token: Option<&str>,
        upgrades: &[&str],
    ) -> Result<(Box<str>, Client, String), EngineError> {
        let context = self.context();
        let hold = context
            .admit(peer, request.headers())
            .map_err(EngineError::TooMany)?;
        let session = context
            .open(Wire::SocketIo, None, hold)
            .map_err(EngineError::Closing)?;
        let token = bearer_token(request.headers()).or(token);
        let client = Client::new(session, context.requests().clone(), token);
        self.0.pending_joins.add(&client, self.handshake_timeout());
        let (sid, config) = (random_id(), context.config());
        let open = Open {
            sid: &sid,
            upgrades,
            ping_interval: config.ping_interval_ms,
            ping_timeout: config.ping_timeout_ms,
            max_payload: config.limits.message_bytes,
        };
        let text = open.text();
        Ok((sid, client, text))
    }
}
