//! Queries behind REST: stored data as plain rows, one file per aggregate.
//!
//! Lists use keyset pagination, never offsets: every page costs the same and stays stable while new rows arrive. Each
//! method is one statement, or one snapshot where two must agree. A row that does not fit its type is
//! [`StoreError::Corrupt`](super::StoreError::Corrupt), never a default.
//!
//! Quantities of a chain are decimal text: uint256 fits no integer type of Rust, and nothing here computes with them.

mod alert;
mod block;
mod candle;
mod chain;
mod contract;
mod contract_event;
mod index;
mod price;
mod provider;
mod row;
mod tick;
mod token;
mod transaction;
mod transfer;

#[cfg(feature = "explain")]
use super::{
    Store,
    explain::{Explained, Known, Query},
    token_contracts, updates,
};

pub(super) use alert::alert_row;
pub use alert::{AlertFilter, AlertRow};
pub use block::{BlockId, BlockRow, WholeBlockRow};
pub use candle::Candles;
pub use chain::{ChainRow, HaltRow, Mark};
pub use contract::ContractRow;
pub use contract_event::{ContractEventFilter, ContractEventKey, ContractEventRow};
pub use price::PriceRow;
pub use tick::{SourceRow, SourceStateRow, TickKey, TickRow};
pub use token::{TokenRow, TokenSource};
pub use transaction::{LogRow, TransactionDetail, TransactionKey, TransactionRow};
pub use transfer::{TransferKey, TransferRow};

/// Every file with queries of readers.
#[cfg(feature = "explain")]
const EXPLAINED: &[Explained] = &[
    chain::explained,
    provider::explained,
    index::explained,
    block::explained,
    transaction::explained,
    transfer::explained,
    contract::explained,
    contract_event::explained,
    token_contracts::explained,
    token::explained,
    price::explained,
    tick::explained,
    alert::explained,
    candle::explained,
    updates::explained,
];

/// Every query of readers, each to be run once.
#[cfg(feature = "explain")]
pub fn explained<'a>(store: &'a Store, known: &'a Known) -> Vec<Query<'a>> {
    let files = EXPLAINED.iter();
    files.flat_map(|queries| queries(store, known)).collect()
}
