//! Blocks from a node: follows the head, fetches whole blocks, and checks and decodes them.
//!
//! Promises that a returned [`IndexedBlock`](chaincast_model::IndexedBlock) belongs to one hash, has every receipt, and
//! passed the enabled checks. Assumes nothing about the node: it may lag, send wrong data, answer from two branches, or
//! become unreachable.

mod access_list;
mod answer;
mod arbitrum;
mod backoff;
mod batch;
mod block_range;
mod block_size;
mod bloom;
mod celo;
mod check_error;
mod chunk;
mod config;
mod config_check;
mod decode;
mod derived_fields;
mod encode;
mod error;
mod fetch;
mod fixed_fields;
mod gas;
mod genesis;
mod head;
mod header;
mod json_reader;
mod json_values;
mod logs;
mod prealloc;
mod providers;
mod quantity;
mod receipt_methods;
mod receipt_outcome;
mod receipts;
mod refusal;
mod request_gate;
mod request_headers;
mod request_limit;
mod request_metrics;
mod rpc;
mod state_sync;
mod subscription;
mod token_metadata;
mod transaction_lookup;
mod transfers;
mod trie_items;
mod verify;
mod wire;
mod workers;

pub use backoff::NODE_BACKOFF;
pub use block_range::{BlockRange, Direction, MemoryPermit, Segment};
use check_error::CheckError;
use chunk::Chunk;
pub use config::{ChainConfig, ChecksConfig, Senders};
pub use config_check::check as check_chains;
pub use error::NodeError;
pub use fetch::BlockTarget;
pub use head::{HeadFollower, NodeView};
pub use providers::{Height, ProviderConfig, ProviderStatus, Providers, Role, Work};
pub use request_headers::NodeHeaders;
use rpc::Link;
pub use rpc::{Node, Tag};
pub use token_metadata::TokenMetadata;
pub use transaction_lookup::NodeTransaction;
pub use verify::CHECKS;
use wire::{RawBlock, RawHeader};
