//! Who the client of a session is, and how many requests it may still make.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use chaincast_base::RateWindow;
use chaincast_rooms::MessagesConfig;

use crate::{auth::Identity, config::LimitsConfig};

/// See the module's description.
pub(super) struct Client {
    pub identity: Option<Arc<Identity>>,
    rate: RateWindow,
    /// Created with the first message or signal: few clients send any.
    sending: Option<Box<SendingWindows>>,
    /// Counts the requests that were refused; when this limit is exceeded, too, the session is closed.
    abuse: RateWindow,
    /// Whether `token-expiring` was sent for the current JWT.
    warned: bool,
}

/// The messages and signals of a session within a minute.
struct SendingWindows {
    messages: RateWindow,
    signals: RateWindow,
}

/// What a request counts towards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequestKind {
    /// `gateway.limits.requests`
    Request,
    /// `gateway.messages.messages_per_minute_per_session`
    Message,
    /// `gateway.messages.signals_per_minute_per_session`
    Signal,
}

/// A request beyond the rate limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateExceeded {
    pub retry_after_ms: u64,
    /// The client kept exceeding the limit: its session must end.
    pub is_abuse: bool,
}

impl Client {
    pub(super) fn new(identity: Option<Arc<Identity>>, limits: &LimitsConfig) -> Self {
        let window = Duration::from_millis(limits.rate_window_ms);
        Self {
            identity,
            rate: RateWindow::new(limits.requests, window),
            sending: None,
            abuse: RateWindow::new(limits.abuse_requests, window),
            warned: false,
        }
    }

    pub(super) fn set_identity(&mut self, identity: Option<Identity>) {
        self.identity = identity.map(Arc::new);
        self.warned = false;
    }

    /// Counts a request.
    pub(super) fn admit(
        &mut self,
        kind: RequestKind,
        messages: &MessagesConfig,
        now: Instant,
    ) -> Result<(), RateExceeded> {
        let sending = || Box::new(SendingWindows::new(messages));
        let window = match kind {
            RequestKind::Request => &mut self.rate,
            RequestKind::Message => &mut self.sending.get_or_insert_with(sending).messages,
            RequestKind::Signal => &mut self.sending.get_or_insert_with(sending).signals,
        };
        window.admit(now).map_err(|retry_after_ms| RateExceeded {
            retry_after_ms,
            is_abuse: self.abuse.admit(now).is_err(),
        })
    }

    /// Whether the client has yet to be warned that its JWT expires. From now on it counts as warned.
    pub(super) fn needs_warning(&mut self) -> bool {
        !std::mem::replace(&mut self.warned, true)
    }
}

impl SendingWindows {
    fn new(config: &MessagesConfig) -> Self {
        let window = |limit| RateWindow::new(limit, Duration::from_secs(60));
        Self {
            messages: window(config.messages_per_minute_per_session),
            signals: window(config.signals_per_minute_per_session),
        }
    }
}

/// When the JWT of this identity expires, in ms since the Unix epoch.
pub(super) fn expiry(identity: Option<&Identity>) -> i64 {
    identity.map_or(i64::MAX, |identity| identity.expires_at_ms)
}
