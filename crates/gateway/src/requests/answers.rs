//! Sends the answer of a request, and counts and logs a refusal.

use std::sync::Arc;

use chaincast_protocol::{CloseReason, ErrorCode, Refusal, request::Answer};

use crate::{
    hub::PendingAnswer,
    observe::{GatewayMetrics, SessionLog, refusal_reason},
    session::{Reply, RequestKind, Session},
};

/// See the module's description. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Answers {
    metrics: Arc<GatewayMetrics>,
    session_log: Arc<SessionLog>,
}

impl Answers {
    pub(crate) fn new(metrics: Arc<GatewayMetrics>, session_log: Arc<SessionLog>) -> Self {
        Self {
            metrics,
            session_log,
        }
    }

    pub(crate) fn send(&self, session: &Arc<Session>, answer: &Answer, reply: Reply) {
        if let Answer::Refused(refusal) = answer {
            self.record_refusal(session, refusal.code);
        }
        for packet in reply(answer) {
            session.queue(packet);
        }
    }

    /// As [`Self::send`], unless the request was answered already.
    pub(crate) fn send_pending(
        &self,
        session: &Arc<Session>,
        answer: &Answer,
        pending: &PendingAnswer,
    ) {
        if let Answer::Refused(refusal) = answer {
            self.record_refusal(session, refusal.code);
        }
        for packet in pending.give(answer) {
            session.queue(packet);
        }
    }

    /// A request, or one channel of it, was refused.
    pub(crate) fn record_refusal(&self, session: &Session, code: ErrorCode) {
        self.metrics.request_refused(code);
        self.session_log
            .request_refused(&session.log_fields(), code);
    }

    /// A connected client was refused, such as in a Socket.IO namespace.
    pub(crate) fn record_join_refusal(&self, session: &Session, code: Option<ErrorCode>) {
        let reason = refusal_reason(code);
        let transport = session.wire().transport();
        self.metrics.handshake_refused(transport, reason);
        self.session_log.join_refused(&session.log_fields(), reason);
    }

    /// Counts a request. Refuses it beyond the rate limit of its kind; too many refusals end the session.
    pub(crate) fn admit(&self, session: &Arc<Session>, kind: RequestKind) -> Result<(), Refusal> {
        session.admit_request(kind).map_err(|exceeded| {
            self.metrics.rate_limited();
            if exceeded.is_abuse {
                session.end(CloseReason::Abuse);
            }
            Refusal::rate_limited(exceeded.retry_after_ms)
        })
    }
}
