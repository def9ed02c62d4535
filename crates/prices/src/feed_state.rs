//! The state of each source of a feed, for `/status`.

use std::{collections::BTreeMap, sync::Arc};

use parking_lot::Mutex;

use chaincast_protocol::Token;

/// The state of one source of a feed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FeedState {
    /// Not connected, with the reason why the last connection ended.
    Connecting {
        /// Why the last connection ended, or a contract cannot be read yet; `None` at first.
        reason: Option<Arc<str>>,
    },
    /// Connected, with a tick since.
    Live,
    /// Connected, without data for this source since. Some venues answer an unknown symbol in this way.
    Silent,
    /// Connected, and the venue reports restricted trading or announces it.
    Limited {
        /// What the venue reports.
        reason: Arc<str>,
    },
    /// The venue rejects this source.
    Refused {
        /// The venue's error, or what is wrong with the contract.
        reason: Arc<str>,
    },
}

impl FeedState {
    /// Name of the state.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Connecting { .. } => "connecting",
            Self::Live => "live",
            Self::Silent => "silent",
            Self::Limited { .. } => "limited",
            Self::Refused { .. } => "refused",
        }
    }

    /// Reason of the state, if any.
    pub fn reason(&self) -> Option<&str> {
        match self {
            Self::Connecting { reason } => reason.as_deref(),
            Self::Limited { reason } | Self::Refused { reason } => Some(reason),
            Self::Live | Self::Silent => None,
        }
    }
}

/// The latest state of each source.
#[derive(Debug, Default)]
pub(super) struct FeedStates(Mutex<BTreeMap<(Token, Arc<str>), FeedState>>);

impl FeedStates {
    pub(super) fn set(&self, token: &Token, source: &Arc<str>, state: FeedState) {
        let key = (token.clone(), source.clone());
        self.0.lock().insert(key, state);
    }

    pub(super) fn all(&self) -> BTreeMap<(Token, Arc<str>), FeedState> {
        self.0.lock().clone()
    }
}
