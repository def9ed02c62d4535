//! Configuration files of the measured products.

use std::path::PathBuf;

use crate::{postgres::Postgres, server::Options};

impl Postgres {
    /// Writes a configuration with its own database: the defaults, except `options` and the limit of connections from
    /// one address, as all clients are on this machine.
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
