//! The timer task: ends of subscription intervals, and periodic upkeep.

use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

use super::backlog_monitor::BacklogMonitor;
use crate::{hub::Hub, observe::SessionLog};

/// Interval of the upkeep.
const UPKEEP: Duration = Duration::from_secs(1);
/// A channel without subscribers can be dropped after this time without an update.
const IDLE: Duration = Duration::from_secs(60);

/// Runs forever.
pub async fn run_timers(hub: &Hub, backlog: &BacklogMonitor, session_log: &SessionLog) {
    let mut upkeep = interval(UPKEEP);
    upkeep.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        // Without a due time, the next upkeep checks again.
        let due = hub.fire_due().map(Instant::from_std);
        tokio::select! {
            () = async {
                match due {
                    Some(due) => sleep_until(due).await,
                    None => std::future::pending().await,
                }
            } => {}
            () = hub.rearmed() => {}
            _ = upkeep.tick() => {
                hub.forget_idle(IDLE);
                backlog.measure();
                session_log.report();
            }
        }
    }
}
