//! Which methods a node supports to get receipts, as its answers show.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use chaincast_protocol::BlockRef;

/// `eth_getBlockReceipts` is tried again this long after it was refused.
pub(super) const RETRY_LIST_AFTER: Duration = Duration::from_secs(600);
/// After this many consecutive failures for single blocks, the method counts as refused.
const FAILED_LISTS: u32 = 3;

/// How `eth_getBlockReceipts` names a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Key {
    Hash,
    Number,
}

impl Key {
    pub(super) fn other(self) -> Self {
        match self {
            Self::Hash => Self::Number,
            Self::Number => Self::Hash,
        }
    }

    /// The parameters of the request.
    pub(super) fn of(self, block: BlockRef) -> String {
        match self {
            Self::Hash => format!("[\"{}\"]", block.hash),
            Self::Number => format!("[\"{:#x}\"]", block.number),
        }
    }
}

/// The known methods to get receipts from a node.
#[derive(Debug, Default)]
pub(super) struct ReceiptMethods(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// The only key that works, after the other was refused.
    only: Option<Key>,
    /// When to stop fetching them one by one.
    single_until: Option<Instant>,
    /// Consecutive failed lists of single blocks whose blocks succeeded.
    failed: u32,
}

impl ReceiptMethods {
    /// The key for a list of receipts; `None` to fetch them one by one.
    pub(super) fn key(&self, preferred: Key, now: Instant) -> Option<Key> {
        let mut state = self.0.lock();
        if state.single_until.is_some_and(|until| now < until) {
            return None;
        }
        if state.single_until.take().is_some() {
            (state.only, state.failed) = (None, 0);
        }
        Some(state.only.unwrap_or(preferred))
    }

    /// Records that only this key works; returns whether that is a change.
    pub(super) fn use_only(&self, key: Key) -> bool {
        self.0.lock().only.replace(key) != Some(key)
    }

    /// Records that neither key works; returns whether that is a change.
    pub(super) fn use_single(&self, now: Instant) -> bool {
        let mut state = self.0.lock();
        let changed = state.single_until.is_none_or(|until| until <= now);
        state.single_until = Some(now + RETRY_LIST_AFTER);
        changed
    }

    /// Records a successful list.
    pub(super) fn list_succeeded(&self) {
        self.0.lock().failed = 0;
    }

    /// Records a failed list of a single block whose block succeeded; returns whether so many failed in a row that the
    /// method is at fault.
    pub(super) fn list_failed(&self) -> bool {
        let mut state = self.0.lock();
        state.failed = state.failed.saturating_add(1);
        state.failed >= FAILED_LISTS
    }

    /// Resets everything: it may be another node.
    pub(super) fn reset(&self) {
        *self.0.lock() = State::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refused_method_is_retried_later() {
        let (methods, now) = (ReceiptMethods::default(), Instant::now());
        assert_eq!(methods.key(Key::Hash, now), Some(Key::Hash));
        assert!(methods.use_only(Key::Number) && !methods.use_only(Key::Number));
        assert_eq!(methods.key(Key::Hash, now), Some(Key::Number));
        assert!(methods.use_single(now) && !methods.use_single(now));
        assert_eq!(methods.key(Key::Number, now), None);
        assert_eq!(
            methods.key(Key::Hash, now + RETRY_LIST_AFTER),
            Some(Key::Hash)
        );
        methods.use_single(now);
        methods.reset();
        assert_eq!(methods.key(Key::Number, now), Some(Key::Number));
    }

    #[test]
    fn only_consecutive_failures_count() {
        let methods = ReceiptMethods::default();
        assert!(!methods.list_failed() && !methods.list_failed());
        methods.list_succeeded();
        assert!(!methods.list_failed() && !methods.list_failed() && methods.list_failed());
        // After the retry time it has all attempts again.
        let now = Instant::now();
        methods.use_single(now);
        methods.key(Key::Number, now + RETRY_LIST_AFTER);
        assert!(!methods.list_failed());
    }
}
