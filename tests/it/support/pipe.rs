//! A TCP port before a server on a Unix socket (the tests' PostgreSQL, a Redis), which can fall silent as a network does
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

/// Nothing is closed while it is silent, and connections are taken: neither end learns anything. What was sent arrives
/// when it is over, as TCP sends again what was lost.
pub struct Pipe {
    url: String,
    state: watch::Sender<State>,
    accepting: AbortHandle,
}

/// What becomes of what is sent through a pipe.
#[derive(Clone, Copy, Default)]
struct State {
    silent: bool,
    /// Connections that were accepted.
    accepted: u64,
    /// As many of them, the first ones, are silent for ever.
    lost: u64,
}

impl State {
    fn passes(&self, connection: u64) -> bool {
        !self.silent && connection >= self.lost
    }
}

impl Pipe {
    /// Before the server of this database, on its Unix socket.
    pub async fn before(database: &str) -> Self {
        let (location, directory) = database.split_once("?host=").expect("a Unix socket");
        let (_, place) = location.split_once('@').unwrap();
        let (server, name) = place.split_once('/').unwrap();
        let port = server.rsplit(':').next().unwrap();
        let directory = percent_decoded(directory);
        let socket = PathBuf::from(directory).join(format!(".s.PGSQL.{port}"));
        Self::to(&socket, |address| {
            format!("postgres://postgres@{address}/{name}")
        })
        .await
    }

    /// Before the server on this socket; `url` makes a URL of the pipe's address.
    pub async fn to(socket: &Path, url: impl FnOnce(SocketAddr) -> String) -> Self {
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

    /// The server's URL through it.
    pub fn url(&self) -> &str {
        &self.url
    }

    pub fn fall_silent(&self) {
        self.state.send_modify(|state| state.silent = true);
    }

    pub fn heal(&self) {
        self.state.send_modify(|state| state.silent = false);
    }

    /// The connections of now are silent for ever, as those to a machine that was replaced; new ones are not.
    pub fn lose_connections(&self) {
        self.state.send_modify(|state| state.lost = state.accepted);
    }
}

impl Drop for Pipe {
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
        if state.wait_for(|state| state.passes(number)).await.is_err() {
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
