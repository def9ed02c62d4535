//! What a client may use: connections, requests and watches, each with a limit.

mod connection_limit;
mod rate_window;
mod watch_quota;

pub(crate) use connection_limit::{Admission, ConnectionLimit, LimitReached, SocketGuard};
pub(crate) use rate_window::RateWindow;
pub(crate) use watch_quota::{QuotaExceeded, WatchOwner, WatchPermit, WatchQuota};
