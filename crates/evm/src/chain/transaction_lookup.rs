//! Lookups of single transactions that may be in no indexed block.

use serde::Deserialize;

use super::{
    Node, NodeError,
    json_values::{Plain, optional, required},
};
use chaincast_protocol::{Address, B256};

/// A transaction that a node knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NodeTransaction {
    /// The account that signed it.
    pub sender: Address,
    /// The number of transactions that its sender had sent before it.
    pub nonce: u64,
    /// Its block; `None` while it is pending.
    pub block_number: Option<u64>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    #[serde(deserialize_with = "required")]
    hash: B256,
    #[serde(deserialize_with = "required")]
    from: Address,
    #[serde(deserialize_with = "required")]
    nonce: u64,
    #[serde(default, deserialize_with = "optional")]
    block_hash: Option<B256>,
    #[serde(default, deserialize_with = "optional")]
    block_number: Option<u64>,
}

impl Node {
    /// A transaction, or `None` if the node does not know it.
    pub async fn transaction(&self, hash: B256) -> Result<Option<NodeTransaction>, NodeError> {
        let method = "eth_getTransactionByHash";
        let answer: Option<Answer> = self.request(method, (hash,)).await?;
        let Some(answer) = answer else {
            return Ok(None);
        };
        if answer.hash != hash {
            let reason = format!("transaction {} instead of {hash}", answer.hash);
            return Err(self.bad_answer(method, reason));
        }
        Ok(Some(NodeTransaction {
            sender: answer.from,
            nonce: answer.nonce,
            // For a pending transaction some nodes return the expected block number, or zero: only the hash proves
            // inclusion.
            block_number: answer
                .block_number
                .filter(|_| answer.block_hash.is_some_and(|hash| !hash.is_zero())),
        }))
    }

    /// The number of transactions that an account had sent up to a block: its next nonce.
    pub async fn nonce_at(&self, account: Address, number: u64) -> Result<u64, NodeError> {
        let Plain(count) = self
            .request("eth_getTransactionCount", (account, format!("{number:#x}")))
            .await?;
        Ok(count)
    }
}
