//! Engine.IO over HTTP: a `GET` waits for packets, a `POST` sends them.
//!
//! Only one of each may be active. A second concurrent request is a client error and ends the session, as in the reference
//! server.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::{
    body::Body,
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
};
use futures_util::StreamExt;
use tokio::sync::{Mutex, watch};

use super::{
    client::Client,
    engine_error::EngineError,
    poll_response::{ActiveResponse, PollResponse},
};
use crate::session::{PollOutcome, Session};
use chaincast_base::shutdown::{Takeover, Tasks};
use chaincast_protocol::{CloseReason, socketio::engine};

/// Most bytes of one response to a `GET`, unless a single packet is longer.
const MAX_RESPONSE_BYTES: usize = 262_144;
/// Most packets in the body of one `POST`.
const MAX_BODY_PACKETS: usize = 4_096;

/// A session that is served by polling.
pub(super) struct PollingSession {
    session: Arc<Session>,
    /// `None` after an upgrade to a WebSocket.
    client: Mutex<Option<Client>>,
    /// Locked by the active `GET`; true once no further `GET` is allowed.
    get_lock: Mutex<bool>,
    /// The response that is being sent.
    active_response: ActiveResponse,
    /// Whether an upgrade is in progress; only one may be.
    upgrading: AtomicBool,
    /// Whether the probe was answered: then a `GET` returns immediately, so that the client can stop polling.
    probing: watch::Sender<bool>,
}

impl PollingSession {
    pub(super) fn new(client: Client) -> Self {
        Self {
            session: client.session().clone(),
            client: Mutex::new(Some(client)),
            get_lock: Mutex::new(false),
            active_response: ActiveResponse::default(),
            upgrading: AtomicBool::new(false),
            probing: watch::Sender::new(false),
        }
    }

    pub(super) fn session(&self) -> &Arc<Session> {
        &self.session
    }

