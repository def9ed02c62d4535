//! Schemas of fields whose Rust type has none, or says less than what is sent.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use crate::{
    CandleInterval, Checksummed, JsonNumber, MemberInfo, MessageKey, MessageType, Payload,
    Quantity, Token,
    request::{Interval, RequestId},
};

/// A `B256`.
pub(crate) struct Hash;
/// The arguments of a contract's event.
pub(crate) struct Arguments;
/// The quote currency.
pub(crate) struct Usd;

impl JsonSchema for Usd {
    fn schema_name() -> Cow<'static, str> {
        "Usd".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "const": crate::USD })
    }
}

/// A text without control characters, of at most so many bytes if it is ASCII.
fn label(most: usize) -> String {
    format!("^[^\\x00-\\x1f\\x7f-\\x9f]{{1,{most}}}$")
}

macro_rules! schemas {
    ($($ty:ident $(as $name:literal)? = $schema:tt;)+) => {
        $(impl JsonSchema for $ty {
            fn schema_name() -> Cow<'static, str> {
                [$($name,)? stringify!($ty)][0].into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!($schema)
            }
        })+
    };
}

schemas! {
    Hash = {
        "description": "32 bytes in hex.",
        "type": "string",
        "pattern": "^0x[0-9a-f]{64}$",
    };
    Checksummed as "Address" = {
        "description": "An address with its checksum (EIP-55).",
        "type": "string",
        "pattern": "^0x[0-9a-fA-F]{40}$",
    };
    Quantity = {
        "description": "A decimal string: an unsigned integer that can exceed 2^53.",
        "type": "string",
        "pattern": "^[0-9]+$",
    };
    JsonNumber as "Decimal" = {
        "description": "A number with all its digits; a lossless parser keeps them. In MessagePack a string.",
        "type": "number",
    };
    Token = {
        "description": "The symbol of a tracked token, such as ETH.",
        "type": "string",
    };
    CandleInterval = {
        "description": "The length of a candle.",
        "enum": (CandleInterval::ALL.map(CandleInterval::name)),
    };
    Arguments = {
        "description": "By name, in ABI order; docs/protocol.md has the types.",
        "type": "object",
    };
    Payload = {
        "description": "Any JSON value, nested at most 64 levels deep.",
    };
    MemberInfo = {
        "description": "An object of at most 1,024 bytes, of any content.",
        "type": "object",
        "additionalProperties": true,
    };
    MessageType = {
        "description": "What the message is to the application: 1 to 64 bytes without control characters.",
        "type": "string",
        "pattern": (label(MessageType::MAX_BYTES)),
    };
    MessageKey = {
        "description": "Chosen by the sender: 1 to 128 bytes without control characters.",
        "type": "string",
        "pattern": (label(MessageKey::MAX_BYTES)),
    };
    RequestId = {
        "description": "Chosen by the client, of at most 128 bytes as JSON.",
        "type": ["number", "string"],
    };
    Interval = {
        "description": "At most one update per channel in this many ms; 0 for no limit.",
        "enum": (Interval::ALL),
    };
}
