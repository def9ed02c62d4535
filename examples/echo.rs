//! The WebSocket echo server that conformance suites test; see docs/conformance.md.
//!
//! Prints `listening on ws://127.0.0.1:PORT/` when it is ready, and serves until it is killed.

use std::error::Error;

use chaincast_base::shutdown::Tasks;
use chaincast_gateway::{GatewayConfig, echo_router};
use chaincast_http::server::{self, ServerConfig};
use clap::Parser;
use tokio::net::TcpListener;

/// The longest message of the suite, in bytes.
const MESSAGE_BYTES: usize = 16 << 20;

#[derive(Parser)]
struct Options {
    /// Accept permessage-deflate, and compress answers if the client's window allows it
    #[arg(long)]
    deflate: bool,
    #[arg(long, default_value_t = 0)]
    port: u16,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let options = Options::parse();
    let mut config = GatewayConfig {
        permessage_deflate: options.deflate,
        ..GatewayConfig::default()
    };
    config.limits.message_bytes = MESSAGE_BYTES;
    config.limits.backlog_bytes = 4 * MESSAGE_BYTES;
    let (tasks, _failures) = Tasks::new();
    let router = echo_router(config, tasks.clone());
    let listener = TcpListener::bind(("127.0.0.1", options.port)).await?;
    println!("listening on ws://{}/", listener.local_addr()?);
    let stop = tasks.token();
    server::serve(listener, router, ServerConfig::default(), tasks, stop).await?;
    Ok(())
}
