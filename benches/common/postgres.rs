//! The PostgreSQL of a run: a private server with its default settings (fsync on), and a database for each measurement.

use std::{cell::Cell, path::PathBuf};

use chaincast_dev::PrivatePostgres;
use sqlx::{Connection, PgConnection};
use tokio::runtime::Runtime;

/// Stopped, and its data removed, when dropped. Not pinned to a core.
pub struct Postgres {
    pub runtime: Runtime,
    server: Option<PrivatePostgres>,
    pub dir: PathBuf,
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

    /// URL of a database that always exists.
    pub fn url(&self) -> &str {
        self.server.as_ref().expect("it runs until dropped").url()
    }

    pub fn version(&self) -> String {
        let query = async {
            let mut connection = PgConnection::connect(self.url()).await?;
            sqlx::query_scalar("SHOW server_version")
                .fetch_one(&mut connection)
                .await
        };
        let version: String = self.runtime.block_on(query).expect("the server answers");
        version.split(' ').next().unwrap_or_default().to_owned()
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
