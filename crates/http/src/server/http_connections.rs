//! The open HTTP connections: their number, and which of them may be evicted for new ones.
//!
//! An idle connection holds a file descriptor, too. At capacity the connection that has been idle for longest is closed;
//! those that never sent a request go first. A connection whose socket is taken over by a session no longer counts here;
//! the requests of a polling session do.

use std::{sync::Arc, time::Duration};

use parking_lot::Mutex;
use slab::Slab;
use tokio::time::Instant;

use chaincast_base::shutdown::Hangup;

/// A connection must be idle for this long before it is evicted: its next request may be in flight.
pub(super) const MIN_IDLE: Duration = Duration::from_millis(500);

/// The limit on connections, sockets of sessions included. Cheap to clone.
#[derive(Clone)]
pub struct ConnectionCapacity {
    /// Limit for connections of every kind.
    connections: usize,
    /// Number of those taken over by sessions.
    sockets: Arc<dyn Fn() -> usize + Send + Sync>,
}

impl ConnectionCapacity {
    /// A limit on connections; `sockets` counts those taken over by sessions.
    pub fn new(connections: usize, sockets: impl Fn() -> usize + Send + Sync + 'static) -> Self {
        Self {
            connections,
            sockets: Arc::new(sockets),
        }
    }

    /// No limit.
    pub fn unbounded() -> Self {
        Self::new(usize::MAX, || 0)
    }
}

/// See the module's description. Cheap to clone.
#[derive(Clone)]
pub(super) struct HttpConnections(Arc<Inner>);

struct Inner {
    capacity: ConnectionCapacity,
    open: Mutex<Open>,
}

#[derive(Default)]
struct Open {
    connections: Slab<HttpConnection>,
    /// Number of connections that are being evicted.
    closing: usize,
}

struct HttpConnection {
    hangup: Hangup,
    /// Requests whose responses are not yet in the kernel. A pipelining client has several: the next request is read
    /// while the end of the previous response is written.
    requests: usize,
    /// Start of the idle time; `None` during a request.
    idle: Option<Instant>,
    /// Whether it ever sent a request.
    has_requested: bool,
    closing: bool,
}

/// Counts one connection until dropped.
pub(super) struct ConnectionGuard {
    connections: HttpConnections,
    key: usize,
}

impl HttpConnections {
    pub(super) fn new(capacity: ConnectionCapacity) -> Self {
        Self(Arc::new(Inner {
            capacity,
            open: Mutex::default(),
        }))
    }

    /// Admits a connection; at capacity it evicts an idle one, and returns `None` if there is none.
    pub(super) fn admit(&self, hangup: Hangup) -> Option<ConnectionGuard> {
        let (now, sockets) = (Instant::now(), (self.0.capacity.sockets)());
        let mut open = self.0.open.lock();
        let count = open.connections.len() - open.closing + sockets;
        if count >= self.0.capacity.connections {
            let idle = open.connections.iter().filter_map(|(key, connection)| {
                let idle = connection
                    .idle
                    .filter(|since| now.duration_since(*since) >= MIN_IDLE)?;
                (!connection.closing).then_some(((connection.has_requested, idle), key))
            });
            let (_, longest) = idle.min()?;
            let connection = &mut open.connections[longest];
            connection.closing = true;
            connection.hangup.hang_up();
            open.closing += 1;
            metrics::counter!("chaincast_http_connections_evicted_total").increment(1);
        }
        let key = open.connections.insert(HttpConnection {
            hangup,
            requests: 0,
            idle: Some(now),
            has_requested: false,
            closing: false,
        });
        Some(ConnectionGuard {
            connections: self.clone(),
            key,
        })
    }
}

impl ConnectionGuard {
    /// Marks the start of a request; it ends when the returned guard is dropped.
    pub(super) fn request(self: &Arc<Self>) -> RequestGuard {
        self.update(|connection| {
            connection.requests += 1;
            connection.idle = None;
            connection.has_requested = true;
        });
        RequestGuard(self.clone())
    }

    fn update(&self, update: impl FnOnce(&mut HttpConnection)) {
        if let Some(connection) = self.connections.0.open.lock().connections.get_mut(self.key) {
            update(connection);
        }
    }
}

impl Drop for ConnectionGuard {
    fn drop(&mut self) {
        let mut open = self.connections.0.open.lock();
        if open.connections.remove(self.key).closing {
            open.closing -= 1;
        }
    }
}

