//! The one task of a session on a socket: reads, hands messages to the transport, writes when the socket has room
//! again, and closes.
//!
//! An idle session holds no buffer here: reads go into one buffer a thread.

use std::{
    cell::RefCell,
    future::{Future, poll_fn},
    io::ErrorKind,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::net::TcpStream;

use super::{
    connection::{Connection, READ_BYTES},
    reader::Reader,
};
use crate::gateway::{
    CloseReason,
    encode::Packet,
    frame::{self, Inbound},
    session::{Flushed, Session},
};

/// How long a peer may take to read the goodbye and hang up.
const GOODBYE: Duration = Duration::from_secs(2);

thread_local! {
    static BUFFER: RefCell<Vec<u8>> = RefCell::new(vec![0; READ_BYTES]);
}

/// A whole message of the peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    Text(String),
    Binary(Vec<u8>),
}

/// Work that a message gave rise to; nothing more is read until it is done.
pub type Work = Pin<Box<dyn Future<Output = ()> + Send>>;

/// What a transport makes of messages.
pub trait Handler: Send {
    fn message(&mut self, session: &Arc<Session>, message: Message) -> Option<Work>;
}

enum Event {
    Message(Inbound),
    WorkDone,
    End(CloseReason),
}

/// Gives the connection to the session and serves it until it has ended and the peer was told.
///
/// A session that already has a socket keeps it, and this connection is dropped.
pub async fn drive(session: Arc<Session>, connection: Connection, mut handler: impl Handler) {
    let Connection {
        stream, mut reader, ..
    } = connection;
    if session.own(stream).is_err() {
        return;
    }
    let Some(socket) = session.socket() else {
        return;
    };
    let mut work: Option<Work> = None;
    loop {
        let event = poll_fn(|cx| poll(cx, &session, socket, &mut reader, &mut work)).await;
        match event {
            Event::WorkDone => work = None,
            Event::End(reason) => {
                session.end(reason);
                break;
            }
            Event::Message(inbound) => match inbound {
                Inbound::Text(text) => {
                    work = handler.message(&session, Message::Text(text));
                }
                Inbound::Binary(bytes) => {
                    work = handler.message(&session, Message::Binary(bytes));
                }
                Inbound::Ping(payload) => session.queue(Packet::raw(frame::pong(&payload))),
                Inbound::Pong => {}
                Inbound::Close(code) => session.end(CloseReason::Left(code.unwrap_or(1005))),
            },
        }
    }
    part(&session, socket).await;
}

/// Waits for the goodbye of a session that has ended, and sends it.
pub(super) async fn part(session: &Arc<Session>, socket: &TcpStream) {
    // Someone else may have ended the session and not yet queued the goodbye.
    let closed = poll_fn(|cx| {
        session.register(cx);
        session.closed().map_or(Poll::Pending, Poll::Ready)
    });
    if closed.await.is_told() {
        // A peer that does not take the rest in time is left.
        let _ = tokio::time::timeout(GOODBYE, farewell(session, socket)).await;
    }
}

fn poll(
    cx: &mut Context<'_>,
    session: &Arc<Session>,
    socket: &TcpStream,
    reader: &mut Reader,
    work: &mut Option<Work>,
) -> Poll<Event> {
    // Registered before anything is looked at, so that no wake in between is lost.
    session.register(cx);
    if let Some(reason) = session.closed() {
        return Poll::Ready(Event::End(reason.clone()));
    }
    if let Err(reason) = poll_write(cx, session, socket) {
        return Poll::Ready(Event::End(reason));
    }
    if let Some(work) = work {
        ready!(work.as_mut().poll(cx));
        return Poll::Ready(Event::WorkDone);
    }
    loop {
        match reader.next(&session.hub().config().limits) {
            Some(Ok(message)) => return Poll::Ready(Event::Message(message)),
            Some(Err(reason)) => return Poll::Ready(Event::End(reason)),
            None => {}
        }
        if ready!(socket.poll_read_ready(cx)).is_err() {
            return Poll::Ready(Event::End(CloseReason::Lost));
        }
        if let Some(reason) = read(session, socket, reader) {
            return Poll::Ready(Event::End(reason));
        }
    }
}

/// Writes what waits, as far as the socket has room; fails when the peer is gone.
pub(super) fn poll_write(
    cx: &mut Context<'_>,
    session: &Arc<Session>,
    socket: &TcpStream,
) -> Result<(), CloseReason> {
    while session.has_backlog() {
        match socket.poll_write_ready(cx) {
            Poll::Ready(Ok(())) => {
                if session.flush_ready(socket) == Flushed::Lost {
                    return Err(CloseReason::Lost);
                }
            }
            Poll::Ready(Err(_)) => return Err(CloseReason::Lost),
            Poll::Pending => break,
        }
    }
    Ok(())
}

/// Reads once; returns why the session has to end, if it has.
fn read(session: &Session, socket: &TcpStream, reader: &mut Reader) -> Option<CloseReason> {
    let max = session.hub().config().limits.message_bytes;
    BUFFER.with_borrow_mut(|buffer| match socket.try_read(buffer) {
        Ok(0) => Some(CloseReason::Lost),
        Ok(count) => {
            // Also of a message that is long on its way.
            session.heard();
            let transport = session.wire().transport();
            session.hub().metrics().read(transport, count);
            // A fault is told by the reader, after what came before it.
            reader.push(&mut buffer[..count], max);
            None
        }
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {
            None
        }
        Err(_) => Some(CloseReason::Lost),
    })
}

/// Sends what is left, hangs up, and waits for the peer to do the same.
async fn farewell(session: &Arc<Session>, socket: &TcpStream) {
    while session.has_backlog() {
        if socket.writable().await.is_err() {
            return;
        }
        match session.flush_ready(socket) {
            Flushed::All => break,
            Flushed::Blocked => {}
            Flushed::Lost => return,
        }
    }
    if socket2::SockRef::from(socket)
        .shutdown(std::net::Shutdown::Write)
        .is_ok()
    {
        linger(socket).await;
    }
}

/// Reads and drops until the peer hangs up: closing with unread bytes would destroy what it has yet to read.
pub(super) async fn linger(socket: &TcpStream) {
    let drained = async {
        while socket.readable().await.is_ok() {
            // Not held while waiting: it would be a part of every session's task.
            match socket.try_read(&mut [0; 1_024]) {
                Ok(0) => return,
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(_) => return,
            }
        }
    };
    let _ = tokio::time::timeout(GOODBYE, drained).await;
}
