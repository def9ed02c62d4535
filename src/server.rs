//! The one port: accepts connections and serves HTTP/1.1 with upgrades on them.

mod busy;
mod config;
mod guests;

pub use config::ServerConfig;
pub use guests::Room;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::{Router, extract::ConnectInfo};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpSocket, TcpStream},
    time::Instant,
};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use self::{
    busy::Busy,
    guests::{Guests, Seat},
};
use crate::shutdown::{Hangup, Takeover, Tasks};

/// Between two log lines about connections that were not accepted, or refused for want of room.
const LINE_EVERY: Duration = Duration::from_secs(60);
/// The answer to a client that there is no room for.
const FULL: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 5\r\ncontent-type: application/problem+json\r\n\
    content-length: 143\r\nconnection: close\r\n\r\n{\"type\":\"about:blank\",\"title\":\"Service Unavailable\",\"status\":503,\
    \"code\":\"UNAVAILABLE\",\"detail\":\"this server has as many connections as it can\"}";

/// How long accepting rests when the process has run out of file descriptors.
const REST: Duration = Duration::from_millis(100);

/// How long a peer may leave what was sent unacknowledged, or its window shut, before the connection is broken.
const UNREAD: Duration = Duration::from_secs(30);

/// Why the port could not be had.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: {reason}")]
pub struct BindError {
    address: String,
    reason: String,
}

/// Binds now, so that a taken port is an error at start and not in a task.
pub async fn bind(config: &ServerConfig) -> Result<TcpListener, BindError> {
    listen(config).await.map_err(|error| {
        let address = format!("{}:{}", config.host, config.port);
        let reason = match error.kind() {
            std::io::ErrorKind::AddrInUse => {
                "the port is taken by another process; choose another with --port, PORT or server.port".to_owned()
            }
            _ => format!("{error}; check server.host and server.port"),
        };
        BindError { address, reason }
    })
}

/// Tries the addresses of the host one after the other. The runtime's own `bind` would let only 128 connections
/// wait, and a client that finds no place there tries again after a second.
async fn listen(config: &ServerConfig) -> std::io::Result<TcpListener> {
    let mut failed = std::io::Error::other("the host has no address");
    for address in tokio::net::lookup_host((config.host.as_str(), config.port)).await? {
        let listening = (|| {
            let socket = match address {
                SocketAddr::V4(_) => TcpSocket::new_v4()?,
                SocketAddr::V6(_) => TcpSocket::new_v6()?,
            };
            // A restart need not wait for the connections of the process before it.
            socket.set_reuseaddr(true)?;
            socket.bind(address)?;
            socket.listen(config.accept_backlog)
        })();
        match listening {
            Ok(listener) => return Ok(listener),
            Err(error) => failed = error,
        }
    }
    Err(failed)
}

fn describe() {
    use metrics::{counter, describe_counter};
    describe_counter!(
        "chaincast_http_accept_errors_total",
        "Connections that could not be accepted"
    );
    describe_counter!("chaincast_http_connections_total", "Connections accepted");
    describe_counter!(
        "chaincast_http_connections_refused_total",
        "Connections refused with 503 because no descriptor was free for them"
    );
    describe_counter!(
        "chaincast_http_connections_evicted_total",
        "Idle connections closed in favour of new ones because no descriptor was free for both"
    );
    counter!("chaincast_http_connections_refused_total").increment(0);
    counter!("chaincast_http_connections_evicted_total").increment(0);
    counter!("chaincast_http_accept_errors_total").increment(0);
    counter!("chaincast_http_connections_total").increment(0);
}

/// Serves until `stop`; then accepts no more and lets each connection finish its request. Connections run as
/// tracked tasks, so draining `tasks` waits for them, and hangs up on those that do not end.
///
/// Handlers find the connection's [`Takeover`] among the request's extensions.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    config: ServerConfig,
    tasks: Tasks,
    stop: CancellationToken,
) -> std::io::Result<()> {
    serve_within(Room::unbounded(), listener, router, config, tasks, stop).await
}

