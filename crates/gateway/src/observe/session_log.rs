//! Log lines about sessions: opened, ended, and refused connections, with the session's id, transport, client address
//! and user as fields.
//!
//! Normal events are logged at `debug`, client faults at `info` and abuse at `warn`; the last two are limited by a
//! [`LogLimit`]. Fields never hold JWTs or other text chosen by a client, except the subject of a verified JWT and, cut
//! to a bound, a refused origin.

use std::{net::IpAddr, sync::Arc};

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::auth::Identity;
use chaincast_base::telemetry::log_limit::{LOG_INTERVAL, LogLimit};
use chaincast_http::client::RefusedOrigin;
use chaincast_protocol::{CloseReason, ErrorCode, encode::Transport};

/// The fields of every line about a session.
#[derive(Debug)]
pub struct SessionFields<'a> {
    pub id: &'a str,
    pub transport: Transport,
    pub peer: Option<IpAddr>,
    pub user: Option<Arc<Identity>>,
}

/// What a session has sent, and what it still has to send.
#[derive(Debug, Clone, Copy)]
pub struct Traffic {
    pub messages: u64,
    pub bytes: u64,
    pub backlog_bytes: usize,
}

/// The fields of the line about a session's end.
#[derive(Debug)]
pub struct EndFields<'a> {
    pub session: SessionFields<'a>,
    pub duration_ms: u64,
    pub traffic: Traffic,
}

/// See the module's description.
pub(crate) struct SessionLog {
    limit: Mutex<LogLimit>,
}

/// The log level of a session's end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Severity {
    Debug,
    Info,
    Warn,
}

fn severity(reason: &CloseReason) -> Severity {
    match reason {
        CloseReason::Left(_) | CloseReason::Lost | CloseReason::GoingAway { .. } => Severity::Debug,
        CloseReason::Protocol(_)
        | CloseReason::NotText
        | CloseReason::TooBig
        | CloseReason::Silent
        | CloseReason::Slow
        | CloseReason::TooManyConnections
        | CloseReason::Unauthenticated(_)
        | CloseReason::Disconnected => Severity::Info,
        CloseReason::Abuse => Severity::Warn,
    }
}

/// Logs an event of a session at the given level, with the fields common to all such lines.
macro_rules! log_session {
    ($level:ident, $fields:expr, $($rest:tt)+) => {{
        let fields: &SessionFields<'_> = $fields;
        tracing::$level!(
            session = fields.id,
            transport = fields.transport.name(),
            peer = fields.peer.map(tracing::field::display),
            user = fields.user.as_ref().map(|identity| &*identity.sub),
            $($rest)+
        )
    }};
}

impl SessionLog {
    /// Logs at most `lines` per minute for each kind of fault.
    pub(crate) fn new(lines: u32) -> Self {
        Self {
            limit: Mutex::new(LogLimit::new(lines, LOG_INTERVAL)),
        }
    }

    pub(crate) fn opened(&self, session: &SessionFields<'_>) {
        log_session!(debug, session, "session opened");
    }

