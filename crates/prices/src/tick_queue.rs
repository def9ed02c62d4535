//! The bounded queue of ticks from the feeds to the price writer: in a full queue a source's newer tick replaces its
//! older one. Invalid ticks are rejected here, so that a bad tick cannot block a commit.

use std::{collections::BTreeMap, sync::Arc};

use bigdecimal::num_bigint::Sign;
use metrics::counter;
use parking_lot::{Mutex, MutexGuard};
use rustc_hash::FxHashMap;
use tokio::{sync::Notify, time::Instant};

use super::{
    FeedState, TickFault,
    decimal::{is_bounded, is_price},
    feed_state::FeedStates,
    venue_clock::VenueClock,
    venue_time::MAX_AHEAD_MS,
};
use chaincast_model::Tick;
use chaincast_protocol::{Token, now_ms};

const CONFLATED: &str = "chaincast_price_ticks_conflated_total";
/// Maximum ticks delivered at a time: a transaction of these is fast enough on a slow database too.
const MAX_BATCH: usize = 8_192;

/// The sending end, for feeds. Cheap to clone; sending never blocks.
#[derive(Debug, Clone)]
pub struct TickSink(Arc<SharedQueue>);

/// The receiving end, for the writer.
#[derive(Debug)]
pub struct TickQueue(Arc<SharedQueue>);

/// A token and the name of a source.
pub type SourceKey = (Token, Arc<str>);

#[derive(Debug)]
struct SharedQueue {
    pending: Mutex<Pending>,
    arrived: Notify,
    capacity: usize,
    states: FeedStates,
    clock: Mutex<VenueClock>,
}

#[derive(Debug, Default)]
struct Pending {
    /// In order of arrival.
    ticks: Vec<Tick>,
    /// Position in `ticks` of the newest tick of each source.
    newest: FxHashMap<SourceKey, usize>,
}

/// Creates a queue of `capacity` ticks; beyond that it holds one tick per source.
pub fn tick_queue(capacity: usize) -> (TickSink, TickQueue) {
    super::metrics::describe();
    counter!(CONFLATED).increment(0);
    let shared = Arc::new(SharedQueue {
        pending: Mutex::default(),
        arrived: Notify::new(),
        capacity,
        states: FeedStates::default(),
        clock: Mutex::default(),
    });
    (TickSink(shared.clone()), TickQueue(shared))
}

impl Pending {
    /// Adds a tick; in a full queue it replaces the newest pending one of its source.
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
    /// Sends a tick. A time up to a minute ahead of this clock counts as now: a venue with a fast clock must not keep
    /// its price fresh for longer. A tick further ahead, or without a valid price, is counted and dropped.
    pub fn send(&self, mut tick: Tick) {
        let now = now_ms();
        if let Err(fault) = check(&tick, now) {
            super::metrics::refused(&fault);
            tracing::debug!(
                token = %tick.token, source = %tick.source, reason = %fault,
                "no price from a price source"
            );
            return;
        }
        tick.observed_at = tick.observed_at.min(now);
        self.0.pending.lock().push(tick, self.0.capacity);
        self.0.arrived.notify_one();
    }

    /// Sets the state of a source.
    pub fn set_state(&self, token: &Token, source: &Arc<str>, state: FeedState) {
        self.0.states.set(token, source, state);
    }

    /// The offset of this machine's clock, as measured by all feeds.
    pub(super) fn clock(&self) -> MutexGuard<'_, VenueClock> {
        self.0.clock.lock()
    }

    /// The state of each reported source.
    pub fn states(&self) -> BTreeMap<SourceKey, FeedState> {
        self.0.states.all()
    }
}

impl TickQueue {
    /// Waits for ticks and takes them: 1 to 8,192, in order of arrival. Cancel safe.
    pub async fn next(&mut self) -> Vec<Tick> {
        loop {
            let ticks = self.take();
            if !ticks.is_empty() {
                return ticks;
            }
            self.0.arrived.notified().await;
        }
    }

    /// Takes the pending ticks: 0 to 8,192.
    pub fn take(&mut self) -> Vec<Tick> {
        let mut pending = self.0.pending.lock();
        let mut ticks = std::mem::take(&mut *pending).ticks;
        if ticks.len() > MAX_BATCH {
            for tick in ticks.split_off(MAX_BATCH) {
                pending.push(tick, usize::MAX);
            }
        }
        ticks
    }

    /// Returns ticks that could not be stored to the front of the queue, within its bound.
    pub fn restore(&mut self, ticks: Vec<Tick>) {
        let mut pending = self.0.pending.lock();
        let newer = std::mem::take(&mut *pending).ticks;
        for tick in ticks.into_iter().chain(newer) {
            pending.push(tick, self.0.capacity);
        }
        drop(pending);
        self.0.arrived.notify_one();
    }

    /// As [`TickSink::states`].
    pub fn states(&self) -> BTreeMap<SourceKey, FeedState> {
        self.0.states.all()
    }

    /// How far this machine's clock is ahead, in ms, while every venue shows an offset.
    pub fn clock_off_ms(&self) -> Option<i64> {
        self.0.clock.lock().off_ms(Instant::now())
    }

    /// Discards the pending ticks and the measured clock offset after the feeds stopped.
    pub fn clear(&mut self) {
        *self.0.pending.lock() = Pending::default();
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
    if ahead_ms > MAX_AHEAD_MS.cast_signed() {
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
    fn full_queue_keeps_newest_of_each_source() {
        let (sink, mut queue) = tick_queue(3);
        for (source, price) in [("a", "1"), ("a", "2"), ("b", "3"), ("a", "4"), ("c", "5")] {
            sink.send(tick(source, price));
        }
        sink.send(tick("c", "6"));
        assert_eq!(prices(&queue.take()), ["a 1", "a 4", "b 3", "c 6"]);
        assert!(queue.take().is_empty());
    }

    #[test]
    fn restore_puts_ticks_first_within_bound() {
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
    fn drops_invalid_ticks() {
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
    fn time_ahead_is_clamped_or_rejected() {
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
