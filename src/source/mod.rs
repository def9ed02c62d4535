//! Where data comes from: nodes of a chain, contracts and venues of prices. Nothing here writes.

pub mod chain;
pub mod contract;
pub mod price;
