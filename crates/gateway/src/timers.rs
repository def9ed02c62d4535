//! The timer task of a hub: ends of subscription intervals, and periodic upkeep of the channels.

use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

use super::hub::Hub;

/// Interval of the upkeep.
const UPKEEP: Duration = Duration::from_secs(1);
/// A channel without subscribers can be dropped after this time without an update.
const IDLE: Duration = Duration::from_secs(60);

impl Hub {
    /// Runs forever.
    pub async fn run_timers(&self) {
        let mut upkeep = interval(UPKEEP);
        upkeep.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            // Without a due time, the next upkeep checks again.
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
                    self.session_log().report();
                }
            }
        }
    }
}
