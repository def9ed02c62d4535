//! Who the client of a session is, and how many requests it may still make.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use chaincast_base::RateWindow;

use crate::{auth::Identity, config::LimitsConfig};

/// See the module's description.
pub(super) struct Client {
    pub identity: Option<Arc<Identity>>,
    rate: RateWindow,
    /// Counts the requests that `rate` refused; when this limit is exceeded, too, the session is closed.
    abuse: RateWindow,
    /// Whether `token-expiring` was sent for the current JWT.
    warned: bool,
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
            abuse: RateWindow::new(limits.abuse_requests, window),
            warned: false,
        }
    }

    pub(super) fn set_identity(&mut self, identity: Option<Identity>) {
        self.identity = identity.map(Arc::new);
        self.warned = false;
    }

    /// Counts a request.
    pub(super) fn admit(&mut self, now: Instant) -> Result<(), RateExceeded> {
        self.rate.admit(now).map_err(|retry_after_ms| RateExceeded {
            retry_after_ms,
            is_abuse: self.abuse.admit(now).is_err(),
        })
    }

    /// Whether the client has yet to be warned that its JWT expires. From now on it counts as warned.
    pub(super) fn needs_warning(&mut self) -> bool {
        !std::mem::replace(&mut self.warned, true)
    }
}

/// When the JWT of this identity expires, in ms since the Unix epoch.
pub(super) fn expiry(identity: Option<&Identity>) -> i64 {
    identity.map_or(i64::MAX, |identity| identity.expires_at_ms)
}
