//! Blocks from a node: following the head, fetching whole blocks, checking and decoding what it answers.
//!
//! Promises that an [`IndexedBlock`](crate::model::IndexedBlock) handed out is of one hash, with every receipt, and
//! passed the checks that are on. Assumes nothing of the node: it may lag, lie, answer from two branches, or go away.

mod backoff;
mod config;
mod decode;
mod error;
mod fetch;
mod head;
mod providers;
mod rpc;
mod token;
mod transfers;
mod verify;

pub use backoff::Backoff;
pub use config::{ChainConfig, ChecksConfig};
pub use error::NodeError;
pub use fetch::{RawBlock, Wanted};
pub use head::{HeadFollower, NodeView};
pub use providers::{ProviderConfig, ProviderState, ProviderStatus, Providers, Role, Work};
pub use rpc::{Link, Node, Tag};
pub use token::TokenMetadata;
pub use verify::{CheckError, verify};
