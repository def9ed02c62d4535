//! The HTTP side that REST and the gateway share.
//!
//! - [`server`]: the one port, bound at start and served later. Its open connections are limited; a connection is active
//!   until the kernel has accepted its response, and idle ones give way to new ones.
//! - [`client`]: the client behind proxies, and the web page that asks: `Host`, `Origin` and forwarded headers. Pure. A
//!   header counts only as far as trusted proxies passed the request on.
//! - [`problem`]: problem documents (RFC 9457). One form; the codes belong to the crate that responds.
//!
//! ```
//! use axum::http::HeaderMap;
//! use chaincast_http::client::client_address;
//!
//! let mut headers = HeaderMap::new();
//! headers.insert("x-forwarded-for", "203.0.113.7".parse().unwrap());
//! let proxy = "10.0.0.1".parse().unwrap();
//! let client = client_address(proxy, &headers, &["10.0.0.0/8".parse().unwrap()]);
//! assert_eq!(client.to_string(), "203.0.113.7");
//! ```

pub mod client;
pub mod problem;
pub mod server;
