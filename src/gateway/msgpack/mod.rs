//! MessagePack beside JSON: the same values in another notation, translated text to bytes and back without a tree
//! in between and without a float.
//!
//! JSON is what the store and the rules of requests speak. [`from_json`] writes outgoing JSON text as MessagePack,
//! [`to_json`] reads what a client sent into JSON text. Garbage is an error, never a panic; nothing is reserved for
//! lengths that are only announced, and nesting is bounded by [`MAX_DEPTH`].

mod decode;
mod encode;
#[cfg(test)]
mod tests;

pub use decode::{DecodeError, to_json};
pub use encode::{NotJson, from_json, map, string};

/// Deepest nesting of maps and arrays, in either direction: as deep as serde_json reads.
pub const MAX_DEPTH: usize = 128;
