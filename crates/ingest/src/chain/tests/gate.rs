//! A proxy between a store and its database that can stop forwarding, as a dead host does: connections stay open.

use std::{
    fs,
    path::Path,
    str::FromStr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use sqlx::postgres::PgConnectOptions;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{UnixListener, UnixStream},
    sync::watch,
};
use tokio_util::task::AbortOnDropHandle;

use chaincast_base::Secret;
use chaincast_store::StoreConfig;

pub(super) struct Gate {
    database: StoreConfig,
    is_open: watch::Sender<bool>,
    connections: Arc<AtomicUsize>,
    _serving: AbortOnDropHandle<()>,
}

impl Gate {
    /// A gate before a database on a Unix socket; its own socket is in `dir`.
    pub(super) fn new(database: &StoreConfig, dir: &Path) -> Self {
        let options = PgConnectOptions::from_str(database.url.expose()).unwrap();
        let name = format!(".s.PGSQL.{}", options.get_port());
        let target = options.get_socket().unwrap().join(&name);
        let here = dir.join("gate");
        fs::create_dir(&here).unwrap();
        let listener = UnixListener::bind(here.join(&name)).unwrap();
        let url = format!(
            "postgres://{}@localhost:{}/{}?host={}",
            options.get_username(),
            options.get_port(),
            options.get_database().unwrap(),
            here.display()
        );
        let (is_open, opened) = watch::channel(true);
        let connections = Arc::new(AtomicUsize::new(0));
        let counted = connections.clone();
        let serving = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                counted.fetch_add(1, Ordering::Relaxed);
                let (target, opened) = (target.clone(), opened.clone());
                tokio::spawn(async move {
                    let Ok(server) = UnixStream::connect(target).await else {
                        return;
                    };
                    let (from_client, to_client) = client.into_split();
                    let (from_server, to_server) = server.into_split();
                    tokio::join!(
                        pass(from_client, to_server, opened.clone()),
                        pass(from_server, to_client, opened),
                    );
                });
            }
        });
        Self {
            database: StoreConfig {
                url: Secret::new(url),
                ..database.clone()
            },
            is_open,
            connections,
            _serving: AbortOnDropHandle::new(serving),
        }
    }

    pub(super) fn database(&self) -> &StoreConfig {
        &self.database
    }

    /// Stops forwarding.
    pub(super) fn shut(&self) {
        self.is_open.send_replace(false);
    }

    pub(super) fn open(&self) {
        self.is_open.send_replace(true);
    }

    /// Connections accepted so far.
    pub(super) fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }
}

/// Copies until either end closes; while the gate is shut, the data read is held back.
async fn pass(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut opened: watch::Receiver<bool>,
) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        if opened.wait_for(|open| *open).await.is_err() {
            return;
        }
        if to.write_all(&buffer[..read]).await.is_err() {
            return;
        }
    }
}
