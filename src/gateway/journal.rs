//! What the log says of sessions: one line when one opens, one when it ends, one for a connection that was refused,
//! each with the session's id, its transport, where its client is and who it is, as fields.
//!
//! What clients do every day is told at `debug`; what is a fault of theirs at `info`, and abuse at `warn`, both within
//! a budget of lines. Tokens are never among the fields, nor is anything else that a client chose freely but the
//! subject of a verified token and, cut to a bound, the origin of a page that was refused.

use std::{net::IpAddr, time::Instant};

use parking_lot::Mutex;

use super::{CloseReason, ErrorCode, budget::Budget, encode::Transport, session::Session};
use crate::visitor::RefusedOrigin;

/// See the module's description.
pub struct Journal {
    budget: Mutex<Budget>,
}

/// How loudly an end is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Loudness {
    Debug,
    Info,
    Warn,
}

fn loudness(reason: &CloseReason) -> Loudness {
    match reason {
        CloseReason::Left(_) | CloseReason::Lost | CloseReason::GoingAway { .. } => Loudness::Debug,
        CloseReason::Protocol(_)
        | CloseReason::NotText
        | CloseReason::TooBig
        | CloseReason::Silent
        | CloseReason::Slow
        | CloseReason::TooManyConnections
        | CloseReason::Unauthenticated(_) => Loudness::Info,
        CloseReason::Abuse => Loudness::Warn,
    }
}

/// An event of a session, at the given level, with the fields that every such line has.
macro_rules! tell {
    ($level:ident, $session:expr, $($rest:tt)+) => {{
        let session: &Session = $session;
        let identity = session.identity();
        tracing::$level!(
            session = session.id(),
            transport = session.wire().transport().name(),
            peer = session.peer().map(tracing::field::display),
            user = identity.as_ref().map(|identity| &*identity.sub),
            $($rest)+
        )
    }};
}

impl Journal {
    /// At most `lines` a minute about each kind of fault.
    pub fn new(lines: u32) -> Self {
        Self {
            budget: Mutex::new(Budget::new(lines)),
        }
    }

    pub fn opened(&self, session: &Session) {
        tell!(debug, session, "a session opened");
    }

    /// To be called before the session's outbox is cleared.
    pub fn closed(&self, session: &Session, reason: &CloseReason) {
        macro_rules! closed {
            ($level:ident) => {{
                let (messages_out, bytes_out, backlog_bytes) = session.traffic();
                tell!(
                    $level,
                    session,
                    code = reason.code(),
                    reason = reason.name(),
                    detail = &*reason.text(),
                    duration_ms = session.age_ms(),
                    messages_out,
                    bytes_out,
                    backlog_bytes,
                    "a session ended"
                )
            }};
        }
        match loudness(reason) {
            Loudness::Debug => {
                // The fields are not worth a lock for a line that is not written.
                if tracing::enabled!(tracing::Level::DEBUG) {
                    closed!(debug);
                }
            }
            Loudness::Info if self.admits(reason.name()) => closed!(info),
            Loudness::Warn if self.admits(reason.name()) => closed!(warn),
            Loudness::Info | Loudness::Warn => {}
        }
    }

    /// A request was answered with an error.
    pub fn request_refused(&self, session: &Session, code: ErrorCode) {
        tell!(
            debug,
            session,
            code = code.as_str(),
            "a request was refused"
        );
    }

    /// A connection was refused before it became a session.
    pub fn handshake_refused(
        &self,
        transport: Transport,
        peer: Option<IpAddr>,
        reason: &'static str,
        status: u16,
        page: Option<&RefusedOrigin>,
    ) {
        if self.admits(reason) {
            tracing::info!(
                transport = transport.name(),
                peer = peer.map(tracing::field::display),
                reason,
                status,
                origin = page.map(|page| page.origin.as_str()),
                host = page.map(|page| page.host.as_str()),
                key = page.map(|_| "gateway.allowed_origins"),
                "a handshake was refused"
            );
        }
    }

    /// The server takes no more sessions: once a minute, whoever asks.
    pub fn full(&self, status: u16, sessions: usize) {
        if self.budget.lock().admit_most("full", 1, Instant::now()) {
            tracing::warn!(
                status,
                sessions,
                "handshakes are refused: the server is full; see gateway.limits.connections and the limit of open files"
            );
        }
    }

    /// Sessions were closed because more waited for all together than may.
    pub fn relieved(&self, sessions: usize, waited_bytes: usize) {
        if sessions > 0 && self.budget.lock().admit_most("backlog", 1, Instant::now()) {
            tracing::warn!(
                sessions,
                waited_bytes,
                "the fullest sessions were closed as slow: more waited for all than gateway.backlog_total_bytes"
            );
        }
    }

    /// A connected client was not let in, as into a namespace of Socket.IO.
    pub fn join_refused(&self, session: &Session, reason: &'static str) {
        if self.admits(reason) {
            tell!(info, session, reason, "a handshake was refused");
        }
    }

    /// Says of which lines some were left out; to be called now and then.
    pub fn report(&self) {
        for (reason, lines) in self.budget.lock().overdrawn(Instant::now()) {
            tracing::warn!(
                reason,
                lines,
                "lines with this reason were left out within a minute or more"
            );
        }
    }

    fn admits(&self, kind: &'static str) -> bool {
        self.budget.lock().admit(kind, Instant::now())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_clients_do_every_day_is_not_told_and_abuse_is_loud() {
        for (reason, expected) in [
            (CloseReason::Left(1000), Loudness::Debug),
            (CloseReason::Lost, Loudness::Debug),
            (
                CloseReason::GoingAway { retry_after_ms: 1 },
                Loudness::Debug,
            ),
            (CloseReason::Slow, Loudness::Info),
            (CloseReason::Silent, Loudness::Info),
            (
                CloseReason::Unauthenticated(ErrorCode::TokenExpired),
                Loudness::Info,
            ),
            (CloseReason::Abuse, Loudness::Warn),
        ] {
            assert_eq!(loudness(&reason), expected, "{reason:?}");
        }
    }
}
