//! The layer around every route that refuses requests under names which are not this server's. The first refusal of each
//! name is a warning: it may be a service of the operator's that is to be listed.

use std::{collections::HashSet, net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    Router,
    extract::{ConnectInfo, Request},
    http::{HeaderValue, StatusCode, header::CONTENT_TYPE},
    middleware::{self, Next},
    response::{IntoResponse, Response},
};
use parking_lot::Mutex;
use serde_json::json;
use tokio::time::Instant;

use crate::visitor::{OtherHost, Site};

/// Answers whoever asks, by whatever name: an orchestrator may know the process by one of its own.
const OPEN: &str = "/healthz";

/// A name is logged once in this time.
const QUIET: Duration = Duration::from_secs(3_600);
/// Most names that are logged in that time: clients can send any number of them.
const NAMES: usize = 32;

/// Wraps every route where [`Site::hosts`] lists names: others are answered with 421, with or without `Origin`.
pub(super) fn around(router: Router, site: Site) -> Router {
    if site.hosts.is_empty() {
        return router;
    }
    let logged = Arc::new(Mutex::new(Logged::default()));
    router.layer(middleware::from_fn(move |request: Request, next: Next| {
        let peer = request.extensions().get::<ConnectInfo<SocketAddr>>();
        let peer = peer.map(|ConnectInfo(peer)| peer.ip());
        let checked = match request.uri().path() {
            OPEN => Ok(()),
            _ => site.check_hosts(peer, request.headers()),
        };
        let logged = logged.clone();
        async move {
            match checked {
                Ok(()) => next.run(request).await,
                Err(other) => {
                    let line = logged.lock().line(&other);
                    match line {
                        Line::Warning => {
                            tracing::warn!(?peer, %other, "refused a request; list the name if it is one of this server's");
                        }
                        Line::LastWarning => {
                            tracing::warn!(?peer, %other, "refused a request; more names are logged at debug for an hour");
                        }
                        Line::Debug => tracing::debug!(?peer, %other, "refused a request"),
                    }
                    misdirected(&other)
                }
            }
        }
    }))
}

fn misdirected(other: &OtherHost) -> Response {
    let status = StatusCode::MISDIRECTED_REQUEST;
    let problem = json!({
        "type": "about:blank",
        "title": status.canonical_reason(),
        "status": status.as_u16(),
        "code": "MISDIRECTED",
        "detail": other.to_string(),
    });
    let kind = HeaderValue::from_static("application/problem+json");
    (status, [(CONTENT_TYPE, kind)], problem.to_string()).into_response()
}

/// What was refused and logged in the last [`QUIET`].
#[derive(Default)]
struct Logged {
    names: HashSet<OtherHost>,
    since: Option<Instant>,
}

/// How a refusal is logged.
#[derive(Debug, PartialEq, Eq)]
enum Line {
    Warning,
    /// No other name is a warning for a while.
    LastWarning,
    Debug,
}

impl Logged {
    fn line(&mut self, other: &OtherHost) -> Line {
        let now = Instant::now();
        if self
            .since
            .is_none_or(|since| now.duration_since(since) >= QUIET)
        {
            self.names.clear();
            self.since = Some(now);
        }
        if self.names.len() >= NAMES || !self.names.insert(other.clone()) {
            return Line::Debug;
        }
        match self.names.len() < NAMES {
            true => Line::Warning,
            false => Line::LastWarning,
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
    async fn warns_once_of_each_name_and_of_a_bounded_number() {
        let mut logged = Logged::default();
        assert_eq!(logged.line(&other("chaincast:3000")), Line::Warning);
        assert_eq!(logged.line(&other("chaincast:3000")), Line::Debug);
        for at in 2..NAMES {
            let name = other(&format!("{at}.example"));
            assert_eq!(logged.line(&name), Line::Warning, "{at}");
        }
        assert_eq!(logged.line(&other("last.example")), Line::LastWarning);
        assert_eq!(logged.line(&other("more.example")), Line::Debug);
        assert_eq!(logged.names.len(), NAMES);
        tokio::time::advance(QUIET).await;
        assert_eq!(logged.line(&other("chaincast:3000")), Line::Warning);
        assert_eq!(logged.names.len(), 1);
    }
}
