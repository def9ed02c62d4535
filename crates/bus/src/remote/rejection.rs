//! Why messages from Redis are rejected.

/// Why a message is rejected; [`Self::label`] is a metric label.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rejection {
    /// Longer than any valid message.
    TooLarge,
    /// Not a message of chaincast.
    Malformed,
    /// No signature, although this process has a key.
    Unsigned,
    /// The signature is invalid.
    Forged,
    /// The store has none of the announced updates.
    Unfounded,
    /// Too many unfounded messages.
    TooMany,
    /// Messages arrived faster than they were read; one or more were dropped.
    Overflow,
    /// A live message that is old, or that arrived before.
    Replayed,
}

impl Rejection {
    pub(crate) const ALL: [Self; 8] = [
        Self::TooLarge,
        Self::Malformed,
        Self::Unsigned,
        Self::Forged,
        Self::Unfounded,
        Self::TooMany,
        Self::Overflow,
        Self::Replayed,
    ];

    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::TooLarge => "too_large",
            Self::Malformed => "malformed",
            Self::Unsigned => "unsigned",
            Self::Forged => "forged",
            Self::Unfounded => "unfounded",
            Self::TooMany => "too_many",
            Self::Overflow => "overflow",
            Self::Replayed => "replayed",
        }
    }
}
