//! The flushers: tasks that write the queued packets of their sessions, once per session and round, however many updates
//! were queued meanwhile.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::{fanout::Fanout, flush_io::FlushIo};
use crate::{
    observe::{GatewayMetrics, PendingCommits},
    session::Session,
};

/// Sessions written to before the task yields.
const WRITES_PER_YIELD: usize = 256;

/// Consecutive flush rounds during which new packets arrived, after which the flusher counts as under load.
const BUSY_ROUNDS: u32 = 4;

/// Resolution of the runtime's timers.
const MIN_PAUSE: Duration = Duration::from_millis(1);

/// See the module's description.
pub(crate) struct Flushers {
    shards: Box<[Shard]>,
    /// Sessions assigned so far.
    assigned: AtomicUsize,
    linger: Duration,
    metrics: Arc<GatewayMetrics>,
}

/// The sessions that one flusher writes for.
#[derive(Default)]
struct Shard {
    pending: Mutex<Pending>,
    /// Notified when `pending` is not empty.
    filled: Notify,
}

/// Sessions with packets to write, and the commits that they belong to.
#[derive(Default)]
struct Pending {
    dirty: Vec<Arc<Session>>,
    commits: PendingCommits,
}

impl Flushers {
    /// Under load, each holds packets back for up to `linger`. The caller runs each with [`Self::run`].
    pub(crate) fn new(count: usize, linger: Duration, metrics: Arc<GatewayMetrics>) -> Self {
        Self {
            shards: (0..count.max(1)).map(|_| Shard::default()).collect(),
            assigned: AtomicUsize::new(0),
            linger,
            metrics,
        }
    }

    pub(crate) fn count(&self) -> usize {
        self.shards.len()
    }

    /// The flusher of the next session, round robin.
    pub(crate) fn assign(&self) -> usize {
        self.assigned.fetch_add(1, Ordering::Relaxed) % self.shards.len()
    }

    /// Wakes the flushers of the sessions that have packets to write. The fan-out latency is measured from the commit time
    /// `committed`, if given.
    pub(crate) fn wake(&self, fanout: Fanout, committed: Option<Instant>) {
        let mut tracked = None;
        for (number, (shard, dirty)) in self.shards.iter().zip(fanout.dirty).enumerate() {
            // Packets for sessions that are dirty already: the commit ends with the flusher's next round, too.
            let already_dirty = fanout.already_dirty & (1 << number) != 0;
            if dirty.is_empty() && !already_dirty {
                continue;
            }
            let mut pending = shard.pending.lock();
            if let Some(at) = committed {
                pending
                    .commits
                    .add(tracked.get_or_insert_with(|| self.metrics.track_commit(at)));
            }
            if pending.dirty.is_empty() {
                pending.dirty = dirty;
            } else {
                pending.dirty.extend(dirty);
            }
            drop(pending);
            shard.filled.notify_one();
        }
    }

    /// Runs forever: writes each dirty session of its shard once per round.
    pub(crate) async fn run(&self, shard: usize, mut flush_io: FlushIo) {
        let Some(shard) = self.shards.get(shard) else {
            return;
        };
        let mut busy = 0;
        loop {
            shard.filled.notified().await;
            let started = Instant::now();
            let Pending { dirty, commits } = std::mem::take(&mut *shard.pending.lock());
            for sessions in dirty.chunks(WRITES_PER_YIELD) {
                self.metrics.sent_all(&flush_io.flush(sessions));
                tokio::task::yield_now().await;
            }
            drop(commits);
            // Under load (new packets during every round of the last BUSY_ROUNDS) a pause lets frames accumulate, because
            // a write costs nearly the same for one frame or many. The pause is proportional to the time of the round, so
            // few sessions do not pay for it.
            busy = match shard.pending.lock().dirty.is_empty() {
                true => 0,
                false => BUSY_ROUNDS.min(busy + 1),
            };
            let pause = self.linger.min(started.elapsed() * 3 / 2);
            if busy == BUSY_ROUNDS && pause >= MIN_PAUSE {
                tokio::time::sleep(pause).await;
            }
        }
    }
}
