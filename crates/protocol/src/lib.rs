//! The realtime protocol: channels, events, requests, and the codecs of its wire formats. No I/O.
//!
//! - [`channel`]: what can be subscribed to, and what holds for each kind of channel.
//! - [`Event`], [`EventName`], [`Update`]: what is published on channels.
//! - [`ServerMessage`]: any message of the server; [`control`]: the data of those that belong to no channel.
//! - [`request`]: requests of clients and their answers; [`ErrorCode`] and [`CloseReason`] are the codes of refusals.
//! - [`encode`]: an update as bytes of each wire format. Below it are [`frame`] (WebSocket, RFC 6455), [`deflate`] and
//!   [`inflate`] (permessage-deflate, RFC 7692), [`msgpack`] and [`socketio`].
//!
//! ```
//! use chaincast_protocol::request::{Request, Subscribe, parse_text};
//!
//! let (id, request) = parse_text(r#"{"id":1,"event":"subscribe","data":{"channel":"price:ETH"}}"#);
//! assert_eq!(id.unwrap().as_json(), "1");
//! assert_eq!(request, Ok(Request::Subscribe(Subscribe::to("price:ETH"))));
//! ```

mod alert;
mod candle;
mod chain_health;
pub mod channel;
mod checksummed;
mod close_reason;
pub mod control;
pub mod deflate;
pub mod encode;
mod error_code;
mod event;
pub mod frame;
pub mod inflate;
mod message;
pub mod msgpack;
mod number;
mod price_status;
mod quantity;
pub mod request;
#[cfg(feature = "schema")]
pub mod schema;
mod server_message;
pub mod socketio;
mod token;
mod token_standard;
mod update;

pub use alert::{AlertCondition, AlertConditionError};
pub use alloy_primitives::{Address, B256, U256};
pub use candle::{Candle, CandleInterval, CandleIntervalError, fill_gaps, fold_candles};
pub use chain_health::{ChainHealth, ChainLimits, ChainStatus};
pub use channel::{Channel, truncated_name};
pub use checksummed::Checksummed;
pub use close_reason::CloseReason;
pub use error_code::{ErrorCode, Refusal};
pub use event::*;
pub use message::{
    LabelError, MAX_DEPTH as MAX_PAYLOAD_DEPTH, MemberInfo, MemberInfoError, MessageKey,
    MessageType, Payload, PayloadError,
};
pub use number::{JsonNumber, now_ms};
pub use price_status::{PriceBlock, PriceReason, PriceStatus, USD};
pub use quantity::Quantity;
pub use server_message::ServerMessage;
pub use token::{Token, TokenError};
pub use token_standard::TokenStandard;
pub use update::{NewUpdate, Update};

use serde::{Deserialize, Serialize};

/// A chain id ([EIP-155](https://eips.ethereum.org/EIPS/eip-155)).
pub type ChainId = u64;

/// A block by height and hash. The height alone does not identify the branch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct BlockRef {
    /// Height: the distance from block 0.
    pub number: u64,
    /// Identifies the block and its branch.
    #[cfg_attr(feature = "schema", schemars(with = "schema::Hash"))]
    pub hash: B256,
}
