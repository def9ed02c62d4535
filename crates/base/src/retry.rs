//! When to try again: growing delays, and the delay that a server asks for.

mod backoff;
mod retry_after;

pub use backoff::{Backoff, exponential};
pub use retry_after::retry_after;