    /// `fields` is called only for a line that is logged, before the session's outbox is cleared.
    pub(crate) fn closed<'a>(&self, reason: &CloseReason, fields: impl FnOnce() -> EndFields<'a>) {
        macro_rules! closed {
            ($level:ident) => {{
                let EndFields {
                    session,
                    duration_ms,
                    traffic,
                } = fields();
                log_session!(
                    $level,
                    &session,
                    code = reason.code(),
                    reason = reason.name(),
                    detail = &*reason.text(),
                    duration_ms,
                    messages_out = traffic.messages,
                    bytes_out = traffic.bytes,
                    backlog_bytes = traffic.backlog_bytes,
                    "session ended"
                )
            }};
        }
        match severity(reason) {
            Severity::Debug => {
                // Avoids the locks for fields of a disabled line.
                if tracing::enabled!(tracing::Level::DEBUG) {
                    closed!(debug);
                }
            }
            Severity::Info if self.admits(reason.name()) => closed!(info),
            Severity::Warn if self.admits(reason.name()) => closed!(warn),
            Severity::Info | Severity::Warn => {}
        }
    }

    /// A request was answered with an error.
    pub(crate) fn request_refused(&self, session: &SessionFields<'_>, code: ErrorCode) {
        log_session!(debug, session, code = code.as_str(), "request refused");
    }

    /// A connection was refused before it became a session.
    pub(crate) fn handshake_refused(
        &self,
        transport: Transport,
        peer: Option<IpAddr>,
        reason: &'static str,
        status: u16,
        origin: Option<&RefusedOrigin>,
    ) {
        if self.admits(reason) {
            tracing::info!(
                transport = transport.name(),
                peer = peer.map(tracing::field::display),
                reason,
                status,
                origin = origin.map(|refused| refused.origin.as_str()),
                host = origin.map(|refused| refused.host.as_str()),
                key = origin.map(|_| "gateway.allowed_origins"),
                "handshake refused"
            );
        }
    }

    /// The server is at its connection limit: at most one line per minute.
    pub(crate) fn server_full(&self, status: u16, sessions: usize) {
        if self.admits_up_to("full", 1) {
            tracing::warn!(
                status,
                sessions,
                "server full, handshakes are refused; check gateway.limits.connections and the limit of open files"
            );
        }
    }

    /// Sessions were closed because the backlog of all sessions exceeded its limit.
    pub(crate) fn evicted(&self, sessions: usize, backlog_bytes: usize) {
        if sessions > 0 && self.admits_up_to("backlog", 1) {
            tracing::warn!(
                sessions,
                backlog_bytes,
                "closed the sessions with the largest backlogs as slow: the total exceeded gateway.backlog_total_bytes"
            );
        }
    }

    /// A connected client was refused, such as in a Socket.IO namespace.
    pub(crate) fn join_refused(&self, session: &SessionFields<'_>, reason: &'static str) {
        if self.admits(reason) {
            log_session!(info, session, reason, "handshake refused");
        }
    }

    /// Logs how many lines were suppressed. Call it periodically.
    pub(crate) fn report(&self) {
        let suppressed = self.limit.lock().take_suppressed();
        for (reason, lines) in suppressed {
            log_suppressed(reason, lines);
        }
    }

    fn admits(&self, kind: &'static str) -> bool {
        let admitted = self.limit.lock().admit(kind);
        log_admitted(kind, admitted)
    }

    fn admits_up_to(&self, kind: &'static str, lines: u32) -> bool {
        let admitted = self.limit.lock().admit_at(kind, lines, Instant::now());
        log_admitted(kind, admitted)
    }
}

/// Whether a line was admitted. Logs the suppressed lines before it that no report has counted.
fn log_admitted(kind: &'static str, admitted: Option<u64>) -> bool {
    if let Some(lines @ 1..) = admitted {
        log_suppressed(kind, lines);
    }
    admitted.is_some()
}

fn log_suppressed(reason: &'static str, lines: u64) {
    tracing::warn!(
        reason,
        lines,
        "log lines with this reason were suppressed during at least a minute"
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn severity_separates_normal_faulty_and_abusive_ends() {
        for (reason, expected) in [
            (CloseReason::Left(1000), Severity::Debug),
            (CloseReason::Lost, Severity::Debug),
            (
                CloseReason::GoingAway { retry_after_ms: 1 },
                Severity::Debug,
            ),
            (CloseReason::Slow, Severity::Info),
            (CloseReason::Silent, Severity::Info),
            (
                CloseReason::Unauthenticated(ErrorCode::TokenExpired),
                Severity::Info,
            ),
            (CloseReason::Abuse, Severity::Warn),
        ] {
            assert_eq!(severity(&reason), expected, "{reason:?}");
        }
    }
}
