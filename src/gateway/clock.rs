//! The one clock of a hub: ends of intervals, the heartbeat channel, and the sweep over the sessions.

use std::time::Duration;

use serde::Deserialize;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

use super::{
    channel::{Entry, Snapshot},
    hub::Hub,
};
use crate::model::{Channel, now_ms};

const HEARTBEAT: Duration = Duration::from_secs(1);
/// A channel that nobody listens to may be forgotten when it had no update for this long.
const IDLE: Duration = Duration::from_secs(60);

impl Hub {
    /// Runs for as long as it is polled.
    pub async fn run_clock(&self) {
        let mut heartbeat = interval(HEARTBEAT);
        heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut sweep = interval(self.sweep_interval());
        sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            // Nothing waits: the next tick of the sweep is soon enough to look again.
            let due = self.fire_due().map(Instant::from_std);
            tokio::select! {
                () = async {
                    match due {
                        Some(due) => sleep_until(due).await,
                        None => std::future::pending().await,
                    }
                } => {}
                () = self.rearmed() => {}
                _ = sweep.tick() => self.sweep(),
                _ = heartbeat.tick() => {
                    self.beat();
                    self.forget_idle(IDLE);
                    self.measure_backlog();
                    self.journal().report();
                }
            }
        }
    }

    /// Sends the heartbeat to those who listen to it.
    fn beat(&self) {
        let head = self
            .head()
            .map_or("null".to_owned(), |number| number.to_string());
        let entry = Entry {
            seq: None,
            event: "heartbeat".into(),
            data: format!(r#"{{"timestamp":{},"head":{head}}}"#, now_ms()).into(),
        };
        self.announce([(Channel::Heartbeat, entry)].into_iter());
    }

    /// Number of the newest block of the first chain that was announced.
    fn head(&self) -> Option<u64> {
        #[derive(Deserialize)]
        struct Block {
            number: u64,
        }
        let channels = self.channels().lock();
        let slot = channels.find(&Channel::NewBlock(None))?;
        let Snapshot::Newest(entry) = channels.slots[slot].snapshot.clone() else {
            return None;
        };
        drop(channels);
        let block: Block = serde_json::from_str(&entry.data).ok()?;
        Some(block.number)
    }
}
