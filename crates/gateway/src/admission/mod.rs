//! What a client may use: connections, requests and watches, each with a limit.

mod connection_limit;
mod rate_window;
mod watch_quota;

pub use connection_limit::{Admission, ConnectionLimit, LimitReached, SocketGuard};
pub use rate_window::RateWindow;
pub use watch_quota::{QuotaExceeded, WatchOwner, WatchPermit, WatchQuota};
