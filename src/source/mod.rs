//! Where data comes from: nodes of a chain, and venues of prices. Nothing here writes.

pub mod chain;
pub mod price;
