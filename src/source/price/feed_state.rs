//! How a source outside the chains stands, as its feed sees it.

/// What a feed last heard of one of its sources.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FeedState {
    /// Not connected, or not subscribed yet.
    Connecting,
    /// Subscribed, and the venue answers.
    Live,
    /// Connected, and nothing comes.
    Silent,
    /// The venue does not serve it.
    Refused {
        /// The venue's own words, or what is wrong with them; for people.
        reason: String,
    },
}

impl FeedState {
    /// As it is stored and shown.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Connecting => "connecting",
            Self::Live => "live",
            Self::Silent => "silent",
            Self::Refused { .. } => "refused",
        }
    }

    /// Why it is refused.
    pub fn reason(&self) -> Option<&str> {
        match self {
            Self::Refused { reason } => Some(reason),
            _ => None,
        }
    }
}
