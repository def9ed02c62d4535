//! How a feed stands with each source that it reads, for `/status`.

use std::{collections::BTreeMap, sync::Arc};

use parking_lot::Mutex;

use crate::model::Token;

/// How a feed stands with one source now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FeedState {
    /// Not connected yet, or not any more; with what ended the last connection, in words for people.
    Connecting { reason: Option<Arc<str>> },
    /// Connected, and it gave a tick since.
    Live,
    /// Connected, but nothing was said about this source since. Some venues answer in this way to a symbol that they
    /// do not know.
    Silent,
    /// Connected, and the venue says that it does not trade as usual, or soon will not; in its words.
    Limited { reason: Arc<str> },
    /// The venue does not serve this source, and says why.
    Refused { reason: Arc<str> },
}

impl FeedState {
    /// One word for it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Connecting { .. } => "connecting",
            Self::Live => "live",
            Self::Silent => "silent",
            Self::Limited { .. } => "limited",
            Self::Refused { .. } => "refused",
        }
    }

    /// Why it is so, when there is more to say.
    pub fn reason(&self) -> Option<&str> {
        match self {
            Self::Connecting { reason } => reason.as_deref(),
            Self::Limited { reason } | Self::Refused { reason } => Some(reason),
            Self::Live | Self::Silent => None,
        }
    }
}

/// The state of each source that a feed told of: one entry a source, whatever happens.
#[derive(Debug, Default)]
pub(super) struct FeedStates(Mutex<BTreeMap<(Token, Arc<str>), FeedState>>);

impl FeedStates {
    pub(super) fn tell(&self, token: &Token, source: &Arc<str>, state: FeedState) {
        let key = (token.clone(), source.clone());
        self.0.lock().insert(key, state);
    }

    pub(super) fn all(&self) -> BTreeMap<(Token, Arc<str>), FeedState> {
        self.0.lock().clone()
    }
}
