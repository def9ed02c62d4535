//! What a client may use: connections, requests and watches, each with a limit.

mod connection_limit;
mod watch_quota;

pub(crate) use connection_limit::{Admission, ConnectionLimit, LimitReached, SocketGuard};
pub(crate) use watch_quota::{QuotaExceeded, WatchOwner, WatchPermit, WatchQuota};
