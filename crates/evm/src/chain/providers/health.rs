//! The health of one provider: a circuit that opens on failures and is tried again after a while. Pure: the caller
//! passes the time.
//!
//! Closed: the provider is used. Open: it is not used until its cooldown is over; then one trial closes the circuit, or
//! doubles the cooldown.

use std::time::Duration;

use tokio::time::Instant;

use crate::chain::{ChainConfig, NodeError, request_limit::pause_after};
use chaincast_base::{retry::Backoff, telemetry::log_limit::LogLimit};
use chaincast_protocol::{BlockRef, now_ms};

/// The cooldown doubles up to this many times the first.
const MAX_COOLDOWN_FACTOR: u32 = 16;
/// Weight of the newest answer in the reported latency: one part in this many.
const LATENCY_WEIGHT: u32 = 8;

/// When a provider is suspended, and for how long.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Consecutive failures that open the circuit.
    pub(super) failures: u32,
    /// The first cooldown.
    pub(super) cooldown: Duration,
    /// Longest honored `Retry-After`.
    pub(super) max_rest: Duration,
}

impl Limits {
    pub(super) fn of(config: &ChainConfig) -> Self {
        Self {
            failures: config.failover_failures.max(1),
            cooldown: Duration::from_millis(config.failover_cooldown_ms),
            max_rest: Duration::from_millis(config.rest_max_ms),
        }
    }
}

/// The state of a provider in `/status`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProviderState {
    /// It is in use, or ready to be.
    Ok,
    /// Its head is behind another's by more than `lag_blocks`.
    Lagging,
    /// It limited the request rate and is paused.
    Resting,
    /// Its circuit is open.
    Failed,
}

impl ProviderState {
    /// As in `/status`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Lagging => "lagging",
            Self::Resting => "resting",
            Self::Failed => "failed",
        }
    }
}

/// What becomes of an earlier proof of the chain that a provider serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Proof {
    Reuse,
    Repeat,
}

/// What a request to a provider is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::chain) enum Attempt {
    Regular,
    /// It decides whether the open circuit closes.
    Trial,
}

/// The effect of an answer on the circuit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    None,
    Opened,
    Closed,
}

#[derive(Debug)]
pub(super) struct Health {
    limits: Limits,
    /// While the circuit is open: when the next trial is due.
    open: Option<Instant>,
    cooldown: Backoff,
    resting: Option<Instant>,
    /// Consecutive throttlings; parallel ones during a pause count once.
    throttled: u32,
    /// When throttling was last logged, and how often it occurred since.
    throttling_log: LogLimit,
    throttling_unlogged: u64,
    lagging: bool,
    /// Whether it proved its chain since the last outage.
    pub(super) proven: bool,
    /// When the last check of its chain failed.
    pub(super) unproven_at: Option<Instant>,
    /// Consecutive failures.
    pub(super) failures: u32,
    pub(super) head: Option<BlockRef>,
    pub(super) latency: Option<Duration>,
    pub(super) last_error: Option<String>,
    /// Start of the current run of good answers.
    healthy_since: Option<Instant>,
    /// The last reported state, and when it was first reported, in ms since the Unix epoch.
    reported: (ProviderState, i64),
}

