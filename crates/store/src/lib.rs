//! Postgres, the source of truth: updates are published only after they are committed here. All SQL of the crate is in
//! this module, one file per aggregate.
//!
//! Each writer has one dedicated connection (see [`writer::Writer`]): a writer that loses its connection also loses its
//! lock, so no process writes without the lock. Everything else shares pools: [`Store::pool`] connects to the server
//! itself and serves transactions of more than one statement ([`Store::begin`]); the pools of `read_pool` only read and
//! may go through a pooler.

mod alert_columns;
pub mod alert_deliveries;
pub mod alert_firing;
pub mod alerts;
pub mod backend_probe;
pub mod candles;
mod certificates;
pub mod chain;
mod channel_audit;
mod config;
mod connect;
pub mod contracts;
mod dedicated;
mod error;
mod pending_migrations;
mod pool;
pub mod pool_logs;
pub mod price_backfills;
pub mod price_clock;
pub mod prices;
pub mod read;
mod read_pool;
mod reset;
mod retention;
mod store;
pub mod ticks;
pub mod token_contracts;
pub mod tokens;
pub mod updates;
pub mod watches;
pub mod writer;
pub mod writers;

pub use config::StoreConfig;
pub use connect::LIVE_CONNECTIONS;
pub use error::StoreError;
pub use store::{Loading, Store};

use sqlx::migrate::Migrator;

static MIGRATIONS: Migrator = sqlx::migrate!("../../migrations");

/// The SQL of a migration, by the part of its file name after the number.
pub fn migration(name: &str) -> &'static str {
    let found = MIGRATIONS.iter().find(|one| one.description == name);
    &found.expect("no migration has that name").sql
}
