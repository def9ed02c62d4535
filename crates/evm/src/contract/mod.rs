//! Configured contracts: assigns logs to contracts and decodes them by their ABI.
//!
//! Pure: no I/O except reading ABI files. The same log always gives the same text. A log that does not match the ABI
//! gives nothing and is counted. The cost of a log is bounded by its size, whatever its offsets claim. Assumes that the
//! operator supplies the ABI files.

mod abi;
mod address_index;
mod config;
mod contract_error;
mod decode;
mod definition;
mod shape;

pub use address_index::{AddressIndex, DecodedLogs};
use config::FactoryConfig;
pub use config::{Addresses, ContractConfig};
use contract_error::ContractConfigError;
pub use definition::{Contract, Factory, compile};
use shape::EventShape;
