//! Every integration test, in one binary: the built `chaincast` between real PostgreSQL, anvil, Redis and clients.

mod support;

mod alerts;
mod auth;
mod backfill;
mod candles;
mod chains;
mod clients;
mod contracts;
mod deploy;
mod floats;
mod formats;
mod fuzz;
mod hostile;
mod imports;
mod metrics;
mod modes;
mod observe;
mod outage;
mod page;
mod path;
mod prices;
mod processes;
mod providers;
mod reorg;
mod rest;
mod resume;
mod seam;
mod socketio;
mod start;
mod store;
mod terminal;
mod transfers;
mod venues;
mod verify;
mod watch;
