//! The server's one port: accepts connections and serves HTTP/1.1 with upgrades.

mod config;
mod http_connections;
mod tracked_body;

pub use config::ServerConfig;
pub use http_connections::ConnectionCapacity;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::{Router, extract::ConnectInfo};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use self::{
    http_connections::{ConnectionGuard, HttpConnections},
    tracked_body::TrackedBody,
};
use chaincast_base::{
    shutdown::{Hangup, Takeover, Tasks},
    telemetry::log_limit::LogLimit,
};

/// The response to a client beyond the connection capacity.
const AT_CAPACITY: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 5\r\ncontent-type: application/problem+json\r\n\
    content-length: 143\r\nconnection: close\r\n\r\n{\"type\":\"about:blank\",\"title\":\"Service Unavailable\",\"status\":503,\
    \"code\":\"UNAVAILABLE\",\"detail\":\"the server cannot accept any more connections\"}";

/// Pause after a failed accept, as when the process has no free file descriptor.
const ACCEPT_RETRY_DELAY: Duration = Duration::from_millis(100);

/// TCP user timeout: the kernel drops a connection whose sent data stays unacknowledged, or whose window stays closed,
/// for this long.
const USER_TIMEOUT: Duration = Duration::from_secs(30);

/// The listening socket could not be bound.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: {reason}")]
pub struct BindError {
    address: String,
    reason: String,
}

/// Binds the configured address, so a port in use is an error at start and not in a task.
pub async fn bind(config: &ServerConfig) -> Result<TcpListener, BindError> {
    listen(config).await.map_err(|error| {
        let address = format!("{}:{}", config.host, config.port);
        let reason = match error.kind() {
            std::io::ErrorKind::AddrInUse => {
                "the port is in use by another process; choose another with --port, PORT or server.port".to_owned()
            }
            _ => format!("{error}; check server.host and server.port"),
        };
        BindError { address, reason }
    })
}

/// Binds the first usable address of the host. Not `TcpListener::bind`: its backlog is only 128, and a client whose SYN
/// is dropped retries after a second.
async fn listen(config: &ServerConfig) -> std::io::Result<TcpListener> {
    let mut failed = std::io::Error::other("the host has no address");
    for address in tokio::net::lookup_host((config.host.as_str(), config.port)).await? {
        let listening = (|| {
            let socket = match address {
                SocketAddr::V4(_) => TcpSocket::new_v4()?,
                SocketAddr::V6(_) => TcpSocket::new_v6()?,
            };
            // A restart must not wait for TIME_WAIT connections of the previous process.
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
        "Failed accepts of connections"
    );
    describe_counter!("chaincast_http_connections_total", "Connections accepted");
    describe_counter!(
        "chaincast_http_connections_refused_total",
        "Connections refused with 503 because no file descriptor was free"
    );
    describe_counter!(
        "chaincast_http_connections_evicted_total",
        "Idle connections closed for new ones because no file descriptor was free"
    );
    counter!("chaincast_http_connections_refused_total").increment(0);
    counter!("chaincast_http_connections_evicted_total").increment(0);
    counter!("chaincast_http_accept_errors_total").increment(0);
    counter!("chaincast_http_connections_total").increment(0);
}

/// Serves until `stop`; then accepts no new connections and lets each open one finish its request. Connections run as
/// tracked tasks: draining `tasks` waits for them and closes those that exceed its deadline.
///
/// The request's extensions contain the connection's [`Takeover`].
pub async fn serve(
    listener: TcpListener,
    router: Router,
    config: ServerConfig,
    tasks: Tasks,
    stop: CancellationToken,
) -> std::io::Result<()> {
    serve_within(
        ConnectionCapacity::unbounded(),
        listener,
        router,
        config,
        tasks,
        stop,
    )
    .await
}

/// Like [`serve`], with a limit on connections. At the limit, a new connection replaces an idle one or is refused.
pub async fn serve_within(
    capacity: ConnectionCapacity,
    listener: TcpListener,
    router: Router,
    config: ServerConfig,
    tasks: Tasks,
    stop: CancellationToken,
) -> std::io::Result<()> {
    describe();
    let connections = HttpConnections::new(capacity);
    let mut log_limit = LogLimit::default();
    loop {
        let (stream, peer) = tokio::select! {
            () = stop.cancelled() => return Ok(()),
            accepted = listener.accept() => match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    metrics::counter!("chaincast_http_accept_errors_total").increment(1);
                    if let Some(suppressed) = log_limit.admit("failed accept") {
                        let count = suppressed + 1;
                        tracing::warn!(%error, count, "cannot accept connections");
                    }
                    tokio::time::sleep(ACCEPT_RETRY_DELAY).await;
                    continue;
                }
            },
        };
        metrics::counter!("chaincast_http_connections_total").increment(1);
        let hangup = tasks.hangup().child();
        let Some(guard) = connections.admit(hangup.clone()) else {
            metrics::counter!("chaincast_http_connections_refused_total").increment(1);
            if let Some(suppressed) = log_limit.admit("refused connection") {
                let count = suppressed + 1;
                tracing::warn!(
                    count,
                    "refused connections: all file descriptors are in use; raise the open file limit (ulimit -n)"
                );
            }
            refuse(&stream);
            continue;
        };
        tasks.spawn(connection(
            stream,
            peer,
            Arc::new(guard),
            router.clone(),
            config.clone(),
            stop.clone(),
            hangup,
        ));
    }
}

/// Sends the 503 response, best effort, without blocking.
fn refuse(stream: &TcpStream) {
    // Closing a socket with unread data sends a reset, which could overtake the response.
    let _ = stream.try_read(&mut [0; 4_096]);
    let _ = stream.try_write(AT_CAPACITY);
}

async fn connection(
    stream: TcpStream,
    peer: SocketAddr,
    guard: Arc<ConnectionGuard>,
    router: Router,
    config: ServerConfig,
    stop: CancellationToken,
    hangup: Hangup,
) {
    #[cfg(target_os = "linux")]
    if let Err(error) = socket2::SockRef::from(&stream).set_tcp_user_timeout(Some(USER_TIMEOUT)) {
        tracing::debug!(%peer, %error, "cannot set TCP_USER_TIMEOUT on a connection");
    }
    // By default the kernel buffers megabytes for a client that does not read, which hides that it is slow.
    if let Err(error) =
        socket2::SockRef::from(&stream).set_send_buffer_size(config.send_buffer_bytes)
    {
        tracing::debug!(%peer, %error, "cannot set the send buffer size of a connection");
    }
    // Without TCP_NODELAY small frames wait for the client's delayed acknowledgement.
    if stream.set_nodelay(true).is_err() {
        return;
    }
    let (takeover, mut taken) = Takeover::new();
    let service = service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
        let mut request = request.map(axum::body::Body::new);
        request.extensions_mut().insert(ConnectInfo(peer));
        request.extensions_mut().insert(takeover.clone());
        let (request_guard, response) = (guard.request(), router.clone().oneshot(request));
        async move {
            let response = response.await;
            response.map(|response| response.map(|body| TrackedBody::new(body, request_guard)))
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
            tracing::debug!(%peer, "closed the connection of a client that does not read");
            return;
        }
        give = taken.requested() => {
            // Bytes after this request are dropped: HTTP ends here. Earlier responses were sent, unless a pipelining client
            // does not read them.
            if let Some(parts) = connection.into_parts() {
                // If the receiver is gone, this drops the connection.
                let _ = give.send(parts.io.into_inner());
            }
            return;
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%peer, %error, "HTTP connection failed");
    }
}

#[cfg(test)]
mod tests;
