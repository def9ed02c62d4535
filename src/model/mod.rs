//! The domain types of the system: no I/O, used by every other module.

mod address_update;
mod alert;
mod block;
mod candle;
mod chain_health;
pub mod channel;
mod contract;
mod event;
mod event_name;
mod index_mode;
mod number;
mod price;
mod secret;
mod token;
mod transaction_update;
mod update;
mod web_page;

pub use address_update::{AddressReorg, AddressTransaction, AddressTransfer};
pub use alert::{AlertCondition, AlertConditionError, PriceAlert, WatchedAlert};
pub use alloy::primitives::{Address, B256, U256};
pub use block::{
    BlockHeader, IndexedBlock, IndexedLog, IndexedTransaction, TokenStandard, Transfer,
};
pub use candle::{Candle, CandleInterval, CandleIntervalError, fill_gaps, fold_candles};
pub use chain_health::{ChainHealth, ChainLimits, ChainStatus};
pub use channel::{Channel, truncated_name};
pub use contract::{DecodedEvent, FoundAddress};
pub use event::{
    BlockFinalized, CandleUpdate, ContractEvent, ContractReorg, DECIMALS, Event, NewBlock,
    PriceUpdate, PriceUpdateDetail, Reorg,
};
pub use event_name::EventName;
pub use index_mode::IndexMode;
pub use number::{JsonNumber, now_ms};
pub use price::{LogOrigin, Price, PriceBlock, PriceDetail, PriceReason, PriceStatus, Tick, USD};
pub use secret::Secret;
pub use token::{Token, TokenError};
pub use transaction_update::{TransactionStatus, TransactionUpdate};
pub use update::{NewUpdate, Update};
pub use web_page::{WEB_PAGE, is_web_page, non_json_error};

use serde::{Deserialize, Serialize};

/// A chain id ([EIP-155](https://eips.ethereum.org/EIPS/eip-155)).
pub type ChainId = u64;

/// A block by height and hash. The height alone does not identify the branch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct BlockRef {
    pub number: u64,
    pub hash: B256,
}

/// A stored block that identifies the indexed chain: a node must have it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KnownBlock {
    pub block: BlockRef,
    /// The hash of its parent, if a reorg may still replace the block: then another block with the same parent is
    /// accepted too. `None` for a permanent block, such as block 0 or a final one.
    pub parent: Option<B256>,
}

impl KnownBlock {
    /// A permanent block.
    pub fn fixed(block: BlockRef) -> Self {
        Self {
            block,
            parent: None,
        }
    }

    /// Whether a node that has `block` at this height serves the same chain.
    pub fn is_same_chain(&self, block: BlockRef, parent: B256) -> bool {
        block == self.block || block.number == self.block.number && self.parent == Some(parent)
    }
}
