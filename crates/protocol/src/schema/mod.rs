//! JSON Schemas of all messages, and what is generated from them: docs/asyncapi.yaml and docs/realtime.d.ts.
//!
//! The schemas come from the types (crate `schemars`), their descriptions from the documentation comments, and which
//! event a channel carries from [`crate::channel::KINDS`]. The published schemas allow unknown fields, because later
//! versions may add some.

mod asyncapi;
mod check;
mod examples;
mod messages;
mod patterns;
mod types;
mod typescript;
mod yaml;

pub use self::{
    asyncapi::asyncapi,
    check::Mismatch,
    messages::{Message, Schemas, Sender},
    typescript::typescript,
};
pub(crate) use self::{
    examples::channel_names,
    types::{Arguments, Hash, Usd},
};

/// The first line of generated files.
const GENERATED: &str =
    "Generated from the types of crates/protocol by `make generate`; do not edit.";

/// The word with its first letter in upper case.
fn capitalized(word: &str) -> String {
    let (first, rest) = word.split_at(word.len().min(1));
    first.to_uppercase() + rest
}
