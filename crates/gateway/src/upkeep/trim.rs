//! Returns freed memory to the system.

use std::time::{Duration, Instant};

/// Decrease of the memory in use after which the allocator returns memory, in bytes.
const TRIM_THRESHOLD: u64 = 16 << 20;
/// Estimated maximum memory of a session in addition to its backlog, in bytes.
const SESSION_BYTES: u64 = 64 << 10;
/// Shortest time between two trims.
const TRIM_INTERVAL: Duration = Duration::from_secs(1);
/// Further trims after that, because sessions and their replays end one after another.
const EXTRA_TRIMS: u32 = 3;

/// Decides when memory is returned to the system.
#[derive(Debug, Default)]
pub(super) struct TrimPolicy {
    peak: u64,
    last_trim: Option<Instant>,
    extra: u32,
}

impl TrimPolicy {
    /// Records the current backlog and the number of sessions; whether memory should be trimmed now.
    pub(super) fn should_trim(&mut self, backlog: u64, sessions: usize, now: Instant) -> bool {
        let bytes = backlog + SESSION_BYTES * sessions as u64;
        self.peak = self.peak.max(bytes);
        let interval_passed = self
            .last_trim
            .is_none_or(|last| now.duration_since(last) >= TRIM_INTERVAL);
        if !interval_passed {
            return false;
        }
        if self.peak - bytes >= TRIM_THRESHOLD {
            self.extra = EXTRA_TRIMS;
        } else if self.extra > 0 {
            self.extra -= 1;
        } else {
            return false;
        }
        (self.peak, self.last_trim) = (bytes, Some(now));
        true
    }
}

/// Returns free memory to the system. Otherwise glibc keeps it as long as anything above it in its heap is in use.
pub(super) fn trim_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        #[allow(
            unsafe_code,
            reason = "glibc has no safe call that returns free memory"
        )]
        // SAFETY: the function takes a number and may be called at any time from any thread.
        unsafe {
            libc::malloc_trim(0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn should_trim_after_a_large_decrease() {
        let (mut policy, begin) = (TrimPolicy::default(), Instant::now());
        assert!(!policy.should_trim(TRIM_THRESHOLD - 1, 0, begin));
        assert!(!policy.should_trim(0, 0, begin), "below the threshold");
        assert!(!policy.should_trim(3 * TRIM_THRESHOLD, 0, begin));
        assert!(policy.should_trim(TRIM_THRESHOLD, 0, begin));
        assert!(!policy.should_trim(0, 0, begin), "too soon");
        let mut at = begin;
        let mut later = |policy: &mut TrimPolicy, sessions| {
            at += TRIM_INTERVAL;
            policy.should_trim(0, sessions, at)
        };
        assert!(later(&mut policy, 0), "the remaining decrease");
        for again in 0..EXTRA_TRIMS {
            assert!(later(&mut policy, 0), "{again}");
        }
        assert!(!later(&mut policy, 0));
        assert!(!later(&mut policy, 1_000));
        assert!(later(&mut policy, 500), "many sessions ended");
    }
}
