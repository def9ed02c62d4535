//! How one provider does: a circuit that opens when it fails and is tried again after a while. Pure: the caller
//! brings the time.
//!
//! Closed: it is used. Open: it is not, until its wait is over; then one trial closes it, or doubles the wait.

use std::time::Duration;

use tokio::time::Instant;

use crate::{
    model::{BlockRef, now_ms},
    source::chain::{ChainConfig, NodeError, limit::pause_after},
};

/// The wait between trials doubles up to this many times the first.
const LONGEST_WAIT: u32 = 16;
/// Weight of the newest answer in the shown latency: one part in this many.
const LATENCY_MEMORY: u32 = 8;

/// At most one log line in this time says that a provider asks to be asked less.
const THROTTLING_TOLD_EVERY: Duration = Duration::from_secs(60);

/// When a provider is given up, and for how long.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Failures in a row that open the circuit.
    pub(super) failures: u32,
    /// The first wait before a trial.
    pub(super) cooldown: Duration,
    /// The longest `Retry-After` that is obeyed.
    pub(super) longest_rest: Duration,
}

impl Limits {
    pub(super) fn of(config: &ChainConfig) -> Self {
        Self {
            failures: config.failover_failures.max(1),
            cooldown: Duration::from_millis(config.failover_cooldown_ms),
            longest_rest: Duration::from_millis(config.rest_max_ms),
        }
    }
}

/// What `/status` says of a provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProviderState {
    Ok,
    /// Its head is behind another's by more than `lag_blocks`.
    Lagging,
    /// It asked to be asked less.
    Resting,
    /// Its circuit is open.
    Failed,
}

impl ProviderState {
    pub fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Lagging => "lagging",
            Self::Resting => "resting",
            Self::Failed => "failed",
        }
    }
}

/// What an answer changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    None,
    Opened,
    Closed,
}

#[derive(Debug, Clone, Copy)]
struct Open {
    until: Instant,
    wait: Duration,
}

#[derive(Debug)]
pub(super) struct Health {
    limits: Limits,
    open: Option<Open>,
    resting: Option<Instant>,
    /// How often in a row it asked to be asked less, those counted once that came while it rested already.
    throttled: u32,
    /// When it was last logged that it asks for that, and how often it did since.
    throttling_told: Option<Instant>,
    throttling_untold: u64,
    lagging: bool,
    /// Whether it proved since its last outage which chain it serves.
    pub(super) proven: bool,
    /// When it last failed to prove that.
    pub(super) unproven_at: Option<Instant>,
    /// Failures in a row.
    pub(super) failures: u32,
    pub(super) head: Option<BlockRef>,
    pub(super) latency: Option<Duration>,
    pub(super) last_error: Option<String>,
    /// Since when every answer was good.
    well_since: Option<Instant>,
    /// When the state last changed, in ms since the Unix epoch, and what it was then.
    shown: (ProviderState, i64),
}