    /// Handles a `GET`: waits until the previous response was sent, so that unread responses do not accumulate, and then
    /// for packets. `takeover` closes the connection of a client that does not read the response.
    pub(super) async fn get(&self, takeover: Option<Takeover>) -> Response {
        let Ok(is_over) = self.get_lock.try_lock() else {
            return self.reject_overlap();
        };
        if *is_over {
            return EngineError::BadRequest.into_response();
        }
        self.session.record_activity();
        let abandon_guard = AbandonGuard(&self.session);
        let mut probing = self.probing.subscribe();
        let pull = async {
            let turn = self.active_response.turn().await;
            (turn, self.session.take(MAX_RESPONSE_BYTES).await)
        };
        let body = tokio::select! {
            biased;
            (turn, pulled) = pull => match pulled {
                PollOutcome::Payloads(packets) => {
                    let payload = engine::write_payload(&packets);
                    let response = PollResponse::new(payload, self.session.clone(), turn);
                    self.active_response.set(&response, takeover);
                    Ok(Body::new(response))
                }
                // The close packet was fetched before.
                PollOutcome::Ended => Err(EngineError::UnknownSession),
            },
            // Cannot fail: `self` owns the sender.
            _ = probing.wait_for(|probing| *probing) => Ok(engine::NOOP.into()),
        };
        #[allow(
            clippy::mem_forget,
            reason = "the request was answered, so its guard must not act"
        )]
        std::mem::forget(abandon_guard);
        body.map_or_else(IntoResponse::into_response, text)
    }

    /// Whether a response is being sent.
    pub(super) fn has_active_response(&self) -> bool {
        self.active_response.is_active()
    }

    /// Closes the connection of the active response.
    pub(super) fn abort_response(&self, tasks: &Tasks) {
        self.active_response.abort(tasks);
    }

    /// Handles the packets of a `POST`; its body has at most `most` bytes.
    pub(super) async fn post(&self, body: Body, most: usize, timeout: Duration) -> Response {
        let Ok(mut client) = self.client.try_lock() else {
            return self.reject_overlap();
        };
        let Some(client) = client.as_mut() else {
            return EngineError::BadRequest.into_response();
        };
        // The close packet may still be queued for a `GET`, but no further packet is accepted.
        if self.session.ended().is_some() {
            return EngineError::UnknownSession.into_response();
        }
        self.session.record_activity();
        // If this request is dropped, the client cannot know which packets were processed.
        let abandon_guard = AbandonGuard(&self.session);
        let body = match tokio::time::timeout(timeout, read(body, most)).await {
            Ok(body) => body,
            Err(_) => Err(CloseReason::Lost),
        };
        let body = match body {
            Ok(body) => body,
            Err(reason) => {
                let too_large = reason == CloseReason::TooBig;
                self.session.end(reason);
                return match too_large {
                    true => EngineError::TooLarge.into_response(),
                    false => EngineError::BadRequest.into_response(),
                };
            }
        };
        self.session.count_received(body.len());
        let packets = match engine::parse_payload(&body, MAX_BODY_PACKETS) {
            Ok(packets) => packets,
            Err(error) => {
                self.session.end(CloseReason::Protocol(error.description()));
                return EngineError::BadRequest.into_response();
            }
        };
        for packet in packets {
            if self.session.ended().is_some() {
                break;
            }
            client.handle_packet(packet).await;
        }
        #[allow(
            clippy::mem_forget,
            reason = "the request was answered, so its guard must not act"
        )]
        std::mem::forget(abandon_guard);
        text("ok")
    }

    /// Starts an upgrade; `false` if another one is in progress or the session has ended.
    pub(super) fn begin_upgrade(&self) -> bool {
        self.session.ended().is_none() && !self.upgrading.swap(true, Ordering::SeqCst)
    }

    /// Marks the probe as answered: from now on a `GET` returns immediately.
    pub(super) fn confirm_probe(&self) {
        self.probing.send_replace(true);
    }

    /// Cancels the upgrade: polling continues.
    pub(super) fn cancel_upgrade(&self) {
        self.probing.send_replace(false);
        self.upgrading.store(false, Ordering::SeqCst);
    }

    /// Moves the client to a WebSocket once no response is active; further polling is rejected. `None` if it was moved
    /// before, or if the active response is not read within `timeout`.
    pub(super) async fn finish_upgrade(&self, timeout: Duration) -> Option<Client> {
        let turn = tokio::time::timeout(timeout, self.active_response.turn());
        drop(turn.await.ok()?);
        let client = self.client.lock().await.take()?;
        *self.get_lock.lock().await = true;
        Some(client)
    }

    fn reject_overlap(&self) -> Response {
        self.session
            .end(CloseReason::Protocol("concurrent polling requests"));
        EngineError::BadRequest.into_response()
    }
}

/// Ends the session if the client disconnects during a request: it cannot fetch the rest of a `GET` again, and cannot
/// know how much of a `POST` was processed.
struct AbandonGuard<'a>(&'a Arc<Session>);

impl Drop for AbandonGuard<'_> {
    fn drop(&mut self) {
        self.0.end(CloseReason::Lost);
    }
}

/// Reads a body of at most `most` bytes.
async fn read(body: Body, most: usize) -> Result<String, CloseReason> {
    let mut stream = body.into_data_stream();
    let mut bytes = Vec::new();
    while let Some(chunk) = stream.next().await {
        let chunk = chunk.map_err(|_| CloseReason::Lost)?;
        if bytes.len() + chunk.len() > most {
            return Err(CloseReason::TooBig);
        }
        bytes.extend_from_slice(&chunk);
    }
    String::from_utf8(bytes).map_err(|_| CloseReason::NotText)
}

/// A response with packets, not cacheable.
pub(super) fn text(body: impl Into<Body>) -> Response {
    let headers = [
        (
            header::CONTENT_TYPE,
            HeaderValue::from_static("text/plain; charset=UTF-8"),
        ),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    (headers, body.into()).into_response()
}
