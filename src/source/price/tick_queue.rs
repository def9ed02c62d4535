//! Ticks on their way from the feeds to the writer, bounded: while the writer is slow, a source's newer tick takes the
//! place of its older one. What no price can be made of stops here, so that one bad tick holds up no commit.

use std::{collections::BTreeMap, sync::Arc};

use bigdecimal::num_bigint::Sign;
use metrics::counter;
use parking_lot::{Mutex, MutexGuard};
use rustc_hash::FxHashMap;
use tokio::{sync::Notify, time::Instant};

use super::{
    FeedState, TickFault,
    clock::Clock,
    decimal::{is_bounded, is_price},
    feed_state::FeedStates,
    venue_time::MOST_AHEAD_MS,
};
use crate::model::{Tick, Token, now_ms};

const CONFLATED: &str = "chaincast_price_ticks_conflated_total";
/// Ticks that are handed over at once: a transaction of these ends in time on a slow database too.
const MOST_AT_ONCE: usize = 8_192;

/// The feeds' end. Cheap to clone; sending never waits.
#[derive(Debug, Clone)]
pub struct TickSink(Arc<Shared>);

/// The writer's end.
#[derive(Debug)]
pub struct TickQueue(Arc<Shared>);

/// A source of a token, by its name.
pub type SourceKey = (Token, Arc<str>);

#[derive(Debug)]
struct Shared {
    waiting: Mutex<Waiting>,
    came: Notify,
    capacity: usize,
    states: FeedStates,
    clock: Mutex<Clock>,
}

#[derive(Debug, Default)]
struct Waiting {
    /// In the order in which they came.
    ticks: Vec<Tick>,
    /// Where the newest of each source stands in `ticks`.
    newest: FxHashMap<SourceKey, usize>,
}

/// Both ends of a new queue that holds `capacity` ticks, and beyond that one a source.
pub fn tick_queue(capacity: usize) -> (TickSink, TickQueue) {
    super::metrics::describe();
    counter!(CONFLATED).increment(0);
    let shared = Arc::new(Shared {
        waiting: Mutex::default(),
        came: Notify::new(),
        capacity,
        states: FeedStates::default(),
        clock: Mutex::default(),
    });
    (TickSink(shared.clone()), TickQueue(shared))
}

impl Waiting {
    /// In a full queue a tick replaces the newest of its source that waits, if one does.
    fn push(&mut self, tick: Tick, capacity: usize) {
        let source = (tick.token.clone(), tick.source.clone());
        match self.newest.get(&source).copied() {
            Some(at) if self.ticks.len() >= capacity => {
                counter!(CONFLATED).increment(1);
                self.ticks[at] = tick;
            }
            _ => {
                self.newest.insert(source, self.ticks.len());
                self.ticks.push(tick);
            }
        }
    }
}

impl TickSink {
    /// Hands over a tick, as of now when its clock is up to a minute ahead of ours: nothing was observed after it was
    /// heard, and a venue whose clock is wrong must not keep its price fresh for longer. A tick that is further ahead, or
    /// can be no price, is counted and left out.
    pub fn send(&self, mut tick: Tick) {
        let now = now_ms();
        if let Err(fault) = check(&tick, now) {
            super::metrics::refused(&fault);
            tracing::debug!(
                token = %tick.token, source = %tick.source, reason = %fault,
                "a price source gave no price"
            );
            return;
        }
        tick.observed_at = tick.observed_at.min(now);
        self.0.waiting.lock().push(tick, self.0.capacity);
        self.0.came.notify_one();
    }

    /// Tells how the feed stands with a source from now on.
    pub fn tell(&self, token: &Token, source: &Arc<str>, state: FeedState) {
        self.0.states.tell(token, source, state);
    }

    /// What all feeds say of this machine's clock.
    pub(super) fn clock(&self) -> MutexGuard<'_, Clock> {
        self.0.clock.lock()
    }

    /// How the feeds stand with each source that they told of, by token and source.
    pub fn states(&self) -> BTreeMap<SourceKey, FeedState> {
        self.0.states.all()
    }
}

impl TickQueue {
    /// Those that wait, at least one and at most 8,192, in the order in which they came. Loses nothing when it is
    /// dropped before.
    pub async fn next(&mut self) -> Vec<Tick> {
        loop {
            let ticks = self.take();
            if !ticks.is_empty() {
                return ticks;
            }
            self.0.came.notified().await;
        }
    }

    /// Those that wait now, which may be none, at most 8,192.
    pub fn take(&mut self) -> Vec<Tick> {
        let mut waiting = self.0.waiting.lock();
        let mut ticks = std::mem::take(&mut *waiting).ticks;
        if ticks.len() > MOST_AT_ONCE {
            for tick in ticks.split_off(MOST_AT_ONCE) {
                waiting.push(tick, usize::MAX);
            }
        }
        ticks
    }

