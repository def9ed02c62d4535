//! The one clock of a hub: ends of intervals, and channels to forget.

use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

use super::hub::Hub;

/// How often channels to forget are looked for.
const UPKEEP: Duration = Duration::from_secs(1);
/// A channel that nobody listens to may be forgotten when it had no update for this long.
const IDLE: Duration = Duration::from_secs(60);

impl Hub {
    /// Runs for as long as it is polled.
    pub async fn run_clock(&self) {
        let mut upkeep = interval(UPKEEP);
        upkeep.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            // Nothing waits: the next tick of the upkeep is soon enough to look again.
            let due = self.fire_due().map(Instant::from_std);
            tokio::select! {
                () = async {
                    match due {
                        Some(due) => sleep_until(due).await,
                        None => std::future::pending().await,
                    }
                } => {}
                () = self.rearmed() => {}
                _ = upkeep.tick() => {
                    self.forget_idle(IDLE);
                    self.measure_backlog();
                    self.journal().report();
                }
            }
        }
    }
}
