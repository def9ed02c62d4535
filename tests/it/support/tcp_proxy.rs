//! A TCP port in front of a server on a Unix socket (the tests' PostgreSQL, a Redis), which can stall like a network
//! that drops every packet.

use std::{
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, UnixStream},
    sync::watch,
    task::AbortHandle,
};

/// While it stalls, connections are accepted and none is closed: neither end notices anything. Data sent meanwhile
/// arrives afterwards, as TCP retransmits lost packets.
pub struct TcpProxy {
    url: String,
    state: watch::Sender<State>,
    accepting: AbortHandle,
}

/// Which connections of a proxy are stalled.
#[derive(Clone, Copy, Default)]
struct State {
    stalled: bool,
    /// Number of accepted connections.
    accepted: u64,
    /// The first `lost` connections are stalled for good.
    lost: u64,
}

impl State {
    fn forwards(&self, connection: u64) -> bool {
        !self.stalled && connection >= self.lost
    }
}

impl TcpProxy {
    /// In front of this database's server, on its Unix socket.
    pub async fn in_front_of_database(database: &str) -> Self {
        let (location, directory) = database.split_once("?host=").expect("a Unix socket");
        let (_, location_and_name) = location.split_once('@').unwrap();
        let (server, name) = location_and_name.split_once('/').unwrap();
        let port = server.rsplit(':').next().unwrap();
        let directory = percent_decoded(directory);
        let socket = PathBuf::from(directory).join(format!(".s.PGSQL.{port}"));
        Self::in_front_of_socket(&socket, |address| {
            format!("postgres://postgres@{address}/{name}")
        })
        .await
    }

    /// In front of the server on this socket; `url` builds a URL from the proxy's address.
    pub async fn in_front_of_socket(socket: &Path, url: impl FnOnce(SocketAddr) -> String) -> Self {
        let socket = socket.to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = watch::Sender::new(State::default());
        let accepted = state.clone();
        let accepting = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (socket, state) = (socket.clone(), accepted.subscribe());
                let mut number = 0;
                accepted.send_modify(|state| {
                    number = state.accepted;
                    state.accepted += 1;
                });
                tokio::spawn(async move {
                    let server = UnixStream::connect(socket).await?;
                    let (from_client, to_client) = client.into_split();
                    let (from_server, to_server) = server.into_split();
                    tokio::join!(
                        forward(from_client, to_server, number, state.clone()),
                        forward(from_server, to_client, number, state)
                    );
                    Ok::<(), io::Error>(())
                });
            }
        });
        Self {
            url: url(address),
            state,
            accepting: accepting.abort_handle(),
        }
    }

    /// The URL of the server through the proxy.
    pub fn url(&self) -> &str {
        &self.url
    }

    pub fn stall(&self) {
        self.state.send_modify(|state| state.stalled = true);
    }

    pub fn resume(&self) {
        self.state.send_modify(|state| state.stalled = false);
    }

    /// Stalls all open connections for good, as those to a machine that was replaced; new ones work.
    pub fn stall_open_connections(&self) {
        self.state.send_modify(|state| state.lost = state.accepted);
    }
}

impl Drop for TcpProxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn forward(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    number: u64,
    mut state: watch::Receiver<State>,
) {
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let read = from.read(&mut buffer).await;
        if state
            .wait_for(|state| state.forwards(number))
            .await
            .is_err()
        {
            return;
        }
        match read {
            Ok(0) | Err(_) => {
                to.shutdown().await.ok();
                return;
            }
            Ok(length) => {
                if to.write_all(&buffer[..length]).await.is_err() {
                    return;
                }
            }
        }
    }
}

pub(super) fn percent_decoded(text: &str) -> String {
    let mut parts = text.split('%');
    let mut decoded = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        decoded.push(u8::from_str_radix(&part[..2], 16).unwrap());
        decoded.extend_from_slice(&part.as_bytes()[2..]);
    }
    String::from_utf8(decoded).unwrap()
}
