//! A response that lasts until its session ends, written directly to the socket.
//!
//! hyper would keep its buffers for the life of the stream, several times the memory of the session. HTTP/1.1 clients get
//! the chunked transfer coding (RFC 9112 section 7.1): the last, empty chunk is sent only when the session ends
//! deliberately, so a stream without it was cut off. For HTTP/1.0 clients the response ends with the connection.

use std::{
    future::poll_fn,
    io::ErrorKind,
    sync::Arc,
    task::{Context, Poll, ready},
};

use axum::http::{HeaderMap, StatusCode};
use tokio::net::TcpStream;

use super::io_task::{finish, poll_flush};
use crate::session::Session;
use chaincast_base::shutdown::Takeover;
use chaincast_protocol::CloseReason;

/// How the end of a response is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Framing {
    /// By the last chunk (HTTP/1.1).
    Chunked,
    /// It ends with the connection (HTTP/1.0).
    UntilClose,
}

/// The response head: 200 with these headers.
pub(crate) fn head(headers: &HeaderMap, framing: Framing) -> Vec<u8> {
    let date = chrono::Utc::now().format("%a, %d %b %Y %H:%M:%S GMT");
    let mut head = format!(
        "HTTP/1.1 {}\r\ndate: {date}\r\nconnection: close\r\n",
        StatusCode::OK
    )
    .into_bytes();
    if framing == Framing::Chunked {
        head.extend_from_slice(b"transfer-encoding: chunked\r\n");
    }
    for (name, value) in headers {
        head.extend_from_slice(name.as_str().as_bytes());
        head.extend_from_slice(b": ");
        head.extend_from_slice(value.as_bytes());
        head.extend_from_slice(b"\r\n");
    }
    head.extend_from_slice(b"\r\n");
    head
}

/// Takes over the connection, sends the head and serves the session until it has ended and the backlog was sent. The head
/// is not in the session's outbox, which is cleared if the session ends as slow.
///
/// The kernel's send buffer gets `send_buffer_bytes`.
pub(crate) async fn serve(
    session: Arc<Session>,
    takeover: Takeover,
    head: Vec<u8>,
    send_buffer_bytes: usize,
) {
    let Some(stream) = takeover.take().await else {
        return session.end(CloseReason::Lost);
    };
    // The session's outbox must be the limit, not the kernel's buffers.
    let socket = socket2::SockRef::from(&stream);
    let limited = socket.set_send_buffer_size(send_buffer_bytes);
    // The head fits into the send buffer, unless the client pipelined requests and does not read.
    let head_sent = matches!(socket.send(&head), Ok(count) if count == head.len());
    if limited.is_err() || !head_sent || session.attach_socket(stream).is_err() {
        return session.end(CloseReason::Lost);
    }
    let Some(socket) = session.socket() else {
        return;
    };
    let reason = poll_fn(|cx| poll(cx, &session, socket)).await;
    session.end(reason);
    finish(&session, socket).await;
}

/// Writes the backlog until the session has ended or the connection is lost.
fn poll(cx: &mut Context<'_>, session: &Arc<Session>, socket: &TcpStream) -> Poll<CloseReason> {
    // Register first, so no wake-up is lost between the checks.
    session.register(cx);
    if let Some(reason) = session.closed() {
        return Poll::Ready(reason.clone());
    }
    if let Err(reason) = poll_flush(cx, session, socket) {
        return Poll::Ready(reason);
    }
    loop {
        if ready!(socket.poll_read_ready(cx)).is_err() {
            return Poll::Ready(CloseReason::Lost);
        }
        // No further request is possible on this connection: discard input.
        match socket.try_read(&mut [0; 1_024]) {
            Ok(0) => return Poll::Ready(CloseReason::Lost),
            Ok(_) => {}
            Err(error)
                if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
            Err(_) => return Poll::Ready(CloseReason::Lost),
        }
    }
}
