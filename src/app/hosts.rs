//! The layer around all routes that rejects requests for foreign host names. The first rejection of each name is logged
//! as a warning: the operator may have to list it.

use std::{collections::HashSet, net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    Router,
    extract::{ConnectInfo, Request},
    http::StatusCode,
    middleware::{self, Next},
    response::{IntoResponse, Response},
};
use parking_lot::Mutex;
use tokio::time::Instant;

use chaincast_http::{
    client::{OtherHost, Site},
    problem::Problem,
};

/// Exempt: an orchestrator may use a name of its own.
const EXEMPT_PATH: &str = "/healthz";

/// A name is logged once per this interval.
const LOG_INTERVAL: Duration = Duration::from_secs(3_600);
/// Most names logged per interval: clients can send any number of them.
const MAX_LOGGED_NAMES: usize = 32;

/// Wraps every route if [`Site::hosts`] lists names: requests for other names get 421, with or without `Origin`.
pub(super) fn layer(router: Router, site: Site) -> Router {
    if site.hosts.is_empty() {
        return router;
    }
    let logged = Arc::new(Mutex::new(RejectionLog::default()));
    router.layer(middleware::from_fn(move |request: Request, next: Next| {
        let peer = request.extensions().get::<ConnectInfo<SocketAddr>>();
        let peer = peer.map(|ConnectInfo(peer)| peer.ip());
        let checked = match request.uri().path() {
            EXEMPT_PATH => Ok(()),
            _ => site.check_hosts(peer, request.headers()),
        };
        let logged = logged.clone();
        async move {
            match checked {
                Ok(()) => next.run(request).await,
                Err(other) => {
                    let level = logged.lock().level(&other);
                    match level {
                        Level::Warning => {
                            tracing::warn!(?peer, %other, "rejected a request for an unknown host; if the name belongs to this server, add it to gateway.own_hosts");
                        }
                        Level::LastWarning => {
                            tracing::warn!(?peer, %other, "rejected a request for an unknown host; further names are logged at debug level for an hour");
                        }
                        Level::Debug => tracing::debug!(?peer, %other, "rejected a request for an unknown host"),
                    }
                    misdirected(&other)
                }
            }
        }
    }))
}

fn misdirected(other: &OtherHost) -> Response {
    let status = StatusCode::MISDIRECTED_REQUEST;
    Problem::new(status, "MISDIRECTED", other.to_string()).into_response()
}

/// The names rejected and logged in the last [`LOG_INTERVAL`].
#[derive(Default)]
struct RejectionLog {
    names: HashSet<OtherHost>,
    since: Option<Instant>,
}

/// How a rejection is logged.
#[derive(Debug, PartialEq, Eq)]
enum Level {
    Warning,
    /// The last name that is logged as a warning in this interval.
    LastWarning,
    Debug,
}

impl RejectionLog {
    fn level(&mut self, other: &OtherHost) -> Level {
        let now = Instant::now();
        if self
            .since
            .is_none_or(|since| now.duration_since(since) >= LOG_INTERVAL)
        {
            self.names.clear();
            self.since = Some(now);
        }
        if self.names.len() >= MAX_LOGGED_NAMES || !self.names.insert(other.clone()) {
            return Level::Debug;
        }
        match self.names.len() < MAX_LOGGED_NAMES {
            true => Level::Warning,
            false => Level::LastWarning,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn other(host: &str) -> OtherHost {
        OtherHost {
            host: host.to_owned(),
            forwarded: String::new(),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn warns_once_per_name_up_to_a_limit() {
        let mut logged = RejectionLog::default();
        assert_eq!(logged.level(&other("chaincast:3000")), Level::Warning);
        assert_eq!(logged.level(&other("chaincast:3000")), Level::Debug);
        for at in 2..MAX_LOGGED_NAMES {
            let name = other(&format!("{at}.example"));
            assert_eq!(logged.level(&name), Level::Warning, "{at}");
        }
        assert_eq!(logged.level(&other("last.example")), Level::LastWarning);
        assert_eq!(logged.level(&other("more.example")), Level::Debug);
        assert_eq!(logged.names.len(), MAX_LOGGED_NAMES);
        tokio::time::advance(LOG_INTERVAL).await;
        assert_eq!(logged.level(&other("chaincast:3000")), Level::Warning);
        assert_eq!(logged.names.len(), 1);
    }
}
