//! Waits for a peer to close its side of a connection.

use std::{io::ErrorKind, time::Duration};

use tokio::net::TcpStream;

/// Time for a peer to read the close message and close its side.
pub(super) const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// Reads and discards until the peer closes: closing a socket with unread bytes sends a reset, which may destroy data in
/// flight to the peer.
pub(super) async fn linger(socket: &TcpStream) {
    let drained = async {
        while socket.readable().await.is_ok() {
            // A short-lived buffer: held across an await it would enlarge every session's task.
            match socket.try_read(&mut [0; 1_024]) {
                Ok(0) => return,
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(_) => return,
            }
        }
    };
    let _ = tokio::time::timeout(CLOSE_TIMEOUT, drained).await;
}