impl Health {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            limits,
            open: None,
            resting: None,
            throttled: 0,
            throttling_told: None,
            throttling_untold: 0,
            lagging: false,
            proven: false,
            unproven_at: None,
            failures: 0,
            head: None,
            latency: None,
            last_error: None,
            well_since: None,
            shown: (ProviderState::Ok, now_ms()),
        }
    }

    pub(super) fn state(&self, now: Instant) -> ProviderState {
        if self.open.is_some() {
            ProviderState::Failed
        } else if self.rests_for(now).is_some() {
            ProviderState::Resting
        } else if self.lagging {
            ProviderState::Lagging
        } else {
            ProviderState::Ok
        }
    }

    /// The state, and since when it is so, in ms since the Unix epoch.
    pub(super) fn shown(&mut self, now: Instant) -> (ProviderState, i64) {
        let state = self.state(now);
        if self.shown.0 != state {
            self.shown = (state, now_ms());
        }
        self.shown
    }

    /// Whether it may be used as a matter of course.
    pub(super) fn is_usable(&self, now: Instant) -> bool {
        self.open.is_none() && self.rests_for(now).is_none()
    }

    pub(super) fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// Whether its circuit is open and a trial is due.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.open.is_some_and(|open| open.until <= now) && self.rests_for(now).is_none()
    }

    /// How long it wants to be left alone.
    pub(super) fn rests_for(&self, now: Instant) -> Option<Duration> {
        let until = self.resting?;
        (until > now).then(|| until - now)
    }

    pub(super) fn is_lagging(&self) -> bool {
        self.lagging
    }

    pub(super) fn set_lagging(&mut self, lagging: bool) {
        self.lagging = lagging;
        if lagging {
            self.well_since = None;
        }
    }

    /// Whether it answered well for this long.
    pub(super) fn is_well_for(&self, span: Duration, now: Instant) -> bool {
        self.open.is_none() && self.well_since.is_some_and(|since| now - since >= span)
    }

    /// It answered well. Only a trial closes an open circuit: an answer that was under way when it opened says nothing.
    pub(super) fn succeeded(&mut self, now: Instant, took: Duration, trial: bool) -> Change {
        self.latency = Some(match self.latency {
            Some(before) => (before * (LATENCY_MEMORY - 1) + took) / LATENCY_MEMORY,
            None => took,
        });
        if self.open.is_some() && !trial {
            return Change::None;
        }
        self.failures = 0;
        self.throttled = 0;
        self.well_since.get_or_insert(now);
        match self.open.take() {
            Some(_) => Change::Closed,
            None => Change::None,
        }
    }

    /// It did not. What only says that it lags behind, or that too much was asked for at once, is no failure.
    pub(super) fn failed(&mut self, now: Instant, error: &NodeError, trial: bool) -> Change {
        let weight = match error {
            NodeError::Missing { .. } | NodeError::TooLarge { .. } | NodeError::Resting { .. } => {
                return Change::None;
            }
            NodeError::Throttled { retry_after, .. } => {
                // Requests that were under way together are refused together: one reason to wait.
                let already = self.rests_for(now);
                if already.is_none() {
                    self.throttled = self.throttled.saturating_add(1);
                }
                let rest = pause_after(self.throttled, *retry_after);
                let rest = rest.min(self.limits.longest_rest);
                self.resting = Some(now + already.map_or(rest, |already| already.max(rest)));
                self.throttling_untold += 1;
                self.last_error = Some(error.to_string());
                self.well_since = None;
                return Change::None;
            }
            // It may be another node behind the same address when it is back.
            NodeError::Unreachable { .. } => {
                self.proven = false;
                1
            }
            NodeError::WrongChain { .. } | NodeError::WrongGenesis { .. } => {
                self.proven = false;
                self.limits.failures
            }
            NodeError::BadAnswer { .. } | NodeError::Check { .. } => self.limits.failures,
            _ => 1,
        };
        self.last_error = Some(error.to_string());
        self.count(now, weight, trial)
    }

    /// How often it asked to be asked less since that was last logged, when it may be logged again.
    pub(super) fn throttling_to_tell(&mut self, now: Instant) -> Option<u64> {
        let due = self
            .throttling_told
            .is_none_or(|told| now - told >= THROTTLING_TOLD_EVERY);
        if !due || self.throttling_untold == 0 {
            return None;
        }
        self.throttling_told = Some(now);
        Some(std::mem::take(&mut self.throttling_untold))
    }

    /// It said that it does not have what another one gave.
    pub(super) fn lacked(&mut self, now: Instant, error: &NodeError) -> Change {
        self.last_error = Some(error.to_string());
        self.count(now, 1, false)
    }

    fn count(&mut self, now: Instant, weight: u32, trial: bool) -> Change {
        self.well_since = None;
        self.failures = self.failures.saturating_add(weight);
        match self.open {
            Some(open) if trial => {
                let wait = (open.wait * 2).min(self.limits.cooldown * LONGEST_WAIT);
                self.open = Some(Open {
                    until: now + wait,
                    wait,
                });
                Change::None
            }
            Some(_) => Change::None,
            None if self.failures >= self.limits.failures => {
                let wait = self.limits.cooldown;
                self.open = Some(Open {
                    until: now + wait,
                    wait,
                });
                Change::Opened
            }
            None => Change::None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn health() -> Health {
        Health::new(Limits {
            failures: 3,
            cooldown: SECOND,
            longest_rest: 60 * SECOND,
        })
    }

    fn unreachable() -> NodeError {
        NodeError::Unreachable {
            url: "http://a".to_owned(),
            reason: "refused".to_owned(),
        }
    }

    fn bad() -> NodeError {
        NodeError::BadAnswer {
            url: "http://a".to_owned(),
            method: "eth_x",
            reason: "nonsense".to_owned(),
        }
    }

    #[test]
    fn failures_in_a_row_open_the_circuit_and_one_good_answer_between_them_does_not() {
        let (mut health, now) = (health(), Instant::now());
        for _ in 0..2 {
            assert_eq!(health.failed(now, &unreachable(), false), Change::None);
        }
        health.succeeded(now, SECOND, false);
        for _ in 0..2 {
            assert_eq!(health.failed(now, &unreachable(), false), Change::None);
        }
        assert!(health.is_usable(now));
        assert_eq!(health.failed(now, &unreachable(), false), Change::Opened);
        assert_eq!(health.state(now), ProviderState::Failed);
        assert!(!health.proven);
    }

    #[test]
    fn wrong_data_opens_it_at_once_and_only_a_trial_closes_it() {
        let (mut health, now) = (health(), Instant::now());
        assert_eq!(health.failed(now, &bad(), false), Change::Opened);
        assert_eq!(health.succeeded(now, SECOND, false), Change::None);
        assert!(!health.is_due(now) && health.is_due(now + SECOND));
        // Failed trials double the wait, up to a bound; what was under way does not.
        let mut at = now + SECOND;
        health.failed(at, &bad(), false);
        assert!(health.is_due(at));
        for wait in [2, 4, 8, 16, 16] {
            health.failed(at, &unreachable(), true);
            assert!(!health.is_due(at + SECOND * wait - Duration::from_millis(1)));
            at += SECOND * wait;
            assert!(health.is_due(at));
        }
        assert_eq!(health.succeeded(at, SECOND, true), Change::Closed);
        assert_eq!(health.state(at), ProviderState::Ok);
    }

    #[test]
    fn a_provider_that_asks_for_it_rests_as_long_and_no_longer_than_allowed() {
        let (mut health, now) = (health(), Instant::now());
        let throttled = |seconds| NodeError::Throttled {
            url: "http://a".to_owned(),
            reason: "429".to_owned(),
            retry_after: Some(SECOND * seconds),
        };
        health.failed(now, &throttled(7), false);
        assert_eq!(health.state(now), ProviderState::Resting);
        assert_eq!(health.rests_for(now), Some(7 * SECOND));
        assert!(health.is_usable(now + 7 * SECOND));
        health.failed(now, &throttled(100_000), false);
        assert_eq!(health.rests_for(now), Some(60 * SECOND));
    }

    #[test]
    fn rests_half_a_second_without_retry_after() {
        let (mut health, mut now) = (health(), Instant::now());
        let throttled = NodeError::Throttled {
            url: "http://a".to_owned(),
            reason: "429".to_owned(),
            retry_after: None,
        };
        let mut rests = Vec::new();
        for _ in 0..3 {
            // Two that were under way together are one reason to wait.
            health.failed(now, &throttled, false);
            health.failed(now, &throttled, false);
            let rest = health.rests_for(now).unwrap();
            rests.push(rest.as_millis());
            now += rest;
        }
        assert_eq!(rests, [500, 1_000, 2_000]);
        health.succeeded(now, SECOND, false);
        health.failed(now, &throttled, false);
        assert_eq!(health.rests_for(now), Some(SECOND / 2));
    }

    #[test]
    fn rests_no_shorter_when_no_wait_is_asked_for() {
        let (mut health, mut now) = (health(), Instant::now());
        let throttled = NodeError::Throttled {
            url: "http://a".to_owned(),
            reason: "429".to_owned(),
            retry_after: Some(Duration::ZERO),
        };
        let mut rests = Vec::new();
        for _ in 0..3 {
            health.failed(now, &throttled, false);
            let rest = health.rests_for(now).unwrap();
            rests.push(rest.as_millis());
            now += rest;
        }
        assert_eq!(rests, [500, 1_000, 2_000]);
    }

    #[test]
    fn tells_of_throttling_once_a_minute_with_the_count() {
        let (mut health, now) = (health(), Instant::now());
        let throttled = NodeError::Throttled {
            url: "http://a".to_owned(),
            reason: "429".to_owned(),
            retry_after: None,
        };
        assert_eq!(health.throttling_to_tell(now), None);
        health.failed(now, &throttled, false);
        assert_eq!(health.throttling_to_tell(now), Some(1));
        for _ in 0..5 {
            health.failed(now, &throttled, false);
            assert_eq!(health.throttling_to_tell(now + SECOND), None);
        }
        assert_eq!(health.throttling_to_tell(now + 61 * SECOND), Some(5));
    }

    #[test]
    fn it_is_well_from_the_first_good_answer_after_the_last_bad_one() {
        let (mut health, now) = (health(), Instant::now());
        assert!(!health.is_well_for(SECOND, now));
        health.succeeded(now, SECOND, false);
        assert!(health.is_well_for(SECOND, now + SECOND));
        health.failed(now + SECOND, &unreachable(), false);
        health.succeeded(now + SECOND, SECOND, false);
        assert!(!health.is_well_for(SECOND, now + SECOND + SECOND / 2));
        assert!(health.is_well_for(SECOND, now + 2 * SECOND));
    }

    #[test]
    fn what_is_missing_is_no_failure_until_another_had_it() {
        let (mut health, now) = (health(), Instant::now());
        let missing = NodeError::Missing {
            url: "http://a".to_owned(),
            what: "block 7".to_owned(),
        };
        for _ in 0..9 {
            health.failed(now, &missing, false);
        }
        assert_eq!(health.state(now), ProviderState::Ok);
        for _ in 0..3 {
            health.lacked(now, &missing);
        }
        assert_eq!(health.state(now), ProviderState::Failed);
    }
}
