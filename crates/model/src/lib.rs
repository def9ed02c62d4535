//! Indexed blocks, decoded contract events, ticks and prices as plain types: no I/O.

mod alert;
mod block;
mod contract;
mod index_mode;
mod known_block;
mod price;

pub use alert::WatchedAlert;
pub use block::{BlockHeader, IndexedBlock, IndexedLog, IndexedTransaction, Transfer};
pub use chaincast_protocol::TokenStandard;
pub use contract::{DecodedEvent, FoundAddress};
pub use index_mode::IndexMode;
pub use known_block::KnownBlock;
pub use price::{LogOrigin, Price, PriceDetail, Tick};
