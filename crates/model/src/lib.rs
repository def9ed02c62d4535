//! The rows and domain values that readers, writers and the store exchange. Plain types: no I/O.
//!
//! | value | from | to |
//! |---|---|---|
//! | [`IndexedBlock`] with its transactions, logs and transfers | `evm` | `store` |
//! | [`DecodedEvent`], [`FoundAddress`]: what logs of configured contracts say | `evm` | `store` |
//! | [`KnownBlock`]: a stored block by which a chain is recognized | `store` | `evm` |
//! | [`IndexMode`]: which data of a chain is indexed | configuration | `evm`, `store` |
//! | [`Tick`]: one observation of a price; [`LogOrigin`]: the log that it was decoded from | `evm`, `prices` | `ingest`, `store` |
//! | [`Price`] of a token, with the sources behind it | `prices` | `ingest`, `store` |
//! | [`WatchedAlert`]: a price alert as the price writer checks it | `store` | `ingest` |
//!
//! Amounts are integers or exact decimals, never floats. What clients see of these values is in `chaincast-protocol`.
//!
//! ```
//! use chaincast_model::Tick;
//! use chaincast_protocol::USD;
//!
//! let tick = Tick {
//!     token: "ETH".parse().unwrap(),
//!     source: "binance".into(),
//!     quote: USD.into(),
//!     price: "3456.12".parse().unwrap(),
//!     confidence: None,
//!     observed_at: 1_790_000_000_000,
//!     origin: None,
//! };
//! assert_eq!(tick.price.to_string(), "3456.12");
//! ```

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
