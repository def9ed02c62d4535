//! Events of `room:NAME` about its members. None is stored.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::MemberInfo;

/// A subject in a room, with what it shows to the others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct RoomMember {
    /// The subject.
    pub sub: Arc<str>,
    /// What it shows; `{}` if nothing.
    pub info: MemberInfo,
}

/// A subject entered the room with its first session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct MemberJoined {
    /// Who entered.
    pub member: RoomMember,
    /// The number of members now.
    pub count: u64,
    /// Server time, in ms.
    pub timestamp: i64,
}

/// A subject left the room with its last session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct MemberLeft {
    /// Who left.
    pub member: RoomMember,
    /// The number of members now.
    pub count: u64,
    /// Server time, in ms.
    pub timestamp: i64,
}

/// Many members joined or left: replaces their single events while there are very many.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct MembersChanged {
    /// Who entered, each once.
    pub joined: Vec<RoomMember>,
    /// Who left, each once.
    pub left: Vec<RoomMember>,
    /// The number of members now.
    pub count: u64,
    /// Server time, in ms.
    pub timestamp: i64,
}
