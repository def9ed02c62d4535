//! An answer to a request that goes on until the session ends, written to the socket itself.
//!
//! HTTP would keep its buffers for as long as the stream lives, several times what the session takes. To a client of
//! HTTP/1.1 the answer is sent in chunks (RFC 9112 section 7.1): the last one, which is empty, comes when the session is
//! ended on purpose, so that a stream without it was cut. To an older client the answer ends with its connection.

use std::{
    future::poll_fn,
    io::ErrorKind,
    sync::Arc,
    task::{Context, Poll, ready},
};

use axum::http::{HeaderMap, StatusCode};
use tokio::net::TcpStream;

use super::drive::{part, poll_write};
use crate::{
    gateway::{CloseReason, session::Session},
    shutdown::Takeover,
};

/// The head of such an answer: 200 with these headers.
pub fn head(headers: &HeaderMap, chunked: bool) -> Vec<u8> {
    let date = chrono::Utc::now().format("%a, %d %b %Y %H:%M:%S GMT");
    let mut head = format!(
        "HTTP/1.1 {}\r\ndate: {date}\r\nconnection: close\r\n",
        StatusCode::OK
    )
    .into_bytes();
    if chunked {
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

/// Takes the connection over and serves the session on it, after the head, until it has ended and the peer was told.
/// The head is not in the session's queue, which is emptied when the session ends as slow.
pub async fn serve(session: Arc<Session>, takeover: Takeover, head: Vec<u8>) {
    let Some(stream) = takeover.take().await else {
        return session.end(CloseReason::Lost);
    };
    // The session's own queue is to be the bound, not the kernel's memory.
    let most = session.hub().config().send_buffer_bytes;
    let socket = socket2::SockRef::from(&stream);
    let limited = socket.set_send_buffer_size(most);
    // There is room, unless the client has asked for more before than it reads.
    let begun = matches!(socket.send(&head), Ok(count) if count == head.len());
    if limited.is_err() || !begun || session.own(stream).is_err() {
        return session.end(CloseReason::Lost);
    }
    let Some(socket) = session.socket() else {
        return;
    };
    let reason = poll_fn(|cx| poll(cx, &session, socket)).await;
    session.end(reason);
    part(&session, socket).await;
}

/// Writes what waits until the session has ended or the peer is gone.
fn poll(cx: &mut Context<'_>, session: &Arc<Session>, socket: &TcpStream) -> Poll<CloseReason> {
    // Registered before anything is looked at, so that no wake in between is lost.
    session.register(cx);
    if let Some(reason) = session.closed() {
        return Poll::Ready(reason.clone());
    }
    if let Err(reason) = poll_write(cx, session, socket) {
        return Poll::Ready(reason);
    }
    loop {
        if ready!(socket.poll_read_ready(cx)).is_err() {
            return Poll::Ready(CloseReason::Lost);
        }
        // There is nothing left to ask for on this connection: what comes is dropped.
        match socket.try_read(&mut [0; 1_024]) {
            Ok(0) => return Poll::Ready(CloseReason::Lost),
            Ok(_) => {}
            Err(error)
                if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
            Err(_) => return Poll::Ready(CloseReason::Lost),
        }
    }
}
