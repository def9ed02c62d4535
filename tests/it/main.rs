//! Every integration test, in one binary: the built `chaincast` between real PostgreSQL, anvil, Redis and clients.

mod support;

mod auth;
mod formats;
mod hostile;
mod imports;
mod metrics;
mod outage;
mod page;
mod path;
mod prices;
mod processes;
mod reorg;
mod rest;
mod resume;
mod socketio;
mod start;
mod terminal;
