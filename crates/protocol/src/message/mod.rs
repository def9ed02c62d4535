//! What clients write into messages: any JSON value, and short texts that describe it. The server never interprets them.

mod compact;
mod info;
mod labels;
mod payload;

pub use self::{
    compact::{MAX_DEPTH, PayloadError},
    info::{MemberInfo, MemberInfoError},
    labels::{LabelError, MessageKey, MessageType},
    payload::Payload,
};
