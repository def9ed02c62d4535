//! The gate in front of a node's history: lets through what its [`Limit`] allows, what is stored first before the rest.

use std::{collections::BTreeSet, time::Duration};

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
    /// Who waits; the first is let in first.
    waiting: BTreeSet<Turn>,
    /// Counts who came.
    came: u64,
}

/// Where a request stands among others: the turn that it was given, and of equal ones who came first.
type Turn = (u64, u64);

/// A place among those who wait.
struct Place<'a> {
    pace: &'a Pace,
    turn: Turn,
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
                waiting: BTreeSet::new(),
                came: 0,
            }),
            left: Notify::new(),
        }
    }

    /// Waits until a request may be sent; of those who wait the lowest turn is let in first. While the node wants to
    /// be left alone nobody is: then for how long it does.
    pub(super) async fn enter(&self, turn: u64) -> Result<Pass<'_>, Duration> {
        let place = self.place(turn);
        loop {
            let left = self.left.notified();
            tokio::pin!(left);
            // Listening before looking: a pass that is given back in between is not missed.
            left.as_mut().enable();
            {
                let mut state = self.state.lock();
                if let Some(pause) = state.limit.pause(Instant::now()) {
                    return Err(pause);
                }
                let is_next = state.waiting.first() == Some(&place.turn);
                if is_next && state.in_flight < state.limit.requests() {
                    state.in_flight += 1;
                    return Ok(Pass {
                        pace: self,
                        blocks: state.limit.blocks(),
                    });
                }
            }
            left.await;
        }
    }

    /// As [`Pace::enter`], and waits for as long as the node wants to be left alone.
    pub(super) async fn enter_later(&self, turn: u64) -> Pass<'_> {
        loop {
            match self.enter(turn).await {
                Ok(pass) => return pass,
                Err(pause) => tokio::time::sleep(pause).await,
            }
        }
    }

    fn place(&self, turn: u64) -> Place<'_> {
        let mut state = self.state.lock();
        state.came += 1;
        let turn = (turn, state.came);
        state.waiting.insert(turn);
        Place { pace: self, turn }
    }

    /// What is asked for at once now: blocks a request, requests in flight.
    pub(super) fn now(&self) -> (usize, usize) {
        let state = self.state.lock();
        (state.limit.blocks(), state.limit.requests())
    }

    pub(super) fn unbatched(&self) {
        self.state.lock().limit.unbatched();
    }

    pub(super) fn batched(&self) {
        self.state.lock().limit.batched();
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
            Err(error) if error.is_outage() => limit.slow(asked),
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

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.pace.state.lock().waiting.remove(&self.turn);
        // Who is the first now may find room as well.
        self.pace.left.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    fn pace() -> Pace {
        Pace::new(Limit::new(10, 1, Duration::from_secs(60)))
    }

    #[tokio::test]
    async fn of_those_who_wait_the_lowest_turn_is_let_in_first_whoever_came_first() {
        let pace = pace();
        let inside = pace.enter(0).await.unwrap();
        let mut waiting: Vec<_> = [5, 3, 4].map(|turn| Box::pin(pace.enter(turn))).into();
        for one in &mut waiting {
            assert!(one.now_or_never().is_none());
        }
        drop(inside);
        // The others look first, and leave the room to the lowest.
        assert!((&mut waiting[2]).now_or_never().is_none());
        assert!((&mut waiting[0]).now_or_never().is_none());
        let third = (&mut waiting[1]).now_or_never().unwrap().unwrap();
        drop(third);
        assert!((&mut waiting[0]).now_or_never().is_none());
        // One that is given up holds up nobody.
        drop(waiting.remove(2));
        let fifth = (&mut waiting[0]).now_or_never().unwrap();
        assert_eq!(fifth.unwrap().blocks, 4);
    }

    #[tokio::test]
    async fn who_waits_hears_at_once_that_the_node_wants_to_be_left_alone() {
        let pace = pace();
        let inside = pace.enter(0).await.unwrap();
        let mut waiting = Box::pin(pace.enter(1));
        assert!((&mut waiting).now_or_never().is_none());
        let rest = Duration::from_secs(50);
        pace.learn::<()>(
            4,
            &Err(NodeError::Throttled {
                url: String::new(),
                reason: "429".to_owned(),
                retry_after: Some(rest),
            }),
        );
        drop(inside);
        let pause = waiting.await.err().unwrap();
        assert!(pause <= rest && pause > rest / 2, "{pause:?}");
        assert!(pace.enter(2).await.is_err());
    }
}
