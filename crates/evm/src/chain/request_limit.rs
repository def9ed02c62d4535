//! How much a node is asked for in one request and in parallel. Pure: the caller reports results and passes the time.
//!
//! Both numbers, blocks per request and requests in flight, start small and double with each successful round until the
//! first failure; then they grow by one per round. An answer that is too large halves the blocks; throttling and
//! timeouts halve both. A round is as many answers as requests may be in flight.

use std::time::Duration;

use tokio::time::Instant;

use chaincast_base::retry::exponential;

/// Blocks of the first request, and the initial number of requests in flight.
const FIRST_BLOCKS: usize = 4;
const FIRST_REQUESTS: usize = 2;
/// Pause of a node that throttles without a `Retry-After`; doubled with each consecutive throttling.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// The pause after consecutive throttling: the longer of the requested pause and the own, growing one. `Retry-After: 0`
/// or a past date must not lead to requests without a pause.
pub(super) fn pause_after(in_a_row: u32, requested: Option<Duration>) -> Duration {
    let own = exponential(FIRST_PAUSE, LONGEST_PAUSE, in_a_row.saturating_sub(1));
    requested.map_or(own, |requested| requested.max(own))
}

/// The limits of one node.
#[derive(Debug, Clone)]
pub(super) struct RequestLimit {
    blocks: usize,
    max_blocks: usize,
    /// Whether the node supports batches.
    batches: bool,
    requests: usize,
    max_requests: usize,
    /// Longest pause that a node may request.
    max_pause: Duration,
    /// Still doubling: no failure yet.
    doubling: bool,
    /// Successful answers of this round.
    successes: usize,
    paused_until: Option<Instant>,
    /// Consecutive throttlings.
    throttled: u32,
}

impl RequestLimit {
    /// Bounded by these maxima; a pause lasts at most `max_pause`.
    pub(super) fn new(max_blocks: usize, max_requests: usize, max_pause: Duration) -> Self {
        let (max_blocks, max_requests) = (max_blocks.max(1), max_requests.max(1));
        Self {
            blocks: FIRST_BLOCKS.min(max_blocks),
            max_blocks,
            batches: true,
            requests: FIRST_REQUESTS.min(max_requests),
            max_requests,
            max_pause,
            doubling: true,
            successes: 0,
            paused_until: None,
            throttled: 0,
        }
    }

    /// Blocks of the next request.
    pub(super) fn blocks(&self) -> usize {
        self.blocks
    }

    /// Most requests in flight.
    pub(super) fn requests(&self) -> usize {
        self.requests
    }

    /// The remaining pause.
    pub(super) fn pause(&self, now: Instant) -> Option<Duration> {
        self.paused_until
            .and_then(|until| until.checked_duration_since(now))
            .filter(|pause| !pause.is_zero())
    }

    /// Records a good answer.
    pub(super) fn succeeded(&mut self) {
        self.throttled = 0;
        self.successes += 1;
        if self.successes < self.requests {
            return;
        }
        self.successes = 0;
        let grow = |now: usize| if self.doubling { now * 2 } else { now + 1 };
        if self.batches {
            self.blocks = grow(self.blocks).min(self.max_blocks);
        }
        self.requests = grow(self.requests).min(self.max_requests);
    }

    /// Records that a request for this many blocks was too large.
    pub(super) fn too_large(&mut self, requested: usize) {
        self.stop_doubling();
        // Several such answers to parallel requests halve the limit once.
        self.blocks = self.blocks.min((requested / 2).max(1));
    }

    /// Records a timeout or a broken connection.
    pub(super) fn slow(&mut self, requested: usize) {
        self.too_large(requested);
        self.requests = (self.requests / 2).max(1);
    }

    /// Records throttling.
    pub(super) fn throttled(
        &mut self,
        now: Instant,
        requested: usize,
        retry_after: Option<Duration>,
    ) {
        let already = self.pause(now).is_some();
        self.stop_doubling();
        if !already {
            self.blocks = self.blocks.min((requested / 2).max(1));
            self.requests = (self.requests / 2).max(1);
            self.throttled = self.throttled.saturating_add(1);
        }
        let pause = pause_after(self.throttled, retry_after);
        let until = now + pause.min(self.max_pause);
        self.paused_until = Some(self.paused_until.map_or(until, |known| known.max(until)));
    }

    /// The node rejects batches: one block per request, until [`RequestLimit::enable_batches`].
    pub(super) fn disable_batches(&mut self) {
        self.blocks = 1;
        self.batches = false;
    }

    /// The node may support batches: it is another one, or was changed.
    pub(super) fn enable_batches(&mut self) {
        self.batches = true;
    }

    fn stop_doubling(&mut self) {
        self.doubling = false;
        self.successes = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit() -> RequestLimit {
        RequestLimit::new(100, 8, Duration::from_secs(60))
    }

    fn round(limit: &mut RequestLimit) {
        for _ in 0..limit.requests() {
            limit.succeeded();
        }
    }

    #[test]
    fn limit_doubles_until_failure_then_grows_by_one() {
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
    fn parallel_too_large_answers_halve_once() {
        let mut limit = limit();
        for _ in 0..10 {
            round(&mut limit);
        }
        for _ in 0..8 {
            limit.too_large(100);
        }
        assert_eq!(limit.blocks(), 50);
        for requested in [50, 25, 12, 6, 3, 1, 1] {
            limit.too_large(requested);
        }
        assert_eq!(limit.blocks(), 1);
    }

    #[test]
    fn slow_answer_halves_both_limits() {
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
    fn pause_follows_retry_after_up_to_maximum() {
        let mut limit = limit();
        let now = Instant::now();
        limit.throttled(now, 4, Some(Duration::from_secs(7)));
        assert_eq!(limit.pause(now), Some(Duration::from_secs(7)));
        assert_eq!(limit.pause(now + Duration::from_secs(7)), None);
        assert_eq!((limit.blocks(), limit.requests()), (2, 1));
        // Other requests in flight get the same answer: the limit is not halved again.
        limit.throttled(now, 4, Some(Duration::from_secs(3)));
        assert_eq!(limit.pause(now), Some(Duration::from_secs(7)));
        assert_eq!(limit.blocks(), 2);
        limit.throttled(now, 2, Some(Duration::from_secs(3_600)));
        assert_eq!(limit.pause(now), Some(Duration::from_secs(60)));
    }

    #[test]
    fn pause_without_retry_after_doubles() {
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
    fn short_retry_after_does_not_shorten_pause() {
        let mut limit = limit();
        let mut now = Instant::now();
        let mut pauses = Vec::new();
        for requested in [0, 0, 1_999, 5_000] {
            limit.throttled(now, 4, Some(Duration::from_millis(requested)));
            let pause = limit.pause(now).unwrap();
            pauses.push(pause.as_millis());
            now += pause;
        }
        assert_eq!(pauses, [500, 1_000, 2_000, 5_000]);
    }

    #[test]
    fn disabled_batches_limit_requests_to_one_block() {
        let mut limit = limit();
        limit.disable_batches();
        for _ in 0..10 {
            round(&mut limit);
        }
        assert_eq!((limit.blocks(), limit.requests()), (1, 8));
        limit.enable_batches();
        assert_eq!(limit.blocks(), 1);
        for _ in 0..10 {
            round(&mut limit);
        }
        assert_eq!((limit.blocks(), limit.requests()), (100, 8));
    }
}
