//! A WebSocket connection before a session owns it: the raw socket that HTTP left behind, and its decoder.

use std::{io, time::Duration};

use bytes::Bytes;
use hyper_util::rt::TokioIo;
use tokio::{io::AsyncWriteExt, net::TcpStream};

use super::{handshake::Handover, reader::Reader};
use crate::gateway::{
    CloseReason, LimitsConfig,
    config::GatewayConfig,
    frame::{self, Inbound},
};

/// Most bytes read at once.
pub const READ_BYTES: usize = 32_768;

/// See the module's description.
#[derive(Debug)]
pub struct Connection {
    pub stream: TcpStream,
    pub reader: Reader,
    limits: LimitsConfig,
}

/// Why there is no connection after all.
#[derive(Debug, thiserror::Error)]
pub enum ConnectionError {
    #[error("the handshake was not finished: {0}")]
    Handshake(hyper::Error),
    #[error("the handshake took too long")]
    Timeout,
    #[error("the connection is not a plain TCP stream")]
    NotTcp,
    #[error(transparent)]
    Socket(#[from] io::Error),
    #[error("the client broke the rules: {}", .0.text())]
    Broken(CloseReason),
}

impl Connection {
    /// Waits for the socket once the 101 answer is on its way, and sets it up for small, prompt frames. What the
    /// client sent together with its request is the first to be read.
    pub async fn establish(
        handover: Handover,
        config: &GatewayConfig,
    ) -> Result<Self, ConnectionError> {
        let patience = Duration::from_millis(config.limits.handshake_timeout_ms);
        let upgraded = tokio::time::timeout(patience, handover.on)
            .await
            .map_err(|_| ConnectionError::Timeout)?
            .map_err(ConnectionError::Handshake)?;
        let parts = upgraded
            .downcast::<TokioIo<TcpStream>>()
            .map_err(|_| ConnectionError::NotTcp)?;
        let stream = parts.io.into_inner();
        stream.set_nodelay(true)?;
        // The session's own queue is to be the bound, not the kernel's memory.
        socket2::SockRef::from(&stream).set_send_buffer_size(config.send_buffer_bytes)?;
        let mut reader = Reader::new(handover.inflates);
        let mut early = parts.read_buf.to_vec();
        reader.push(&mut early, config.limits.message_bytes);
        Ok(Self {
            stream,
            reader,
            limits: config.limits.clone(),
        })
    }

    /// The next message; `None` when the peer is gone. For the time before a session owns the connection. A peer
    /// that breaks the rules is told so.
    pub async fn receive(&mut self) -> Result<Option<Inbound>, ConnectionError> {
        loop {
            match self.reader.next(&self.limits) {
                Some(Ok(message)) => return Ok(Some(message)),
                Some(Err(reason)) => {
                    self.send(&frame::closing(reason.code(), &reason.text()))
                        .await?;
                    return Err(ConnectionError::Broken(reason));
                }
                None => {}
            }
            self.stream.readable().await?;
            let mut buffer = vec![0; READ_BYTES];
            match self.stream.try_read(&mut buffer) {
                Ok(0) => return Ok(None),
                Ok(count) => {
                    let max = self.limits.message_bytes;
                    self.reader.push(&mut buffer[..count], max);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Sends a whole frame. For the time before a session owns the connection.
    pub async fn send(&mut self, frame: &Bytes) -> Result<(), ConnectionError> {
        Ok(self.stream.write_all(frame).await?)
    }

    /// Says goodbye on a connection that got no session.
    pub async fn refuse(mut self, reason: &CloseReason) {
        let close = frame::closing(reason.code(), &reason.text());
        // The peer may be gone already, which is as good.
        if self.send(&close).await.is_ok() && self.stream.shutdown().await.is_ok() {
            super::drive::linger(&self.stream).await;
        }
    }
}
