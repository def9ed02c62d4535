//! The PostgreSQL of a run: a database for each product that is started.

use std::{cell::Cell, path::PathBuf};

use chaincast::dev::PrivatePostgres;
use tokio::runtime::Runtime;

use crate::server::Options;

/// Stopped, and its data removed, when dropped. Not pinned: beside an idle product it does next to nothing.
pub struct Postgres {
    pub runtime: Runtime,
    server: Option<PrivatePostgres>,
    dir: PathBuf,
    databases: Cell<usize>,
}

impl Postgres {
    pub fn start() -> Self {
        let dir = std::env::temp_dir().join(format!("chaincast-bench-{}", std::process::id()));
        std::fs::create_dir_all(&dir).expect("the directory for temporary files can be written");
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a thread can be started");
        let server = runtime
            .block_on(PrivatePostgres::start(&dir))
            .expect("PostgreSQL is installed");
        Self {
            runtime,
            server: Some(server),
            dir,
            databases: Cell::new(0),
        }
    }

    /// URL of a new database.
    pub fn database(&self) -> String {
        let number = self.databases.replace(self.databases.get() + 1);
        let server = self.server.as_ref().expect("it runs until dropped");
        let made = self
            .runtime
            .block_on(server.create_database(&format!("bench_{number}")));
        made.expect("the name is new")
    }

    /// Writes a configuration with a database of its own: the defaults, but for `options` and the limit of
    /// connections from one address, for all clients are on this machine.
    pub fn product_config(&self, options: Options) -> PathBuf {
        self.write_config(&self.database(), options, "")
    }

    pub fn write_config(&self, database: &str, options: Options, more: &str) -> PathBuf {
        let path = self.dir.join("chaincast.toml");
        let Options {
            linger_ms,
            channels_in_memory,
            flushers,
            io_uring,
            ..
        } = options;
        let text = format!(
            "[server]\nport = 0\n[database]\nurl = {database:?}\n[telemetry]\nlog = \"warn\"\n\
             [[chains]]\nchain_id = 1\nrpc_url = \"http://127.0.0.1:1\"\n\
             [gateway]\nlinger_ms = {linger_ms}\nchannels_in_memory = {channels_in_memory}\n\
             flushers = {flushers}\nio_uring = {io_uring}\n\
             [gateway.limits]\nconnections_per_address = 100000\n{more}"
        );
        std::fs::write(&path, text).expect("the directory can be written");
        path
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        if let Some(server) = self.server.take() {
            self.runtime.block_on(server.stop()).ok();
        }
        std::fs::remove_dir_all(&self.dir).ok();
    }
}
