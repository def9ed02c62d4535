//! The gate in front of a node's history: lets through what its [`Limit`] allows.

use parking_lot::Mutex;
use tokio::{sync::Notify, time::Instant};

use super::{NodeError, limit::Limit};

/// One node's limit and what is in flight.
pub(super) struct Pace {
    state: Mutex<State>,
    left: Notify,
}

struct State {
    limit: Limit,
    in_flight: usize,
}

/// The right to have one request in flight.
pub(super) struct Pass<'a> {
    pace: &'a Pace,
    /// Most blocks it may be for.
    pub(super) blocks: usize,
}

impl Pace {
    pub(super) fn new(limit: Limit) -> Self {
        Self {
            state: Mutex::new(State {
                limit,
                in_flight: 0,
            }),
            left: Notify::new(),
        }
    }

    /// Waits until a request may be sent.
    pub(super) async fn enter(&self) -> Pass<'_> {
        loop {
            let left = self.left.notified();
            tokio::pin!(left);
            // Listening before looking: a pass that is given back in between is not missed.
            left.as_mut().enable();
            let pause = {
                let mut state = self.state.lock();
                let pause = state.limit.pause(Instant::now());
                if pause.is_none() && state.in_flight < state.limit.requests() {
                    state.in_flight += 1;
                    return Pass {
                        pace: self,
                        blocks: state.limit.blocks(),
                    };
                }
                pause
            };
            match pause {
                Some(pause) => tokio::time::sleep(pause).await,
                None => left.await,
            }
        }
    }

    /// What is asked for at once now: blocks a request, requests in flight.
    pub(super) fn now(&self) -> (usize, usize) {
        let state = self.state.lock();
        (state.limit.blocks(), state.limit.requests())
    }

    pub(super) fn unbatched(&self) {
        self.state.lock().limit.unbatched();
    }

    /// Learns from how a request for so many blocks ended.
    pub(super) fn learn<T>(&self, asked: usize, ended: &Result<T, NodeError>) {
        let limit = &mut self.state.lock().limit;
        match ended {
            Ok(_) => limit.succeeded(),
            Err(NodeError::TooLarge { .. }) => limit.too_large(asked),
            Err(NodeError::Throttled { retry_after, .. }) => {
                limit.throttled(Instant::now(), asked, *retry_after);
            }
            Err(NodeError::Unreachable { .. }) => limit.slow(asked),
            // Its pace is not what is wrong.
            Err(_) => {}
        }
        self.left.notify_waiters();
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        self.pace.state.lock().in_flight -= 1;
        self.pace.left.notify_waiters();
    }
}
