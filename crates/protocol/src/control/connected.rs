//! The first message of every session.

use serde::{Deserialize, Serialize};

/// The session is open.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Connected {
    /// Random id of the session; on Socket.IO the client's `socket.id`.
    pub client_id: String,
    /// Of the database: a seq is valid only within its epoch.
    pub epoch: String,
    /// Time between the pings of the server, in ms.
    pub ping_interval: u64,
    /// A session that sends nothing for both times is closed. In ms.
    pub ping_timeout: u64,
    /// In ms since the Unix epoch.
    pub server_time: i64,
    /// The authenticated user.
    pub user: Option<User>,
}

impl Connected {
    /// The event whose data it is.
    pub const EVENT: &str = "connected";
}

/// The user that a JWT authenticates.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct User {
    /// Patterns of the channels that the JWT allows, where `*` matches any text; null for all public ones.
    pub channels: Option<Vec<String>>,
    /// When the session ends unless the JWT is renewed, in ms since the Unix epoch.
    pub expires_at: i64,
    /// The claim `role` of the JWT; null without it.
    pub role: Option<String>,
    /// The subject.
    pub sub: String,
}
