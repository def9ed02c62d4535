//! Single transactions: what a node says of one that is in no indexed block.

use serde::Deserialize;

use super::{
    Node, NodeError,
    spelling::{Plain, optional, required},
};
use crate::model::{Address, B256};

/// A transaction that a node knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SeenTransaction {
    pub sender: Address,
    pub nonce: u64,
    /// The block that holds it; `None` while it waits in the pool.
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
    /// What the node knows of a transaction; `None` when it does not know it.
    pub async fn transaction(&self, hash: B256) -> Result<Option<SeenTransaction>, NodeError> {
        let method = "eth_getTransactionByHash";
        let answer: Option<Answer> = self.request(method, (hash,)).await?;
        let Some(answer) = answer else {
            return Ok(None);
        };
        if answer.hash != hash {
            let reason = format!("transaction {} when {hash} was asked for", answer.hash);
            return Err(self.bad_answer(method, reason));
        }
        Ok(Some(SeenTransaction {
            sender: answer.from,
            nonce: answer.nonce,
            // While it waits some nodes name the block that may come, or zero: only the hash is of a block.
            block_number: answer
                .block_number
                .filter(|_| answer.block_hash.is_some_and(|hash| !hash.is_zero())),
        }))
    }

    /// How many transactions an account had sent up to the block at a height: the nonce that comes next.
    pub async fn nonce_at(&self, account: Address, number: u64) -> Result<u64, NodeError> {
        let Plain(count) = self
            .request("eth_getTransactionCount", (account, format!("{number:#x}")))
            .await?;
        Ok(count)
    }
}
