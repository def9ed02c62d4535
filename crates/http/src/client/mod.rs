//! The client of a request: its address behind proxies, the host it connects to, and the origin of its web page.
//!
//! Pure: reads only headers and the peer's address. Forwarded headers are trusted only as far as trusted proxies passed
//! the request on; see [`Site`].

mod address;
mod header;
mod host;
mod origin;

pub use address::{Site, client_address};
pub use host::OtherHost;
pub use origin::{OriginError, OriginPolicy, Page, RefusedOrigin};
