//! Unauthenticated hints from other processes that the store may have new updates.
//!
//! A hint costs at most one read of the store. Reads that find nothing are limited to [`MAX_UNFOUNDED_READS`] a second;
//! further hints are deferred to one read at the end of that second.

use std::time::Duration;

use rustc_hash::FxHashMap;
use tokio::{
    sync::broadcast::{
        Receiver,
        error::{RecvError, TryRecvError},
    },
    time::{Instant, sleep_until},
};

use super::remote::Hint;
use chaincast_protocol::Channel;

/// Hints queued for a slow hub; on overflow the hub reads all channels that advanced recently.
pub(super) const CAPACITY: usize = 256;
/// Most channels that one read names.
const MAX_CHANNELS: usize = 10_000;
/// Reads per [`RATE_WINDOW`] that may find nothing. The hub's regular poll of the store is not limited.
const MAX_UNFOUNDED_READS: u32 = 20;
const RATE_WINDOW: Duration = Duration::from_secs(1);

/// The hints received by one hub.
pub(super) struct Hints {
    /// `None` once all senders are gone.
    incoming: Option<Receiver<Hint>>,
    unfounded: u32,
    window_start: Instant,
    /// A hint was not followed: read at the end of the window.
    deferred: bool,
}

impl Hints {
    pub(super) fn new(incoming: Receiver<Hint>) -> Self {
        Self {
            incoming: Some(incoming),
            unfounded: 0,
            window_start: Instant::now(),
            deferred: false,
        }
    }

    /// The next hint. Cancel safe.
    pub(super) async fn next(&mut self) -> Hint {
        tokio::select! {
            biased;
            () = sleep_until(self.window_start + RATE_WINDOW), if self.deferred => {
                self.deferred = false;
                Hint::Anywhere
            }
            hint = receive(&mut self.incoming) => hint,
        }
    }

    /// Merges a hint with all queued ones and drops channels that are not ahead of `position`; `None` if none is left.
    pub(super) fn merge_pending(
        &mut self,
        first: Hint,
        position: impl Fn(&Channel) -> u64,
    ) -> Option<Hint> {
        let mut newest = FxHashMap::<Channel, u64>::default();
        let mut next = Some(first);
        let mut anywhere = false;
        while let Some(hint) = next {
            match hint {
                Hint::Anywhere => anywhere = true,
                Hint::Channels(channels) => {
                    let ahead = channels
                        .iter()
                        .filter(|(channel, seq)| *seq > position(channel));
                    for (channel, seq) in ahead {
                        let known = newest.entry(channel.clone()).or_default();
                        *known = (*known).max(*seq);
                    }
                }
            }
            anywhere |= newest.len() > MAX_CHANNELS;
            if anywhere {
                newest.clear();
            }
            next = self.try_next();
        }
        match anywhere {
            true => Some(Hint::Anywhere),
            false if newest.is_empty() => None,
            false => Some(Hint::Channels(newest.into_iter().collect())),
        }
    }

    fn try_next(&mut self) -> Option<Hint> {
        match self.incoming.as_mut()?.try_recv() {
            Ok(hint) => Some(hint),
            Err(TryRecvError::Lagged(_)) => Some(Hint::Anywhere),
            Err(TryRecvError::Empty | TryRecvError::Closed) => None,
        }
    }

    /// Whether one more hint may be followed now; otherwise [`Self::next`] yields [`Hint::Anywhere`] after the window.
    pub(super) fn is_allowed(&mut self, now: Instant) -> bool {
        if now.duration_since(self.window_start) >= RATE_WINDOW {
            (self.window_start, self.unfounded) = (now, 0);
        }
        self.deferred = self.unfounded >= MAX_UNFOUNDED_READS;
        !self.deferred
    }

    /// Counts a hint that led to no new update.
    pub(super) fn count_unfounded(&mut self) {
        self.unfounded += 1;
    }
}

async fn receive(incoming: &mut Option<Receiver<Hint>>) -> Hint {
    if let Some(open) = incoming {
        match open.recv().await {
            Ok(hint) => return hint,
            Err(RecvError::Lagged(_)) => return Hint::Anywhere,
            Err(RecvError::Closed) => *incoming = None,
        }
    }
    std::future::pending().await
}

#[cfg(test)]
mod tests {
    use tokio::sync::broadcast;

    use super::*;

    fn channel(name: &str) -> Channel {
        name.parse().unwrap()
    }

    fn hint(name: &str, seq: u64) -> Hint {
        Hint::Channels([(channel(name), seq)].into())
    }

    #[test]
    fn queued_hints_are_merged() {
        let (sender, receiver) = broadcast::channel(CAPACITY);
        let mut hints = Hints::new(receiver);
        for queued in [
            hint("price:ETH", 9),
            hint("price:ETH", 7),
            hint("price:BTC", 3),
        ] {
            sender.send(queued).unwrap();
        }
        // ETH is at 8, BTC at 3.
        let position = |of: &Channel| if *of == channel("price:ETH") { 8 } else { 3 };
        let merged = hints.merge_pending(hint("price:ETH", 8), position);
        assert_eq!(merged, Some(hint("price:ETH", 9)));
        assert_eq!(hints.merge_pending(hint("price:ETH", 8), position), None);
        sender.send(Hint::Anywhere).unwrap();
        let merged = hints.merge_pending(hint("price:ETH", 9), position);
        assert_eq!(merged, Some(Hint::Anywhere));
    }

    #[tokio::test]
    async fn overflow_becomes_anywhere() {
        let (sender, receiver) = broadcast::channel(2);
        let mut hints = Hints::new(receiver);
        for seq in 1..=5 {
            sender.send(hint("price:ETH", seq)).unwrap();
        }
        assert_eq!(hints.next().await, Hint::Anywhere);
        drop(sender);
        while hints.try_next().is_some() {}
        let next = tokio::time::timeout(Duration::from_millis(10), hints.next()).await;
        assert!(next.is_err(), "all senders are gone");
    }

    #[tokio::test(start_paused = true)]
    async fn unfounded_hints_are_rate_limited() {
        let (_sender, receiver) = broadcast::channel(1);
        let (mut hints, now) = (Hints::new(receiver), Instant::now());
        for _ in 0..MAX_UNFOUNDED_READS {
            assert!(hints.is_allowed(now));
            hints.count_unfounded();
        }
        assert!(!hints.is_allowed(now));
        // The deferred hint is followed after the window.
        assert_eq!(hints.next().await, Hint::Anywhere);
        assert!(hints.is_allowed(Instant::now()));
    }
}
