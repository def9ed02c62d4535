//! Where a request comes from: the client's address behind proxies, and the web page that makes the request.
//!
//! Pure: it reads headers and the peer's address. A header that a proxy sets is believed only as far as trusted proxies
//! passed the request on, see [`Site`].

mod address;
mod host;
mod origin;

pub use address::{Site, client_address};
pub use host::OtherHost;
pub use origin::{OriginError, OriginPolicy, Page, RefusedOrigin};
