//! How much a node is asked for at once. Pure: it is told what happened and when.
//!
//! Both numbers, blocks a request and requests in flight, begin small and double with each round that went well until
//! the first trouble; from then on they grow by one a round. What was too large halves the blocks, too often or too
//! slow halves both. A round is as many answers as requests may be in flight.

use std::time::Duration;

use tokio::time::Instant;

/// Blocks of the first request, and requests in flight then.
const FIRST_BLOCKS: usize = 4;
const FIRST_REQUESTS: usize = 2;
/// Waits of a node that asks for one without saying how long: doubled with each in a row.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// The wait of a node that was asked too much so often in a row: what it asks for, if that is longer than its own
/// growing one. `Retry-After: 0`, or a date that is over, must not end in requests without a pause.
pub(super) fn pause_after(in_a_row: u32, asked: Option<Duration>) -> Duration {
    let doubled = in_a_row.saturating_sub(1).min(16);
    let own = (FIRST_PAUSE * 2_u32.pow(doubled)).min(LONGEST_PAUSE);
    asked.map_or(own, |asked| asked.max(own))
}

/// What one node is asked for.
#[derive(Debug, Clone)]
pub(super) struct Limit {
    blocks: usize,
    most_blocks: usize,
    /// Whether it answers several calls in one request.
    batches: bool,
    requests: usize,
    most_requests: usize,
    /// The longest wait that a node may ask for.
    most_pause: Duration,
    /// No trouble yet: what is asked for doubles.
    doubling: bool,
    /// Answers of this round that were well.
    well: usize,
    paused_until: Option<Instant>,
    /// How often in a row it was asked too much.
    throttled: u32,
}

impl Limit {
    /// Never more than so many blocks a request and requests in flight; waits of its own at most `most_pause`.
    pub(super) fn new(most_blocks: usize, most_requests: usize, most_pause: Duration) -> Self {
        let (most_blocks, most_requests) = (most_blocks.max(1), most_requests.max(1));
        Self {
            blocks: FIRST_BLOCKS.min(most_blocks),
            most_blocks,
            batches: true,
            requests: FIRST_REQUESTS.min(most_requests),
            most_requests,
            most_pause,
            doubling: true,
            well: 0,
            paused_until: None,
            throttled: 0,
        }
    }

    /// Blocks of the next request.
    pub(super) fn blocks(&self) -> usize {
        self.blocks
    }

    /// Requests that may be in flight.
    pub(super) fn requests(&self) -> usize {
        self.requests
    }

    /// How long nothing may be asked.
    pub(super) fn pause(&self, now: Instant) -> Option<Duration> {
        self.paused_until
            .and_then(|until| until.checked_duration_since(now))
            .filter(|pause| !pause.is_zero())
    }

    /// An answer came that is well.
    pub(super) fn succeeded(&mut self) {
        self.throttled = 0;
        self.well += 1;
        if self.well < self.requests {
            return;
        }
        self.well = 0;
        let grown = |now: usize| if self.doubling { now * 2 } else { now + 1 };
        if self.batches {
            self.blocks = grown(self.blocks).min(self.most_blocks);
        }
        self.requests = grown(self.requests).min(self.most_requests);
    }

    /// A request for so many blocks was too large.
    pub(super) fn too_large(&mut self, asked: usize) {
        self.trouble();
        // Several such answers to requests that were in flight together are one reason to halve.
        self.blocks = self.blocks.min((asked / 2).max(1));
    }

    /// An answer did not come in time, or the connection broke.
    pub(super) fn slow(&mut self, asked: usize) {
        self.too_large(asked);
        self.requests = (self.requests / 2).max(1);
    }

    /// The node asks to be asked less, and perhaps says for how long not at all.
    pub(super) fn throttled(&mut self, now: Instant, asked: usize, retry_after: Option<Duration>) {
        let already = self.pause(now).is_some();
        self.trouble();
        if !already {
            self.blocks = self.blocks.min((asked / 2).max(1));
            self.requests = (self.requests / 2).max(1);
            self.throttled = self.throttled.saturating_add(1);
        }
        let pause = pause_after(self.throttled, retry_after);
        let until = now + pause.min(self.most_pause);
        self.paused_until = Some(self.paused_until.map_or(until, |known| known.max(until)));
    }

    /// The node knows no batches: one block a request, until [`Limit::batched`].
    pub(super) fn unbatched(&mut self) {
        self.blocks = 1;
        self.batches = false;
    }

