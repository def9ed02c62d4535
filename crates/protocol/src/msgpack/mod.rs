//! Converts between JSON text and MessagePack without an intermediate tree and without floats.
//!
//! The store and the request parser use JSON. [`from_json`] converts outgoing JSON text to MessagePack, [`to_json`]
//! converts a client's MessagePack to JSON text. Invalid input is an error, never a panic. Memory is not allocated by
//! declared lengths, and nesting is bounded by [`MAX_DEPTH`].

mod decode;
mod encode;
mod float;
#[cfg(test)]
mod tests;

pub use decode::{DecodeError, to_json};
pub use encode::{NotJson, from_json};
pub(crate) use encode::{map, string};

/// Maximum nesting of maps and arrays in both directions: the limit of serde_json.
pub const MAX_DEPTH: usize = 128;