impl Health {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            cooldown: Backoff::exact(limits.cooldown, limits.cooldown * MAX_COOLDOWN_FACTOR),
            limits,
            open: None,
            resting: None,
            throttled: 0,
            throttling_log: LogLimit::default(),
            throttling_unlogged: 0,
            lagging: false,
            proven: false,
            unproven_at: None,
            failures: 0,
            head: None,
            latency: None,
            last_error: None,
            healthy_since: None,
            reported: (ProviderState::Ok, now_ms()),
        }
    }

    pub(super) fn state(&self, now: Instant) -> ProviderState {
        if self.open.is_some() {
            ProviderState::Failed
        } else if self.rest_remaining(now).is_some() {
            ProviderState::Resting
        } else if self.lagging {
            ProviderState::Lagging
        } else {
            ProviderState::Ok
        }
    }

    /// The state, and when it began, in ms since the Unix epoch.
    pub(super) fn state_since(&mut self, now: Instant) -> (ProviderState, i64) {
        let state = self.state(now);
        if self.reported.0 != state {
            self.reported = (state, now_ms());
        }
        self.reported
    }

    /// Whether it is in regular use.
    pub(super) fn is_usable(&self, now: Instant) -> bool {
        self.open.is_none() && self.rest_remaining(now).is_none()
    }

    /// What a request that begins now is.
    pub(super) fn next_attempt(&self) -> Attempt {
        match self.open {
            Some(_) => Attempt::Trial,
            None => Attempt::Regular,
        }
    }

    /// Whether its circuit is open and a trial is due.
    pub(super) fn is_trial_due(&self, now: Instant) -> bool {
        self.open.is_some_and(|until| until <= now) && self.rest_remaining(now).is_none()
    }

    /// The remaining pause.
    pub(super) fn rest_remaining(&self, now: Instant) -> Option<Duration> {
        let until = self.resting?;
        (until > now).then(|| until - now)
    }

    pub(super) fn is_lagging(&self) -> bool {
        self.lagging
    }

    pub(super) fn set_lagging(&mut self, lagging: bool) {
        self.lagging = lagging;
        if lagging {
            self.healthy_since = None;
        }
    }

    /// Whether all answers were good for this long.
    pub(super) fn is_healthy_for(&self, span: Duration, now: Instant) -> bool {
        self.open.is_none() && self.healthy_since.is_some_and(|since| now - since >= span)
    }

    /// Records a good answer. Only a trial closes an open circuit: an answer to an earlier request proves nothing.
    pub(super) fn succeeded(&mut self, now: Instant, took: Duration, attempt: Attempt) -> Change {
        self.latency = Some(match self.latency {
            Some(before) => (before * (LATENCY_WEIGHT - 1) + took) / LATENCY_WEIGHT,
            None => took,
        });
        if self.open.is_some() && attempt == Attempt::Regular {
            return Change::None;
        }
        self.failures = 0;
        self.throttled = 0;
        self.healthy_since.get_or_insert(now);
        match self.open.take() {
            Some(_) => Change::Closed,
            None => Change::None,
        }
    }

    /// Records an error. A lagging node or a request that is too large is no failure.
    pub(super) fn failed(&mut self, now: Instant, error: &NodeError, attempt: Attempt) -> Change {
        let weight = match error {
            NodeError::Missing { .. } | NodeError::TooLarge { .. } | NodeError::Resting { .. } => {
                return Change::None;
            }
            NodeError::Throttled { retry_after, .. } => {
                // Parallel requests are rejected together: they count once.
                let already = self.rest_remaining(now);
                if already.is_none() {
                    self.throttled = self.throttled.saturating_add(1);
                }
                let rest = pause_after(self.throttled, *retry_after);
                let rest = rest.min(self.limits.max_rest);
                self.resting = Some(now + already.map_or(rest, |already| already.max(rest)));
                self.throttling_unlogged += 1;
                self.last_error = Some(error.to_string());
                self.healthy_since = None;
                return Change::None;
            }
            // Another node may serve the address afterwards.
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
        self.count(now, weight, attempt)
    }

    /// The number of throttlings since the last log line, if another line is due.
    pub(super) fn throttled_since_log(&mut self, now: Instant) -> Option<u64> {
        if self.throttling_unlogged == 0 {
            return None;
        }
        self.throttling_log.admit_at("throttled", 1, now)?;
        Some(std::mem::take(&mut self.throttling_unlogged))
    }

    /// Records that it does not have what another provider returned.
    pub(super) fn record_missing(&mut self, now: Instant, error: &NodeError) -> Change {
        self.last_error = Some(error.to_string());
        self.count(now, 1, Attempt::Regular)
    }

    fn count(&mut self, now: Instant, weight: u32, attempt: Attempt) -> Change {
        self.healthy_since = None;
        self.failures = self.failures.saturating_add(weight);
        match self.open {
            Some(_) if attempt == Attempt::Trial => {
                self.open = Some(now + self.cooldown.next_delay());
                Change::None
            }
            Some(_) => Change::None,
            None if self.failures >= self.limits.failures => {
                self.cooldown.reset();
                self.open = Some(now + self.cooldown.next_delay());
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
            max_rest: 60 * SECOND,
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
    fn circuit_opens_on_consecutive_failures() {
        let (mut health, now) = (health(), Instant::now());
        for _ in 0..2 {
            assert_eq!(
                health.failed(now, &unreachable(), Attempt::Regular),
                Change::None
            );
        }
        health.succeeded(now, SECOND, Attempt::Regular);
        for _ in 0..2 {
            assert_eq!(
                health.failed(now, &unreachable(), Attempt::Regular),
                Change::None
            );
        }
        assert!(health.is_usable(now));
        assert_eq!(
            health.failed(now, &unreachable(), Attempt::Regular),
            Change::Opened
        );
        assert_eq!(health.state(now), ProviderState::Failed);
        assert!(!health.proven);
    }

    #[test]
    fn wrong_data_opens_circuit_until_trial() {
        let (mut health, now) = (health(), Instant::now());
        assert_eq!(health.failed(now, &bad(), Attempt::Regular), Change::Opened);
        assert_eq!(
            health.succeeded(now, SECOND, Attempt::Regular),
            Change::None
        );
        assert!(!health.is_trial_due(now) && health.is_trial_due(now + SECOND));
        // Failed trials double the cooldown, up to a bound; failures of earlier requests do not.
        let mut at = now + SECOND;
        health.failed(at, &bad(), Attempt::Regular);
        assert!(health.is_trial_due(at));
        for wait in [2, 4, 8, 16, 16] {
            health.failed(at, &unreachable(), Attempt::Trial);
            assert!(!health.is_trial_due(at + SECOND * wait - Duration::from_millis(1)));
            at += SECOND * wait;
            assert!(health.is_trial_due(at));
        }
        assert_eq!(health.succeeded(at, SECOND, Attempt::Trial), Change::Closed);
        assert_eq!(health.state(at), ProviderState::Ok);
    }

    #[test]
    fn rest_follows_retry_after_up_to_maximum() {
        let (mut health, now) = (health(), Instant::now());
        let throttled = |seconds| NodeError::Throttled {
            url: "http://a".to_owned(),
            reason: "429".to_owned(),
            retry_after: Some(SECOND * seconds),
        };
        health.failed(now, &throttled(7), Attempt::Regular);
        assert_eq!(health.state(now), ProviderState::Resting);
        assert_eq!(health.rest_remaining(now), Some(7 * SECOND));
        assert!(health.is_usable(now + 7 * SECOND));
        health.failed(now, &throttled(100_000), Attempt::Regular);
        assert_eq!(health.rest_remaining(now), Some(60 * SECOND));
    }

    #[test]
    fn rest_without_retry_after_doubles() {
        let (mut health, mut now) = (health(), Instant::now());
        let throttled = NodeError::Throttled {
            url: "http://a".to_owned(),
            reason: "429".to_owned(),
            retry_after: None,
        };
        let mut rests = Vec::new();
        for _ in 0..3 {
            // Two parallel ones count once.
            health.failed(now, &throttled, Attempt::Regular);
            health.failed(now, &throttled, Attempt::Regular);
            let rest = health.rest_remaining(now).unwrap();
            rests.push(rest.as_millis());
            now += rest;
        }
        assert_eq!(rests, [500, 1_000, 2_000]);
        health.succeeded(now, SECOND, Attempt::Regular);
        health.failed(now, &throttled, Attempt::Regular);
        assert_eq!(health.rest_remaining(now), Some(SECOND / 2));
    }

    #[test]
    fn zero_retry_after_does_not_shorten_rest() {
        let (mut health, mut now) = (health(), Instant::now());
        let throttled = NodeError::Throttled {
            url: "http://a".to_owned(),
            reason: "429".to_owned(),
            retry_after: Some(Duration::ZERO),
        };
        let mut rests = Vec::new();
        for _ in 0..3 {
            health.failed(now, &throttled, Attempt::Regular);
            let rest = health.rest_remaining(now).unwrap();
            rests.push(rest.as_millis());
            now += rest;
        }
        assert_eq!(rests, [500, 1_000, 2_000]);
    }

    #[test]
    fn throttling_is_logged_once_per_minute() {
        let (mut health, now) = (health(), Instant::now());
        let throttled = NodeError::Throttled {
            url: "http://a".to_owned(),
            reason: "429".to_owned(),
            retry_after: None,
        };
        assert_eq!(health.throttled_since_log(now), None);
        health.failed(now, &throttled, Attempt::Regular);
        assert_eq!(health.throttled_since_log(now), Some(1));
        for _ in 0..5 {
            health.failed(now, &throttled, Attempt::Regular);
            assert_eq!(health.throttled_since_log(now + SECOND), None);
        }
        assert_eq!(health.throttled_since_log(now + 61 * SECOND), Some(5));
    }

    #[test]
    fn health_starts_at_first_good_answer() {
        let (mut health, now) = (health(), Instant::now());
        assert!(!health.is_healthy_for(SECOND, now));
        health.succeeded(now, SECOND, Attempt::Regular);
        assert!(health.is_healthy_for(SECOND, now + SECOND));
        health.failed(now + SECOND, &unreachable(), Attempt::Regular);
        health.succeeded(now + SECOND, SECOND, Attempt::Regular);
        assert!(!health.is_healthy_for(SECOND, now + SECOND + SECOND / 2));
        assert!(health.is_healthy_for(SECOND, now + 2 * SECOND));
    }

    #[test]
    fn missing_data_fails_only_if_another_has_it() {
        let (mut health, now) = (health(), Instant::now());
        let missing = NodeError::Missing {
            url: "http://a".to_owned(),
            what: "block 7".to_owned(),
        };
        for _ in 0..9 {
            health.failed(now, &missing, Attempt::Regular);
        }
        assert_eq!(health.state(now), ProviderState::Ok);
        for _ in 0..3 {
            health.record_missing(now, &missing);
        }
        assert_eq!(health.state(now), ProviderState::Failed);
    }
}
