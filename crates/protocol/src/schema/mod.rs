//! JSON Schemas of all messages. They come from the types (crate `schemars`), their descriptions from the documentation
//! comments.

mod types;

pub(crate) use self::types::{Arguments, Hash, Usd};