    /// The node may know batches: it is another one, or was changed.
    pub(super) fn batched(&mut self) {
        self.batches = true;
    }

    fn trouble(&mut self) {
        self.doubling = false;
        self.well = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit() -> Limit {
        Limit::new(100, 8, Duration::from_secs(60))
    }

    fn round(limit: &mut Limit) {
        for _ in 0..limit.requests() {
            limit.succeeded();
        }
    }

    #[test]
    fn it_doubles_each_round_to_its_bounds_until_the_first_trouble_and_then_grows_by_one() {
        let mut limit = limit();
        assert_eq!((limit.blocks(), limit.requests()), (4, 2));
        round(&mut limit);
        assert_eq!((limit.blocks(), limit.requests()), (8, 4));
        for _ in 0..10 {
            round(&mut limit);
        }
        assert_eq!((limit.blocks(), limit.requests()), (100, 8));
        limit.too_large(100);
        assert_eq!((limit.blocks(), limit.requests()), (50, 8));
        round(&mut limit);
        assert_eq!((limit.blocks(), limit.requests()), (51, 8));
    }

    #[test]
    fn requests_that_were_too_large_together_halve_once_and_never_below_one_block() {
        let mut limit = limit();
        for _ in 0..10 {
            round(&mut limit);
        }
        for _ in 0..8 {
            limit.too_large(100);
        }
        assert_eq!(limit.blocks(), 50);
        for asked in [50, 25, 12, 6, 3, 1, 1] {
            limit.too_large(asked);
        }
        assert_eq!(limit.blocks(), 1);
    }

    #[test]
    fn a_slow_answer_halves_both() {
        let mut limit = limit();
        for _ in 0..10 {
            round(&mut limit);
        }
        limit.slow(100);
        assert_eq!((limit.blocks(), limit.requests()), (50, 4));
        for _ in 0..10 {
            limit.slow(limit.blocks());
        }
        assert_eq!((limit.blocks(), limit.requests()), (1, 1));
    }

    #[test]
    fn a_throttled_node_rests_as_long_as_it_says_but_not_longer_than_allowed() {
        let mut limit = limit();
        let now = Instant::now();
        limit.throttled(now, 4, Some(Duration::from_secs(7)));
        assert_eq!(limit.pause(now), Some(Duration::from_secs(7)));
        assert_eq!(limit.pause(now + Duration::from_secs(7)), None);
        assert_eq!((limit.blocks(), limit.requests()), (2, 1));
        // Others that were in flight say the same: no reason to halve again.
        limit.throttled(now, 4, Some(Duration::from_secs(3)));
        assert_eq!(limit.pause(now), Some(Duration::from_secs(7)));
        assert_eq!(limit.blocks(), 2);
        limit.throttled(now, 2, Some(Duration::from_secs(3_600)));
        assert_eq!(limit.pause(now), Some(Duration::from_secs(60)));
    }

    #[test]
    fn a_node_that_does_not_say_how_long_is_left_alone_for_longer_each_time() {
        let mut limit = limit();
        let mut now = Instant::now();
        let mut pauses = Vec::new();
        for _ in 0..4 {
            limit.throttled(now, 4, None);
            let pause = limit.pause(now).unwrap();
            pauses.push(pause.as_millis());
            now += pause;
        }
        assert_eq!(pauses, [500, 1_000, 2_000, 4_000]);
        limit.succeeded();
        limit.throttled(now, 4, None);
        assert_eq!(limit.pause(now), Some(FIRST_PAUSE));
    }

    #[test]
    fn no_wait_or_a_short_one_is_no_less_than_its_own() {
        let mut limit = limit();
        let mut now = Instant::now();
        let mut pauses = Vec::new();
        for asked in [0, 0, 1_999, 5_000] {
            limit.throttled(now, 4, Some(Duration::from_millis(asked)));
            let pause = limit.pause(now).unwrap();
            pauses.push(pause.as_millis());
            now += pause;
        }
        assert_eq!(pauses, [500, 1_000, 2_000, 5_000]);
    }

    #[test]
    fn one_block_a_request_without_batches_until_they_return() {
        let mut limit = limit();
        limit.unbatched();
        for _ in 0..10 {
            round(&mut limit);
        }
        assert_eq!((limit.blocks(), limit.requests()), (1, 8));
        limit.batched();
        assert_eq!(limit.blocks(), 1);
        for _ in 0..10 {
            round(&mut limit);
        }
        assert_eq!((limit.blocks(), limit.requests()), (100, 8));
    }
}
