//! Measures the fan-out latency: the time from a commit to the last write that sends its updates.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

/// Maximum number of commits measured per flush round.
const MAX_COMMITS: usize = 1_024;

/// One commit, shared by the flushers that write its updates. When the last one drops it, `on_written` is called with the
/// time since the commit.
pub struct PendingCommit {
    at: Instant,
    unmeasured: AtomicBool,
    on_written: Box<dyn Fn(Duration) + Send + Sync>,
}

impl PendingCommit {
    /// A commit made at `at`.
    pub fn new(at: Instant, on_written: impl Fn(Duration) + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Self {
            at,
            unmeasured: AtomicBool::new(false),
            on_written: Box::new(on_written),
        })
    }
}

impl Drop for PendingCommit {
    fn drop(&mut self) {
        if !self.unmeasured.load(Ordering::Relaxed) {
            (self.on_written)(self.at.elapsed());
        }
    }
}

/// The commits that one flusher writes updates of.
#[derive(Default)]
pub(crate) struct PendingCommits(Vec<Arc<PendingCommit>>);

impl PendingCommits {
    /// Adds a commit. Beyond the limit the commit is not measured at all, rather than wrongly.
    pub(crate) fn add(&mut self, commit: &Arc<PendingCommit>) {
        if self.0.len() < MAX_COMMITS {
            self.0.push(commit.clone());
        } else {
            commit.unmeasured.store(true, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    fn counted(on_written: &Arc<AtomicUsize>) -> Arc<PendingCommit> {
        let on_written = on_written.clone();
        PendingCommit::new(Instant::now(), move |_| {
            on_written.fetch_add(1, Ordering::Relaxed);
        })
    }

    #[test]
    fn commit_is_measured_once_by_the_last_flusher() {
        let on_written = Arc::default();
        let (mut one, mut other) = (PendingCommits::default(), PendingCommits::default());
        let commit = counted(&on_written);
        one.add(&commit);
        other.add(&commit);
        drop(commit);
        drop(one);
        assert_eq!(on_written.load(Ordering::Relaxed), 0);
        drop(other);
        assert_eq!(on_written.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn round_measures_commits_up_to_the_limit() {
        let (on_written, mut commits) = (Arc::default(), PendingCommits::default());
        for _ in 0..2 * MAX_COMMITS {
            commits.add(&counted(&on_written));
        }
        assert_eq!(on_written.load(Ordering::Relaxed), 0);
        drop(commits);
        assert_eq!(on_written.load(Ordering::Relaxed), MAX_COMMITS);
    }
}
