//! The I/O task of a session on a socket: reads, passes messages to the transport, writes when the socket is writable
//! again, and closes.
//!
//! An idle session holds no buffer here: each thread has one read buffer.

use std::{
    cell::RefCell,
    future::{Future, poll_fn},
    io::ErrorKind,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use tokio::net::TcpStream;

use super::{
    connection::{Connection, READ_BYTES},
    frame_reader::FrameReader,
    linger::{CLOSE_TIMEOUT, linger},
};
use crate::{
    config::LimitsConfig,
    session::{FlushOutcome, Session},
};
use chaincast_protocol::{
    CloseReason,
    encode::Packet,
    frame::{self, Inbound},
};

thread_local! {
    static READ_BUFFER: RefCell<Vec<u8>> = RefCell::new(vec![0; READ_BYTES]);
}

/// A complete message from the peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    Text(String),
    Binary(Vec<u8>),
}

/// The processing of a message; nothing more is read until it is done.
pub type Work = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Handles the messages of a transport.
pub trait Handler: Send {
    fn message(&mut self, session: &Arc<Session>, message: Message) -> Option<Work>;
}

enum Event {
    Message(Inbound),
    WorkDone,
    End(CloseReason),
}

/// Gives the connection to the session and serves it until the session has ended and its close message was sent.
///
/// If the session already has a socket, this connection is dropped.
pub async fn run_io(session: Arc<Session>, connection: Connection, mut handler: impl Handler) {
    let Connection {
        stream,
        mut reader,
        config,
    } = connection;
    let limits = &config.limits;
    if session.attach_socket(stream).is_err() {
        return;
    }
    let Some(socket) = session.socket() else {
        return;
    };
    let mut work: Option<Work> = None;
    loop {
        let event = poll_fn(|cx| poll(cx, &session, socket, &mut reader, limits, &mut work)).await;
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
    finish(&session, socket).await;
}

/// Waits for the close message of a session that is ending, and sends it.
pub(super) async fn finish(session: &Arc<Session>, socket: &TcpStream) {
    // Another task may have ended the session and not yet queued the close message.
    let closed = poll_fn(|cx| {
        session.register(cx);
        session.closed().map_or(Poll::Pending, Poll::Ready)
    });
    if closed.await.notifies_peer() {
        // A peer that does not read the rest in time is disconnected.
        let _ = tokio::time::timeout(CLOSE_TIMEOUT, flush_and_close(session, socket)).await;
    }
}

fn poll(
    cx: &mut Context<'_>,
    session: &Arc<Session>,
    socket: &TcpStream,
    reader: &mut FrameReader,
    limits: &LimitsConfig,
    work: &mut Option<Work>,
) -> Poll<Event> {
    // Register first, so no wake-up is lost between the checks.
    session.register(cx);
    if let Some(reason) = session.closed() {
        return Poll::Ready(Event::End(reason.clone()));
    }
    if let Err(reason) = poll_flush(cx, session, socket) {
        return Poll::Ready(Event::End(reason));
    }
    if let Some(work) = work {
        ready!(work.as_mut().poll(cx));
        return Poll::Ready(Event::WorkDone);
    }
    loop {
        match reader.next(limits) {
            Some(Ok(message)) => return Poll::Ready(Event::Message(message)),
            Some(Err(reason)) => return Poll::Ready(Event::End(reason)),
            None => {}
        }
        if ready!(socket.poll_read_ready(cx)).is_err() {
            return Poll::Ready(Event::End(CloseReason::Lost));
        }
        if let Some(reason) = read(session, socket, reader, limits.message_bytes) {
            return Poll::Ready(Event::End(reason));
        }
    }
}

/// Writes the backlog as far as the socket accepts it; fails if the connection is lost.
pub(super) fn poll_flush(
    cx: &mut Context<'_>,
    session: &Arc<Session>,
    socket: &TcpStream,
) -> Result<(), CloseReason> {
    while session.has_backlog() {
        match socket.poll_write_ready(cx) {
            Poll::Ready(Ok(())) => {
                if session.flush_ready(socket) == FlushOutcome::Lost {
                    return Err(CloseReason::Lost);
                }
            }
            Poll::Ready(Err(_)) => return Err(CloseReason::Lost),
            Poll::Pending => break,
        }
    }
    Ok(())
}

/// Reads once; returns a close reason if the session must end. `max` is the size limit of a message, in bytes.
fn read(
    session: &Session,
    socket: &TcpStream,
    reader: &mut FrameReader,
    max: usize,
) -> Option<CloseReason> {
    READ_BUFFER.with_borrow_mut(|buffer| match socket.try_read(buffer) {
        Ok(0) => Some(CloseReason::Lost),
        Ok(count) => {
            // A partial message is activity, too.
            session.record_activity();
            session.count_received(count);
            // The reader reports an error after the frames before it.
            reader.push(&mut buffer[..count], max);
            None
        }
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {
            None
        }
        Err(_) => Some(CloseReason::Lost),
    })
}

/// Sends the rest of the backlog, closes the write side, and waits for the peer to close.
async fn flush_and_close(session: &Arc<Session>, socket: &TcpStream) {
    while session.has_backlog() {
        if socket.writable().await.is_err() {
            return;
        }
        match session.flush_ready(socket) {
            FlushOutcome::All => break,
            FlushOutcome::Blocked => {}
            FlushOutcome::Lost => return,
        }
    }
    if socket2::SockRef::from(socket)
        .shutdown(std::net::Shutdown::Write)
        .is_ok()
    {
        linger(socket).await;
    }
}
