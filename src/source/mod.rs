//! Data sources: chain nodes, contracts and price venues. Nothing here writes to the database.

pub mod chain;
pub mod contract;
pub mod price;
