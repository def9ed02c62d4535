//! A rate limit: an exact sliding window.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

/// At most `limit` requests in any window of the given length. Uses no heap memory until the first request, then four
/// bytes per request within the window.
#[derive(Debug)]
pub struct RateWindow {
    limit: u32,
    window_ms: u32,
    /// The time that entries are relative to: the first request after the window was last empty.
    base: Option<Instant>,
    /// Admitted requests within the window, in ms since `base`, oldest first.
    admitted: VecDeque<u32>,
}

impl RateWindow {
    /// `window` is taken in whole ms, at most 24 days.
    pub fn new(limit: u32, window: Duration) -> Self {
        let longest = u128::from(u32::MAX / 2);
        Self {
            limit,
            window_ms: window.as_millis().min(longest) as u32,
            base: None,
            admitted: VecDeque::new(),
        }
    }

    /// Counts one request, or returns the time in ms until the next one is admitted. Refused requests are not counted.
    /// `now` must be monotonic.
    pub fn admit(&mut self, now: Instant) -> Result<(), u64> {
        let at = self.room(now)?;
        self.admitted
            .push_back(u32::try_from(at).unwrap_or(u32::MAX));
        Ok(())
    }

    /// As [`Self::admit`], without counting the request.
    pub fn check(&mut self, now: Instant) -> Result<(), u64> {
        self.room(now).map(|_| ())
    }

    /// Whether no request within the window is counted.
    pub fn is_idle(&mut self, now: Instant) -> bool {
        self.room(now).is_ok() && self.admitted.is_empty()
    }

    /// The offset of a request now, if it is admitted; otherwise the time in ms until one is.
    fn room(&mut self, now: Instant) -> Result<u64, u64> {
        let mut at = self.offset(now);
        while self
            .admitted
            .front()
            .is_some_and(|&oldest| at - u64::from(oldest) >= u64::from(self.window_ms))
        {
            self.admitted.pop_front();
        }
        match self.admitted.front() {
            None => {
                // An idle window uses no memory.
                self.admitted = VecDeque::new();
                self.base = Some(now);
                at = 0;
            }
            Some(&oldest) if at > u64::from(u32::MAX / 2) => {
                // Busy for weeks: move the base to the oldest entry before the offsets overflow.
                self.base = self
                    .base
                    .map(|base| base + Duration::from_millis(u64::from(oldest)));
                self.admitted.iter_mut().for_each(|entry| *entry -= oldest);
                at -= u64::from(oldest);
            }
            Some(_) => {}
        }
        if self.admitted.len() >= self.limit as usize {
            let oldest = self.admitted.front().copied().map_or(at, u64::from);
            return Err((oldest + u64::from(self.window_ms))
                .saturating_sub(at)
                .max(1));
        }
        Ok(at)
    }

    fn offset(&self, now: Instant) -> u64 {
        let since = self
            .base
            .map_or(Duration::ZERO, |base| now.saturating_duration_since(base));
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn no_window_exceeds_the_limit() {
        let start = Instant::now();
        let mut window = RateWindow::new(3, ms(1_000));
        let mut admitted = Vec::new();
        for step in 0..1_000u64 {
            let at = step * 37;
            if window.admit(start + ms(at)).is_ok() {
                admitted.push(at);
            }
        }
        assert!(admitted.len() > 100);
        for some in admitted.windows(4) {
            assert!(some[3] - some[0] >= 1_000, "{some:?}");
        }
    }

    #[test]
    fn refusal_returns_the_exact_retry_time() {
        let start = Instant::now();
        let mut window = RateWindow::new(2, ms(1_000));
        assert_eq!(window.admit(start), Ok(()));
        assert_eq!(window.admit(start + ms(300)), Ok(()));
        assert_eq!(window.admit(start + ms(400)), Err(600));
        assert_eq!(window.admit(start + ms(999)), Err(1));
        assert_eq!(window.admit(start + ms(1_000)), Ok(()));
        assert_eq!(window.admit(start + ms(1_000)), Err(300));
    }

    #[test]
    fn idle_window_frees_its_memory() {
        let start = Instant::now();
        let mut window = RateWindow::new(100, ms(1_000));
        assert_eq!(window.admitted.capacity(), 0);
        for _ in 0..100 {
            window.admit(start).unwrap();
        }
        assert!(window.admit(start).is_err());
        window.admit(start + ms(5_000)).unwrap();
        assert!(window.admitted.capacity() < 100);
    }

    #[test]
    fn months_of_requests_do_not_overflow() {
        let start = Instant::now();
        let mut window = RateWindow::new(5, ms(86_400_000));
        let mut last: Option<Duration> = None;
        for hour in 0..24 * 120u64 {
            let at = Duration::from_secs(hour * 3_600);
            if window.admit(start + at).is_ok() {
                last = Some(at);
            }
        }
        assert!(last.unwrap() > Duration::from_secs(119 * 86_400));
    }

    #[test]
    fn check_counts_nothing() {
        let start = Instant::now();
        let mut window = RateWindow::new(1, ms(1_000));
        assert!(window.is_idle(start));
        assert_eq!(window.check(start), Ok(()));
        assert_eq!(window.admit(start), Ok(()));
        assert_eq!(window.check(start + ms(1)), Err(999));
        assert!(!window.is_idle(start + ms(999)));
        assert!(window.is_idle(start + ms(1_000)));
    }

    #[test]
    fn zero_limit_refuses_everything() {
        assert_eq!(
            RateWindow::new(0, ms(1_000)).admit(Instant::now()),
            Err(1_000)
        );
    }
}
