//! Admits requests for history to a node as its [`RequestLimit`] allows, the next blocks to store first.

use std::{collections::BTreeSet, time::Duration};

use parking_lot::Mutex;
use tokio::{sync::Notify, time::Instant};

use super::{NodeError, request_limit::RequestLimit};

/// The limit of one node and its requests in flight.
pub(super) struct RequestGate {
    state: Mutex<State>,
    released: Notify,
}

struct State {
    limit: RequestLimit,
    in_flight: usize,
    /// Waiting requests; the first is admitted first.
    waiting: BTreeSet<Turn>,
    /// Number of requests so far.
    arrivals: u64,
}

/// Order of a request: its turn, then its arrival.
type Turn = (u64, u64);

/// A waiting request.
struct QueuedTurn<'a> {
    gate: &'a RequestGate,
    turn: Turn,
}

/// Permission for one request in flight.
pub(super) struct RequestPermit<'a> {
    gate: &'a RequestGate,
    /// Most blocks of the request.
    pub(super) blocks: usize,
}

impl RequestGate {
    pub(super) fn new(limit: RequestLimit) -> Self {
        Self {
            state: Mutex::new(State {
                limit,
                in_flight: 0,
                waiting: BTreeSet::new(),
                arrivals: 0,
            }),
            released: Notify::new(),
        }
    }

    /// Waits until a request may be sent; the lowest turn is admitted first. While the node is paused, returns the
    /// remaining pause as an error.
    pub(super) async fn acquire(&self, turn: u64) -> Result<RequestPermit<'_>, Duration> {
        let queue = self.queue(turn);
        loop {
            let released = self.released.notified();
            tokio::pin!(released);
            // Subscribe before checking, so that a release in between is not missed.
            released.as_mut().enable();
            {
                let mut state = self.state.lock();
                if let Some(pause) = state.limit.pause(Instant::now()) {
                    return Err(pause);
                }
                let is_next = state.waiting.first() == Some(&queue.turn);
                if is_next && state.in_flight < state.limit.requests() {
                    state.in_flight += 1;
                    return Ok(RequestPermit {
                        gate: self,
                        blocks: state.limit.blocks(),
                    });
                }
            }
            released.await;
        }
    }

    /// As [`RequestGate::acquire`], but waits for the end of a pause.
    pub(super) async fn acquire_after_pause(&self, turn: u64) -> RequestPermit<'_> {
        loop {
            match self.acquire(turn).await {
                Ok(pass) => return pass,
                Err(pause) => tokio::time::sleep(pause).await,
            }
        }
    }

    fn queue(&self, turn: u64) -> QueuedTurn<'_> {
        let mut state = self.state.lock();
        state.arrivals += 1;
        let turn = (turn, state.arrivals);
        state.waiting.insert(turn);
        QueuedTurn { gate: self, turn }
    }

    /// The current limits: blocks per request, requests in flight.
    pub(super) fn current(&self) -> (usize, usize) {
        let state = self.state.lock();
        (state.limit.blocks(), state.limit.requests())
    }

    pub(super) fn disable_batches(&self) {
        self.state.lock().limit.disable_batches();
    }

    pub(super) fn enable_batches(&self) {
        self.state.lock().limit.enable_batches();
    }

    /// Adapts the limit to the result of a request for `blocks` blocks.
    pub(super) fn record<T>(&self, blocks: usize, result: &Result<T, NodeError>) {
        let limit = &mut self.state.lock().limit;
        match result {
            Ok(_) => limit.succeeded(),
            Err(NodeError::TooLarge { .. }) => limit.too_large(blocks),
            Err(NodeError::Throttled { retry_after, .. }) => {
                limit.throttled(Instant::now(), blocks, *retry_after);
            }
            Err(error) if error.is_outage() => limit.slow(blocks),
            // Not related to the request rate or size.
            Err(_) => {}
        }
        self.released.notify_waiters();
    }
}

impl Drop for RequestPermit<'_> {
    fn drop(&mut self) {
        self.gate.state.lock().in_flight -= 1;
        self.gate.released.notify_waiters();
    }
}

impl Drop for QueuedTurn<'_> {
    fn drop(&mut self) {
        self.gate.state.lock().waiting.remove(&self.turn);
        // The next in line may be admitted now.
        self.gate.released.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    fn gate() -> RequestGate {
        RequestGate::new(RequestLimit::new(10, 1, Duration::from_secs(60)))
    }

    #[tokio::test]
    async fn gate_admits_lowest_turn_first() {
        let gate = gate();
        let held = gate.acquire(0).await.unwrap();
        let mut waiting: Vec<_> = [5, 3, 4].map(|turn| Box::pin(gate.acquire(turn))).into();
        for one in &mut waiting {
            assert!(one.now_or_never().is_none());
        }
        drop(held);
        // The others run first, and leave the slot to the lowest turn.
        assert!((&mut waiting[2]).now_or_never().is_none());
        assert!((&mut waiting[0]).now_or_never().is_none());
        let third = (&mut waiting[1]).now_or_never().unwrap().unwrap();
        drop(third);
        assert!((&mut waiting[0]).now_or_never().is_none());
        // A dropped request blocks no other.
        drop(waiting.remove(2));
        let fifth = (&mut waiting[0]).now_or_never().unwrap();
        assert_eq!(fifth.unwrap().blocks, 4);
    }

    #[tokio::test]
    async fn gate_reports_pause_to_waiting_requests() {
        let gate = gate();
        let held = gate.acquire(0).await.unwrap();
        let mut waiting = Box::pin(gate.acquire(1));
        assert!((&mut waiting).now_or_never().is_none());
        let rest = Duration::from_secs(50);
        gate.record::<()>(
            4,
            &Err(NodeError::Throttled {
                url: String::new(),
                reason: "429".to_owned(),
                retry_after: Some(rest),
            }),
        );
        drop(held);
        let pause = waiting.await.err().unwrap();
        assert!(pause <= rest && pause > rest / 2, "{pause:?}");
        assert!(gate.acquire(2).await.is_err());
    }
}
