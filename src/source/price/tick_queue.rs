//! Ticks on their way from the feeds to the writer, bounded: while the writer is slow, a source's newer tick takes the
//! place of its older one.

use std::{collections::BTreeMap, sync::Arc};

use parking_lot::Mutex;
use rustc_hash::FxHashMap;
use tokio::sync::Notify;

use super::{FeedState, feed_state::FeedStates};
use crate::model::{Tick, Token};

/// The feeds' end. Cheap to clone; sending never waits.
#[derive(Debug, Clone)]
pub struct TickSink(Arc<Shared>);

/// The writer's end.
#[derive(Debug)]
pub struct TickQueue(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    waiting: Mutex<Waiting>,
    came: Notify,
    capacity: usize,
    states: FeedStates,
}

#[derive(Debug, Default)]
struct Waiting {
    /// In the order in which they came.
    ticks: Vec<Tick>,
    /// Where the newest of each source stands in `ticks`.
    newest: FxHashMap<(Token, Arc<str>), usize>,
}

/// Both ends of a new queue that holds `capacity` ticks, and beyond that one a source.
pub fn tick_queue(capacity: usize) -> (TickSink, TickQueue) {
    let shared = Arc::new(Shared {
        waiting: Mutex::default(),
        came: Notify::new(),
        capacity,
        states: FeedStates::default(),
    });
    (TickSink(shared.clone()), TickQueue(shared))
}

impl TickSink {
    /// Hands over a tick. In a full queue it replaces the newest of its source that waits, if one does.
    pub fn send(&self, tick: Tick) {
        let mut waiting = self.0.waiting.lock();
        let source = (tick.token.clone(), tick.source.clone());
        let full = waiting.ticks.len() >= self.0.capacity;
        match waiting.newest.get(&source).copied() {
            Some(at) if full => waiting.ticks[at] = tick,
            _ => {
                let at = waiting.ticks.len();
                waiting.newest.insert(source, at);
                waiting.ticks.push(tick);
            }
        }
        drop(waiting);
        self.0.came.notify_one();
    }

    /// Tells how the feed stands with a source from now on.
    pub fn tell(&self, token: &Token, source: &Arc<str>, state: FeedState) {
        self.0.states.tell(token, source, state);
    }

    /// How the feeds stand with each source that they told of, by token and source.
    pub fn states(&self) -> BTreeMap<(Token, Arc<str>), FeedState> {
        self.0.states.all()
    }
}

impl TickQueue {
    /// All that wait, at least one, in the order in which they came.
    pub async fn next(&mut self) -> Vec<Tick> {
        loop {
            let waiting = std::mem::take(&mut *self.0.waiting.lock());
            if !waiting.ticks.is_empty() {
                return waiting.ticks;
            }
            self.0.came.notified().await;
        }
    }
}
