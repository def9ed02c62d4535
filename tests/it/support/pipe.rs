//! A TCP port before the tests' PostgreSQL, which can fall silent as a network does that drops every packet.

use std::{io, path::PathBuf};

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
    silent: watch::Sender<bool>,
    accepting: AbortHandle,
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
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (silent, is_silent) = watch::channel(false);
        let accepting = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (socket, is_silent) = (socket.clone(), is_silent.clone());
                tokio::spawn(async move {
                    let server = UnixStream::connect(socket).await?;
                    let (from_client, to_client) = client.into_split();
                    let (from_server, to_server) = server.into_split();
                    tokio::join!(
                        forward(from_client, to_server, is_silent.clone()),
                        forward(from_server, to_client, is_silent)
                    );
                    Ok::<(), io::Error>(())
                });
            }
        });
        Self {
            url: format!("postgres://postgres@{address}/{name}"),
            silent,
            accepting: accepting.abort_handle(),
        }
    }

    /// The database's URL through it.
    pub fn url(&self) -> &str {
        &self.url
    }

    pub fn fall_silent(&self) {
        self.silent.send_replace(true);
    }

    pub fn heal(&self) {
        self.silent.send_replace(false);
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
    mut silent: watch::Receiver<bool>,
) {
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let read = from.read(&mut buffer).await;
        if silent.wait_for(|silent| !silent).await.is_err() {
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
