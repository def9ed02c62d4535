//! Events of `contract:NAME` and `contract:NAME:EVENT`.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

#[cfg(feature = "schema")]
use crate::schema::{Arguments, Hash};
use crate::{B256, BlockRef, ChainId, Checksummed};

/// A configured contract emitted an event.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct ContractEvent {
    /// The name in the configuration.
    pub contract: Arc<str>,
    /// The name in the ABI.
    pub event: Arc<str>,
    /// The contract that emitted it.
    pub address: Checksummed,
    /// Null if longer than 64 KiB as JSON; the REST API returns them.
    #[cfg_attr(feature = "schema", schemars(with = "Option<Arguments>"))]
    pub args: Option<Box<RawValue>>,
    /// Height of its block.
    pub block_number: u64,
    /// Hash of its block.
    #[cfg_attr(feature = "schema", schemars(with = "Hash"))]
    pub block_hash: B256,
    /// The header's timestamp, in seconds.
    pub block_timestamp: u64,
    /// Null when unknown.
    #[cfg_attr(feature = "schema", schemars(with = "Option<Hash>"))]
    pub transaction_hash: Option<B256>,
    /// Position of the log in the block, from 0.
    pub log_index: u32,
    /// EIP-155 chain id.
    pub chain_id: ChainId,
    /// Server time of the update, in ms.
    pub timestamp: i64,
}

impl ContractEvent {
    /// Largest arguments that are sent, in bytes of JSON: a message must fit into a session's backlog.
    pub const MAX_ARGS_BYTES: usize = 65_536;
}

/// The events of the dropped blocks are invalid; those of the new branch follow.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct ContractReorg {
    /// EIP-155 chain id.
    pub chain_id: ChainId,
    /// The newest block that both branches have.
    pub common_ancestor: BlockRef,
    /// Newest first.
    pub dropped: Vec<BlockRef>,
    /// Server time, in ms.
    pub timestamp: i64,
}
