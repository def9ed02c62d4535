//! The harness: a world for each test, and clients that wait for what they expect.

mod authority;
mod bare;
mod database;
mod follower;
mod issuer;
mod ledger;
mod line;
mod port;
mod price_stage;
mod proxy;
mod redis;
mod script;
mod server;
mod sse;
mod temporary;
mod wait;
mod world;
mod ws;

pub use authority::Authority;
pub use bare::Bare;
pub use database::fresh_database;
pub use follower::{Follower, Mode, Wish};
pub use issuer::Issuer;
pub use ledger::Ledger;
pub use line::{Heard, Line, Over, Query};
pub use port::port_to_come_back_to;
pub use price_stage::{PriceStage, PriceWriter, price_tick};
pub use proxy::Proxy;
pub use redis::Redis;
pub use script::Script;
pub use server::{Server, run_to_end, run_to_end_with, run_to_end_with_files, spawn};
pub use sse::SseReader;
pub use temporary::Temporary;
pub use wait::{PATIENCE, eventually};
pub use world::{World, mint};
pub use ws::WsClient;
