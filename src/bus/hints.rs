//! What other processes say without a proof: where the store may have more. A hint costs a read of the store at most, and
//! hints that nothing comes of are followed so often a second and no more: beyond that the hub looks once the second is
//! over.

use std::time::Duration;

use rustc_hash::FxHashMap;
use tokio::{
    sync::broadcast::{
        Receiver,
        error::{RecvError, TryRecvError},
    },
    time::{Instant, sleep_until},
};

use super::parcel::Hint;
use crate::model::Channel;

/// Hints that wait for a hub that is busy; beyond it the hub looks at all that moved lately.
pub(super) const CAPACITY: usize = 256;
/// Most channels that are read by name at once.
const CHANNELS: usize = 10_000;
/// Reads that hints may cause for nothing in a [`SPAN`]; the hub's poll of the store goes on in any case.
const UNFOUNDED_READS: u32 = 20;
const SPAN: Duration = Duration::from_secs(1);

/// Hints as a hub takes them.
pub(super) struct Hints {
    /// `None` once nobody is left to give any.
    incoming: Option<Receiver<Hint>>,
    unfounded: u32,
    since: Instant,
    /// Some were not followed.
    put_off: bool,
}

impl Hints {
    pub(super) fn new(incoming: Receiver<Hint>) -> Self {
        Self {
            incoming: Some(incoming),
            unfounded: 0,
            since: Instant::now(),
            put_off: false,
        }
    }

    /// The next hint. May be dropped at any await.
    pub(super) async fn next(&mut self) -> Hint {
        tokio::select! {
            biased;
            () = sleep_until(self.since + SPAN), if self.put_off => {
                self.put_off = false;
                Hint::Anywhere
            }
            hint = receive(&mut self.incoming) => hint,
        }
    }

    /// This hint together with all that wait, without what is not ahead of `position`; `None` when nothing is left.
    pub(super) fn gather(
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
                    let ahead = channels.iter().filter(|(of, seq)| *seq > position(of));
                    for (channel, seq) in ahead {
                        let known = newest.entry(channel.clone()).or_default();
                        *known = (*known).max(*seq);
                    }
                }
            }
            anywhere |= newest.len() > CHANNELS;
            if anywhere {
                newest.clear();
            }
            next = self.waiting();
        }
        match anywhere {
            true => Some(Hint::Anywhere),
            false if newest.is_empty() => None,
            false => Some(Hint::Channels(newest.into_iter().collect())),
        }
    }

    fn waiting(&mut self) -> Option<Hint> {
        match self.incoming.as_mut()?.try_recv() {
            Ok(hint) => Some(hint),
            Err(TryRecvError::Lagged(_)) => Some(Hint::Anywhere),
            Err(TryRecvError::Empty | TryRecvError::Closed) => None,
        }
    }

    /// Whether one more may be followed now; else the hub is to look anywhere when it may.
    pub(super) fn may_be_followed(&mut self, now: Instant) -> bool {
        if now.duration_since(self.since) >= SPAN {
            (self.since, self.unfounded) = (now, 0);
        }
        self.put_off = self.unfounded >= UNFOUNDED_READS;
        !self.put_off
    }

    /// Nothing came of one that was followed.
    pub(super) fn was_unfounded(&mut self) {
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

    fn of(name: &str, seq: u64) -> Hint {
        Hint::Channels([(channel(name), seq)].into())
    }

    #[test]
    fn hints_that_wait_are_gathered() {
        let (sender, receiver) = broadcast::channel(CAPACITY);
        let mut hints = Hints::new(receiver);
        for hint in [of("price:ETH", 9), of("price:ETH", 7), of("price:BTC", 3)] {
            sender.send(hint).unwrap();
        }
        // ETH is at 8, BTC at 3.
        let position = |of: &Channel| if *of == channel("price:ETH") { 8 } else { 3 };
        let gathered = hints.gather(of("price:ETH", 8), position);
        assert_eq!(gathered, Some(of("price:ETH", 9)));
        assert_eq!(hints.gather(of("price:ETH", 8), position), None);
        sender.send(Hint::Anywhere).unwrap();
        let gathered = hints.gather(of("price:ETH", 9), position);
        assert_eq!(gathered, Some(Hint::Anywhere));
    }

    #[tokio::test]
    async fn hints_that_overflow_mean_anywhere() {
        let (sender, receiver) = broadcast::channel(2);
        let mut hints = Hints::new(receiver);
        for seq in 1..=5 {
            sender.send(of("price:ETH", seq)).unwrap();
        }
        assert_eq!(hints.next().await, Hint::Anywhere);
        drop(sender);
        while hints.waiting().is_some() {}
        let next = tokio::time::timeout(Duration::from_millis(10), hints.next()).await;
        assert!(next.is_err(), "nobody is left to give a hint");
    }

    #[tokio::test(start_paused = true)]
    async fn unfounded_hints_are_followed_so_often_a_second() {
        let (_sender, receiver) = broadcast::channel(1);
        let (mut hints, now) = (Hints::new(receiver), Instant::now());
        for _ in 0..UNFOUNDED_READS {
            assert!(hints.may_be_followed(now));
            hints.was_unfounded();
        }
        assert!(!hints.may_be_followed(now));
        // What was put off is looked for by itself.
        assert_eq!(hints.next().await, Hint::Anywhere);
        assert!(hints.may_be_followed(Instant::now()));
    }
}
