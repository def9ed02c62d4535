//! The harness: a world for each test, and clients that wait for expected messages.

mod authority;
mod bare_gateway;
mod connection;
mod database;
mod follower;
mod hardhat;
mod issuer;
mod pgbouncer;
mod port;
mod price_fixture;
mod redis;
mod reverse_proxy;
mod rust_files;
mod script;
mod server;
mod sse;
mod tcp_proxy;
mod temp_dir;
mod test_writer;
mod tls_proxy;
mod wait;
mod wire_check;
mod world;
mod ws;

pub use authority::Authority;
pub use bare_gateway::BareGateway;
pub use connection::{Connection, Query, Received, Transport, rejected_join};
pub use database::fresh_database;
pub use follower::{Follower, Mode, Subscription};
pub use hardhat::Hardhat;
pub use issuer::Issuer;
pub use pgbouncer::PgBouncer;
pub use port::reusable_port;
pub use price_fixture::{PriceFixture, PriceWriter, price_tick};
pub use redis::Redis;
pub use reverse_proxy::ReverseProxy;
pub use rust_files::{product_files, rust_files};
pub use script::Script;
pub use server::{Server, run_to_end, run_to_end_with, run_to_end_with_files, spawn};
pub use sse::SseReader;
pub use tcp_proxy::TcpProxy;
pub use temp_dir::TempDir;
pub use test_writer::TestWriter;
pub use tls_proxy::TlsProxy;
pub use wait::{TIMEOUT, eventually};
pub use wire_check::{
    assert_answer_described, assert_close_described, assert_described, assert_merged_described,
    assert_packed_described, assert_rejection_described,
};
pub use world::{World, mint, mint_token};
pub use ws::WsClient;
