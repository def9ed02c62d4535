//! The one port: accepts connections and serves HTTP/1.1 with upgrades on them.

mod config;

pub use config::ServerConfig;

use std::{net::SocketAddr, time::Duration};

use axum::{Router, extract::ConnectInfo};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use crate::shutdown::{Hangup, Takeover, Tasks};

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
    let address = format!("{}:{}", config.host, config.port);
    TcpListener::bind((config.host.as_str(), config.port)).await.map_err(|error| {
        let reason = match error.kind() {
            std::io::ErrorKind::AddrInUse => {
                "the port is taken by another process; choose another with --port, PORT or server.port".to_owned()
            }
            _ => format!("{error}; check server.host and server.port"),
        };
        BindError { address, reason }
    })
}

fn describe() {
    use metrics::{counter, describe_counter};
    describe_counter!(
        "chaincast_http_accept_errors_total",
        "Connections that could not be accepted"
    );
    describe_counter!("chaincast_http_connections_total", "Connections accepted");
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
    describe();
    loop {
        let (stream, peer) = tokio::select! {
            () = stop.cancelled() => return Ok(()),
            accepted = listener.accept() => match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    metrics::counter!("chaincast_http_accept_errors_total").increment(1);
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(REST).await;
                    continue;
                }
            },
        };
        metrics::counter!("chaincast_http_connections_total").increment(1);
        tasks.spawn(connection(
            stream,
            peer,
            router.clone(),
            config.clone(),
            stop.clone(),
            tasks.hangup().one(),
        ));
    }
}

async fn connection(
    stream: TcpStream,
    peer: SocketAddr,
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
    let service = router.map_request(move |request: hyper::Request<hyper::body::Incoming>| {
        let mut request = request.map(axum::body::Body::new);
        request.extensions_mut().insert(ConnectInfo(peer));
        request.extensions_mut().insert(takeover.clone());
        request
    });
    let mut http = hyper::server::conn::http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(Duration::from_millis(config.header_timeout_ms))
        .max_buf_size(config.header_bytes);
    let mut connection = http
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(service))
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
