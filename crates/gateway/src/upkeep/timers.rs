//! The timer task: ends of subscription intervals, and periodic upkeep.

use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

use super::backlog_monitor::BacklogMonitor;
use crate::{hub::Hub, observe::SessionLog};

/// Interval of the upkeep.
const UPKEEP: Duration = Duration::from_secs(1);
/// A channel without subscribers can be dropped after this time without an update.
const IDLE: Duration = Duration::from_secs(60);

/// See the module's description.
pub(crate) struct Timers {
    pub hub: Hub,
    pub backlog: Arc<BacklogMonitor>,
    pub session_log: Arc<SessionLog>,
}

impl Timers {
    /// Runs forever.
    pub(crate) async fn run(&self) {
        let mut upkeep = interval(UPKEEP);
        upkeep.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            // Without a due time, the next upkeep checks again.
            let due = self.hub.fire_due().map(Instant::from_std);
            tokio::select! {
                () = async {
                    match due {
                        Some(due) => sleep_until(due).await,
                        None => std::future::pending().await,
                    }
                } => {}
                () = self.hub.rearmed() => {}
                _ = upkeep.tick() => {
                    self.hub.forget_idle(IDLE);
                    self.backlog.measure();
                    self.session_log.report();
                }
            }
        }
    }
}
