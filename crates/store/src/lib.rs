//! Postgres, the source of truth: updates are published only after they are committed here. All SQL of the product is in
//! this crate, one file per aggregate.
//!
//! ```text
//! writers ─▶ writer (lock, lease) ─▶ chain, ticks, prices, …  ─▶ updates ─▶ COMMIT
//! readers ─▶ Store (pools)        ─▶ read
//! ```
//!
//! | modules | what they have |
//! |---|---|
//! | `store`, `connect`, `config`, `pool`, `read_pool`, `dedicated`, `certificates`, `pending_migrations` | [`Store`]: the pools, connecting, migrations, TLS files |
//! | [`writer`], [`writers`], [`backend_probe`] | the lock and the lease of each writer, standbys, and what keeps a stream from being written |
//! | [`chain`] | blocks: appended, prepended and unwound with the cursor; binary COPY; deferred indexes; halts; for `verify`, comparisons |
//! | [`contracts`], [`token_contracts`], [`pool_logs`], [`price_backfills`] | decoded events, metadata of tokens, and how far stored logs are decoded |
//! | [`ticks`], [`prices`], [`price_clock`], [`tokens`], [`candles`] | the rows of the price writer |
//! | [`alerts`], [`alert_firing`], [`alert_deliveries`] | alerts as users change them and as prices fire them; what users have not acknowledged |
//! | [`messages`] | messages of clients: their keys, deliveries to users, redaction |
//! | [`updates`], [`watches`], `retention`, `channel_audit`, `reset` | the update log with its seqs; watched transactions and addresses; what is deleted; for `verify`, gaps; starting over |
//! | [`disconnects`] | subjects whose sessions must end on every gateway |
//! | [`read`] | the queries of REST: plain rows, one file per resource |
//! | `explain` | for `make explain` and tests: the queries of readers with example arguments |
//!
//! Each writer has one dedicated connection (see [`writer::Writer`]): a writer that loses its connection also loses its
//! lock, so no process writes without the lock. Everything else shares pools: [`Store::pool`] connects to the server
//! itself and serves transactions of more than one statement ([`Store::begin`]); the pools of `read_pool` only read and
//! may go through a pooler.
//!
//! Promises: errors are translated once, in [`StoreError`]. A future that is dropped at any await leaves no transaction,
//! lock or connection behind.

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
pub mod disconnects;
mod error;
#[cfg(feature = "explain")]
pub mod explain;
pub mod messages;
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
mod stored_log;
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
pub use retention::MessageRetention;
pub use store::{Loading, Store};

use sqlx::migrate::Migrator;

static MIGRATIONS: Migrator = sqlx::migrate!("../../migrations");

/// The SQL of a migration, by the part of its file name after the number.
pub fn migration(name: &str) -> &'static str {
    let found = MIGRATIONS.iter().find(|one| one.description == name);
    &found.expect("no migration has that name").sql
}
