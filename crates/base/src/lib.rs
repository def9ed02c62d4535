//! What every crate may use.
//!
//! - [`settings`]: declares configuration keys; each section is read, checked and documented from its declaration.
//! - [`Secret`]: a value that messages and logs never repeat.
//! - [`glob`]: patterns in which `*` matches any text.
//! - [`RateWindow`]: at most so many requests in any window of time.
//! - [`retry`]: backoff and `Retry-After`.
//! - [`shutdown`]: the signal to end, and the tasks that end by it. A critical task that ends early ends the process.
//! - [`telemetry`]: logs, their limits, and metrics.
//! - [`tls`]: the provider of cryptography and the trusted certificates of every TLS connection.
//! - [`is_web_page`], [`non_json_error`]: an answer that is a web page, where JSON is expected.
//!
//! ```
//! use chaincast_base::Secret;
//!
//! let url = Secret::new("postgres://user:password@localhost/chaincast");
//! assert!(!format!("{url:?}").contains("password"));
//! ```

pub mod glob;
mod rate_window;
pub mod retry;
mod secret;
pub mod settings;
pub mod shutdown;
pub mod telemetry;
pub mod tls;
mod web_page;

pub use rate_window::RateWindow;
pub use secret::Secret;
pub use web_page::{WEB_PAGE, is_web_page, non_json_error};