    /// Puts ticks back in front of those that wait: they could not be stored. The bound holds.
    pub fn restore(&mut self, ticks: Vec<Tick>) {
        let mut waiting = self.0.waiting.lock();
        let newer = std::mem::take(&mut *waiting).ticks;
        for tick in ticks.into_iter().chain(newer) {
            waiting.push(tick, self.0.capacity);
        }
        drop(waiting);
        self.0.came.notify_one();
    }

    /// As [`TickSink::states`].
    pub fn states(&self) -> BTreeMap<SourceKey, FeedState> {
        self.0.states.all()
    }

    /// By how much this machine's clock is ahead, in ms, while every venue says that it is off.
    pub fn clock_off_ms(&self) -> Option<i64> {
        self.0.clock.lock().off_ms(Instant::now())
    }

    /// Forgets what waits, and what the feeds said of the clock: they were stopped.
    pub fn clear(&mut self) {
        *self.0.waiting.lock() = Waiting::default();
        self.0.clock.lock().clear();
    }
}

fn check(tick: &Tick, now_ms: i64) -> Result<(), TickFault> {
    if !is_bounded(&tick.price) {
        return Err(TickFault::OutOfBounds);
    }
    if !is_price(&tick.price) {
        return Err(TickFault::NotPositive(tick.price.to_string()));
    }
    let confidence = tick.confidence.as_ref();
    if confidence.is_some_and(|value| !is_bounded(value) || value.sign() == Sign::Minus) {
        return Err(TickFault::OutOfBounds);
    }
    if tick.observed_at < 0 {
        return Err(TickFault::OutOfBounds);
    }
    let ahead_ms = tick.observed_at.saturating_sub(now_ms);
    if ahead_ms > MOST_AHEAD_MS.cast_signed() {
        return Err(TickFault::Ahead {
            ahead_ms: ahead_ms.unsigned_abs(),
            clock: "this machine's clock",
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tick(source: &str, price: &str) -> Tick {
        Tick {
            token: "ETH".parse().unwrap(),
            source: source.into(),
            quote: "USD".into(),
            price: price.parse().unwrap(),
            confidence: None,
            observed_at: 1_000,
            origin: None,
        }
    }

    fn prices(ticks: &[Tick]) -> Vec<String> {
        let texts = ticks
            .iter()
            .map(|tick| format!("{} {}", tick.source, tick.price));
        texts.collect()
    }

    #[test]
    fn a_full_queue_keeps_the_newest_of_each_source_in_its_place() {
        let (sink, mut queue) = tick_queue(3);
        for (source, price) in [("a", "1"), ("a", "2"), ("b", "3"), ("a", "4"), ("c", "5")] {
            sink.send(tick(source, price));
        }
        sink.send(tick("c", "6"));
        assert_eq!(prices(&queue.take()), ["a 1", "a 4", "b 3", "c 6"]);
        assert!(queue.take().is_empty());
    }

    #[test]
    fn what_could_not_be_stored_comes_first_again_and_the_bound_holds() {
        let (sink, mut queue) = tick_queue(3);
        sink.send(tick("a", "1"));
        sink.send(tick("b", "2"));
        let failed = queue.take();
        sink.send(tick("a", "3"));
        sink.send(tick("a", "4"));
        queue.restore(failed);
        assert_eq!(prices(&queue.take()), ["a 1", "b 2", "a 4"]);
    }

    #[test]
    fn what_can_be_no_price_is_left_out() {
        let (sink, mut queue) = tick_queue(8);
        for price in ["0", "-3", "1e5000", "1e-5000", "1e999999999999"] {
            sink.send(tick("a", price));
        }
        let mut wide = tick("a", "1");
        wide.confidence = Some("-1".parse().unwrap());
        sink.send(wide);
        let mut old = tick("a", "1");
        old.observed_at = i64::MIN;
        sink.send(old);
        assert!(queue.take().is_empty());
    }

    #[test]
    fn a_time_ahead_counts_as_now_up_to_a_minute_and_is_refused_beyond() {
        let (sink, mut queue) = tick_queue(8);
        for ahead in [i64::MAX, now_ms() + 120_000] {
            sink.send(Tick {
                observed_at: ahead,
                ..tick("a", "7")
            });
        }
        assert!(queue.take().is_empty());
        sink.send(Tick {
            observed_at: now_ms() + 30_000,
            ..tick("a", "7")
        });
        let taken = queue.take();
        assert!(taken[0].observed_at <= now_ms(), "{taken:?}");
    }
}
