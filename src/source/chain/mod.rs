//! Blocks from a node: following the head, fetching whole blocks, checking and decoding what it answers.
//!
//! Promises that an [`IndexedBlock`](crate::model::IndexedBlock) handed out is of one hash, with every receipt, and
//! passed the checks that are on. Assumes nothing of the node: it may lag, lie, answer from two branches, or go away.

mod access;
mod answer;
mod arbitrum;
mod backoff;
mod batch;
mod bloom;
mod celo;
mod chunk;
mod config;
mod decode;
mod derived;
mod encode;
mod error;
mod fetch;
mod fixed;
mod gas;
mod genesis;
mod head;
mod header;
mod headers;
mod history;
mod limit;
mod logs;
mod lookup;
mod outcome;
mod pace;
mod providers;
mod quantity;
mod reading;
mod receipts;
mod refusal;
mod roomy;
mod rpc;
mod size;
mod spelling;
mod state_sync;
mod subscription;
mod token;
mod transfers;
mod verify;
mod wire;

pub use backoff::Backoff;
pub use chunk::Chunk;
pub use config::{ChainConfig, ChecksConfig, Senders};
pub use error::NodeError;
pub use fetch::Wanted;
pub use head::{HeadFollower, NodeView};
pub use headers::NodeHeaders;
pub use history::{Direction, History, Hold, Segment};
pub use lookup::SeenTransaction;
pub use providers::{Height, ProviderConfig, ProviderState, ProviderStatus, Providers, Role, Work};
pub use rpc::{Link, Node, Tag};
pub use token::TokenMetadata;
pub use verify::{CHECKS, CheckError, verify};
pub use wire::{RawBlock, RawHeader, RawLog, RawReceipt, RawTransaction};
