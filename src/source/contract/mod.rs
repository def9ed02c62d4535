//! Configured contracts: whose log it is, and what it says by the contract's ABI.
//!
//! Pure: nothing is fetched, nothing is stored. Promises that the same log gives the same text, that a log which is not
//! what the ABI says gives nothing and is counted, and that no log costs more than its own size allows, whatever its
//! offsets claim. Assumes that an ABI file is the operator's own.

mod config;
mod decode;
mod definition;
mod following;
mod problem;
mod shape;

pub use config::{Addresses, ContractConfig, FactoryConfig};
pub use definition::{Contract, Factory, compile};
pub use following::{Following, Reading};
pub use problem::ContractProblem;
pub use shape::EventShape;
