//! Commits on their way to the sockets: what the fan-out's latency is measured from.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

/// Most commits measured in one round of a flusher.
const MOST: usize = 1_024;

/// One commit. It has arrived when the last flusher that writes something of it lets go of it, and then says how long
/// it took.
pub struct Way {
    at: Instant,
    lost: AtomicBool,
    arrived: Box<dyn Fn(Duration) + Send + Sync>,
}

impl Way {
    /// Of what was committed at `at`.
    pub fn new(at: Instant, arrived: impl Fn(Duration) + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Self {
            at,
            lost: AtomicBool::new(false),
            arrived: Box::new(arrived),
        })
    }
}

impl Drop for Way {
    fn drop(&mut self) {
        if !self.lost.load(Ordering::Relaxed) {
            (self.arrived)(self.at.elapsed());
        }
    }
}

/// The commits that one flusher has something of.
#[derive(Default)]
pub struct Commits(Vec<Arc<Way>>);

impl Commits {
    /// One more, unless there are too many: then it is not measured at all, rather than wrongly.
    pub fn note(&mut self, way: &Arc<Way>) {
        if self.0.len() < MOST {
            self.0.push(way.clone());
        } else {
            way.lost.store(true, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    fn counted(arrived: &Arc<AtomicUsize>) -> Arc<Way> {
        let arrived = arrived.clone();
        Way::new(Instant::now(), move |_| {
            arrived.fetch_add(1, Ordering::Relaxed);
        })
    }

    #[test]
    fn a_commit_arrives_once_with_the_last_of_the_flushers() {
        let arrived = Arc::default();
        let (mut one, mut other) = (Commits::default(), Commits::default());
        let way = counted(&arrived);
        one.note(&way);
        other.note(&way);
        drop(way);
        drop(one);
        assert_eq!(arrived.load(Ordering::Relaxed), 0);
        drop(other);
        assert_eq!(arrived.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn a_round_measures_each_of_its_commits_up_to_a_bound() {
        let (arrived, mut commits) = (Arc::default(), Commits::default());
        for _ in 0..2 * MOST {
            commits.note(&counted(&arrived));
        }
        assert_eq!(arrived.load(Ordering::Relaxed), 0);
        drop(commits);
        assert_eq!(arrived.load(Ordering::Relaxed), MOST);
    }
}
