//! The HTTP side that REST and the gateway share.
//!
//! - [`server`]: the one port, bound at start and served later, with a limit of open connections.
//! - [`client`]: the client behind proxies, and the page that asks: `Origin`, `Host`, forwarded headers.
//! - [`problem`]: problem documents (RFC 9457).

pub mod client;
pub mod problem;
pub mod server;