/// Counts one request until dropped.
pub(super) struct RequestGuard(Arc<ConnectionGuard>);

impl Drop for RequestGuard {
    fn drop(&mut self) {
        self.0.update(|connection| {
            connection.requests -= 1;
            if connection.requests == 0 {
                connection.idle = Some(Instant::now());
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use tokio::time::advance;

    use super::*;

    /// Admits a connection; returns its guard and hangup.
    fn connect(connections: &HttpConnections) -> Option<(Arc<ConnectionGuard>, Hangup)> {
        let hangup = Hangup::default();
        let guard = connections.admit(hangup.clone())?;
        Some((Arc::new(guard), hangup))
    }

    fn is_hung_up(hangup: &Hangup) -> bool {
        hangup.hung_up().now_or_never().is_some()
    }

    #[tokio::test(start_paused = true)]
    async fn evicts_silent_then_longest_idle_connections() {
        let connections = HttpConnections::new(ConnectionCapacity::new(3, || 0));
        let (used, used_out) = connect(&connections).unwrap();
        drop(used.request());
        let (_silent, silent_out) = connect(&connections).unwrap();
        let (active, active_out) = connect(&connections).unwrap();
        let work = active.request();
        assert!(connect(&connections).is_none(), "all were active recently");
        advance(MIN_IDLE).await;
        let _first = connect(&connections).unwrap();
        assert!(is_hung_up(&silent_out) && !is_hung_up(&used_out));
        let _second = connect(&connections).unwrap();
        assert!(is_hung_up(&used_out) && !is_hung_up(&active_out));
        assert!(connect(&connections).is_none(), "none is idle");
        drop(work);
        advance(MIN_IDLE).await;
        // The new connections have sent no request yet.
        let _third = connect(&connections).unwrap();
        assert!(!is_hung_up(&active_out));
    }

    #[tokio::test(start_paused = true)]
    async fn stays_active_until_kernel_has_response() {
        use std::{future::poll_fn, pin::Pin};

        use axum::body::{Body, HttpBody};

        use super::super::tracked_body::TrackedBody;
        let connections = HttpConnections::new(ConnectionCapacity::new(1, || 0));
        let (guard, out) = connect(&connections).unwrap();
        let mut body = TrackedBody::new(Body::from("an answer"), guard.request());
        assert_eq!(body.size_hint().exact(), Some(9));
        let frame = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await;
        let data = frame.unwrap().unwrap().into_data().unwrap();
        assert!(body.is_end_stream());
        // HTTP has all of the body and waits for the client to read.
        drop(body);
        advance(MIN_IDLE).await;
        assert!(connect(&connections).is_none() && !is_hung_up(&out));
        drop(data);
        assert!(
            connect(&connections).is_none(),
            "its next request may be in flight"
        );
        advance(MIN_IDLE).await;
        assert!(connect(&connections).is_some() && is_hung_up(&out));
    }

    #[tokio::test(start_paused = true)]
    async fn stays_active_until_pipelined_requests_end() {
        let connections = HttpConnections::new(ConnectionCapacity::new(1, || 0));
        let (guard, out) = connect(&connections).unwrap();
        let first = guard.request();
        let second = guard.request();
        // The kernel has the first response; the second request is in progress.
        drop(first);
        advance(MIN_IDLE).await;
        assert!(connect(&connections).is_none() && !is_hung_up(&out));
        drop(second);
        advance(MIN_IDLE).await;
        assert!(connect(&connections).is_some() && is_hung_up(&out));
    }

    #[tokio::test(start_paused = true)]
    async fn counts_sockets_and_drops_closed_connections() {
        use std::sync::atomic::{AtomicUsize, Ordering};
        let sockets = Arc::new(AtomicUsize::new(1));
        let counted = sockets.clone();
        let connections = HttpConnections::new(ConnectionCapacity::new(2, move || {
            counted.load(Ordering::SeqCst)
        }));
        let (first, _) = connect(&connections).unwrap();
        assert!(connect(&connections).is_none());
        sockets.store(0, Ordering::SeqCst);
        let (second, _) = connect(&connections).unwrap();
        assert!(connect(&connections).is_none());
        drop((first, second));
        assert!(connections.0.open.lock().connections.is_empty());
        assert!(connect(&connections).is_some());
    }
}
