//! Messages on their way to the writer, and what came of them.

use chaincast_store::messages::NewMessage;

/// Learns the position of a message before anybody else can.
///
/// `numbered` is called at most once for each attempt to store the message, before its commit. If that attempt fails, or its
/// outcome is unknown, `failed` follows.
pub trait Numbered: Send + Sync {
    /// The message will be stored with this seq.
    fn numbered(&self, seq: u64);
    /// It was not stored with that seq, or nobody knows.
    fn failed(&self);
}

/// A message to publish.
pub struct Outgoing {
    /// What to store.
    pub message: NewMessage,
    /// For a sender that must know the position before the message is delivered. Not called for a message that had been
    /// stored before.
    pub numbered: Option<Box<dyn Numbered>>,
}

impl From<NewMessage> for Outgoing {
    fn from(message: NewMessage) -> Self {
        Self {
            message,
            numbered: None,
        }
    }
}

/// The position of a published message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Published {
    /// In the channel.
    pub seq: u64,
    /// Whether it had been stored before, with the same key: it was not published again.
    pub is_repeated: bool,
}
