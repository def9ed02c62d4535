//! A WebSocket connection before a session owns it: the raw socket that HTTP left behind, and its decoder.

use std::{collections::VecDeque, io, time::Duration};

use bytes::Bytes;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::{io::AsyncWriteExt, net::TcpStream};

use crate::gateway::{
    CloseReason,
    config::GatewayConfig,
    frame::{self, Decoder, FrameError, Inbound},
};

/// Most bytes read at once.
pub const READ_BYTES: usize = 32_768;

/// Frames as they arrive: the decoder, and what is decoded and not yet looked at.
#[derive(Debug, Default)]
pub struct Reader {
    pub decoder: Decoder,
    pub inbound: VecDeque<Inbound>,
}

/// See the module's description.
#[derive(Debug)]
pub struct Connection {
    pub stream: TcpStream,
    pub reader: Reader,
    /// Most bytes of a message.
    max: usize,
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
    #[error(transparent)]
    Frame(#[from] FrameError),
}

impl Connection {
    /// Waits for the socket once the 101 answer is on its way, and sets it up for small, prompt frames.
    pub async fn establish(on: OnUpgrade, config: &GatewayConfig) -> Result<Self, ConnectionError> {
        let patience = Duration::from_millis(config.limits.handshake_timeout_ms);
        let upgraded = tokio::time::timeout(patience, on)
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
        let mut connection = Self {
            stream,
            reader: Reader::default(),
            max: config.limits.message_bytes,
        };
        let mut early = parts.read_buf.to_vec();
        connection.reader.decoder.push(
            &mut early,
            connection.max,
            &mut connection.reader.inbound,
        )?;
        Ok(connection)
    }

    /// The next message; `None` when the peer is gone. For the time before a session owns the connection.
    pub async fn receive(&mut self) -> Result<Option<Inbound>, ConnectionError> {
        loop {
            if let Some(message) = self.reader.inbound.pop_front() {
                return Ok(Some(message));
            }
            self.stream.readable().await?;
            let mut buffer = vec![0; READ_BYTES];
            match self.stream.try_read(&mut buffer) {
                Ok(0) => return Ok(None),
                Ok(count) => {
                    let (decoder, inbound) = (&mut self.reader.decoder, &mut self.reader.inbound);
                    decoder.push(&mut buffer[..count], self.max, inbound)?;
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
