//! A WebSocket connection before a session owns it: the raw socket after the HTTP upgrade, and its decoder.

use std::{io, sync::Arc, time::Duration};

use bytes::Bytes;
use hyper_util::rt::TokioIo;
use tokio::{io::AsyncWriteExt, net::TcpStream};

use super::{frame_reader::FrameReader, handshake::PendingUpgrade, linger::linger};
use crate::config::GatewayConfig;
use chaincast_protocol::{
    CloseReason,
    frame::{self, Inbound},
};

/// Most bytes per read.
pub const READ_BYTES: usize = 32_768;

/// See the module's description.
#[derive(Debug)]
pub struct Connection {
    pub stream: TcpStream,
    pub reader: FrameReader,
    pub config: Arc<GatewayConfig>,
}

/// Why a connection could not be established or used.
#[derive(Debug, thiserror::Error)]
pub enum ConnectionError {
    #[error("the handshake failed: {0}")]
    Handshake(hyper::Error),
    #[error("the handshake timed out")]
    Timeout,
    #[error("the connection is not a plain TCP stream")]
    NotTcp,
    #[error(transparent)]
    Socket(#[from] io::Error),
    #[error("the client violated the protocol: {}", .0.text())]
    Violation(CloseReason),
}

impl Connection {
    /// Waits for the socket after the 101 response, and configures it for small frames without delay. Bytes that the client
    /// sent right after its request are read first.
    pub async fn establish(
        pending: PendingUpgrade,
        config: &Arc<GatewayConfig>,
    ) -> Result<Self, ConnectionError> {
        let timeout = Duration::from_millis(config.limits.handshake_timeout_ms);
        let upgraded = tokio::time::timeout(timeout, pending.on)
            .await
            .map_err(|_| ConnectionError::Timeout)?
            .map_err(ConnectionError::Handshake)?;
        let parts = upgraded
            .downcast::<TokioIo<TcpStream>>()
            .map_err(|_| ConnectionError::NotTcp)?;
        let stream = parts.io.into_inner();
        stream.set_nodelay(true)?;
        // The session's outbox must be the limit, not the kernel's buffers.
        socket2::SockRef::from(&stream).set_send_buffer_size(config.send_buffer_bytes)?;
        let mut reader = FrameReader::new(pending.compression);
        let mut early = parts.read_buf.to_vec();
        reader.push(&mut early, config.limits.message_bytes);
        Ok(Self {
            stream,
            reader,
            config: config.clone(),
        })
    }

    /// The next message; `None` if the peer closed. For use before a session owns the connection. Sends a close frame if
    /// the peer violates the protocol.
    pub async fn receive(&mut self) -> Result<Option<Inbound>, ConnectionError> {
        loop {
            match self.reader.next(&self.config.limits) {
                Some(Ok(message)) => return Ok(Some(message)),
                Some(Err(reason)) => {
                    self.send(&frame::close_frame(reason.code(), &reason.text()))
                        .await?;
                    return Err(ConnectionError::Violation(reason));
                }
                None => {}
            }
            self.stream.readable().await?;
            let mut buffer = vec![0; READ_BYTES];
            match self.stream.try_read(&mut buffer) {
                Ok(0) => return Ok(None),
                Ok(count) => {
                    let max = self.config.limits.message_bytes;
                    self.reader.push(&mut buffer[..count], max);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Sends a complete frame. For use before a session owns the connection.
    pub async fn send(&mut self, frame: &Bytes) -> Result<(), ConnectionError> {
        Ok(self.stream.write_all(frame).await?)
    }

    /// Closes a connection that gets no session.
    pub async fn reject(mut self, reason: &CloseReason) {
        let close = frame::close_frame(reason.code(), &reason.text());
        // The peer may have closed already: no error.
        if self.send(&close).await.is_ok() && self.stream.shutdown().await.is_ok() {
            linger(&self.stream).await;
        }
    }
}