/// As [`serve`], with room for no more connections than that. A client that comes when there is none takes the place of
/// an idle connection, or is refused.
pub async fn serve_within(
    room: Room,
    listener: TcpListener,
    router: Router,
    config: ServerConfig,
    tasks: Tasks,
    stop: CancellationToken,
) -> std::io::Result<()> {
    describe();
    let guests = Guests::new(room);
    let (mut failed, mut full) = (Lines::default(), Lines::default());
    loop {
        let (stream, peer) = tokio::select! {
            () = stop.cancelled() => return Ok(()),
            accepted = listener.accept() => match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    metrics::counter!("chaincast_http_accept_errors_total").increment(1);
                    if let Some(count) = failed.due() {
                        tracing::warn!(%error, count, "connections could not be accepted");
                    }
                    tokio::time::sleep(REST).await;
                    continue;
                }
            },
        };
        metrics::counter!("chaincast_http_connections_total").increment(1);
        let hangup = tasks.hangup().one();
        let Some(seat) = guests.admit(hangup.clone()) else {
            metrics::counter!("chaincast_http_connections_refused_total").increment(1);
            if let Some(count) = full.due() {
                tracing::warn!(
                    count,
                    "connections are refused: the limit of open files (ulimit -n) allows no more"
                );
            }
            refuse(&stream);
            continue;
        };
        tasks.spawn(connection(
            stream,
            peer,
            Arc::new(seat),
            router.clone(),
            config.clone(),
            stop.clone(),
            hangup,
        ));
    }
}

/// Lines of the log about one kind of trouble: one a minute, with the number of times since the last.
#[derive(Default)]
struct Lines {
    count: u64,
    last: Option<Instant>,
}

impl Lines {
    /// Counts one more time; how many there were, when a line is due.
    fn due(&mut self) -> Option<u64> {
        self.count += 1;
        let now = Instant::now();
        if self
            .last
            .is_some_and(|last| now.duration_since(last) < LINE_EVERY)
        {
            return None;
        }
        self.last = Some(now);
        Some(std::mem::take(&mut self.count))
    }
}

/// Answers that there is no room, as far as that can be done without waiting.
fn refuse(stream: &TcpStream) {
    // What was read is not answered with a reset, which could overtake the answer.
    let _ = stream.try_read(&mut [0; 4_096]);
    let _ = stream.try_write(FULL);
}

async fn connection(
    stream: TcpStream,
    peer: SocketAddr,
    seat: Arc<Seat>,
    router: Router,
    config: ServerConfig,
    stop: CancellationToken,
    hangup: Hangup,
) {
    #[cfg(target_os = "linux")]
    if let Err(error) = socket2::SockRef::from(&stream).set_tcp_user_timeout(Some(UNREAD)) {
        tracing::debug!(%peer, %error, "a connection has no timeout for what is not read");
    }
    // Without it the kernel takes megabytes for a client that does not read, and hides that it is slow.
    if let Err(error) =
        socket2::SockRef::from(&stream).set_send_buffer_size(config.send_buffer_bytes)
    {
        tracing::debug!(%peer, %error, "a connection keeps the system's send buffer");
    }
    // Without it, small frames wait for the client's delayed acknowledgement.
    if stream.set_nodelay(true).is_err() {
        return;
    }
    let (takeover, mut taken) = Takeover::new();
    let service = service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
        let mut request = request.map(axum::body::Body::new);
        request.extensions_mut().insert(ConnectInfo(peer));
        request.extensions_mut().insert(takeover.clone());
        let (asked, answer) = (seat.request(), router.clone().oneshot(request));
        async move {
            let answer = answer.await;
            answer.map(|answer| answer.map(|body| Busy::new(body, asked)))
        }
    });
    let mut http = hyper::server::conn::http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(Duration::from_millis(config.header_timeout_ms))
        .max_buf_size(config.header_bytes);
    let mut connection = http
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    let served = async {
        tokio::select! {
            ended = &mut connection => ended,
            () = stop.cancelled() => {
                Pin::new(&mut connection).graceful_shutdown();
                (&mut connection).await
            }
        }
    };
    let ended = tokio::select! {
        ended = served => ended,
        () = hangup.hung_up() => {
            tracing::debug!(%peer, "hung up on a client that does not read");
            return;
        }
        give = taken.asked() => {
            // What the client may have sent after the request is dropped: nothing else is answered here. Earlier
            // answers were sent, unless it did not wait for them and does not read them.
            if let Some(parts) = connection.into_parts() {
                // Who asked may be gone; then so is the connection.
                let _ = give.send(parts.io.into_inner());
            }
            return;
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%peer, %error, "an HTTP connection ended early");
    }
}

#[cfg(test)]
mod tests;
