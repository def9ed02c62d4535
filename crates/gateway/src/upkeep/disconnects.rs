//! Ends the sessions of subjects that a moderator disconnects. The store has the requests, so that every gateway finds
//! them; a live message only makes it find them at once.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::{channel_log::ChannelLog, hub::Hub};

/// Interval between reads of the requests.
const EVERY: Duration = Duration::from_secs(1);
/// A read covers the time since the last one and this much more, for requests that become visible late.
const OVERLAP: Duration = Duration::from_secs(30);

/// See the module's description.
pub(crate) struct Disconnects {
    hub: Hub,
    log: Arc<dyn ChannelLog>,
}

impl Disconnects {
    pub(crate) fn new(hub: Hub, log: Arc<dyn ChannelLog>) -> Self {
        Self { hub, log }
    }

    /// Runs forever: ends the sessions of each request that it did not see before.
    pub(crate) async fn run(&self) {
        let mut ticks = interval(EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut read_at, mut failing) = (Instant::now(), false);
        let mut seen = HashSet::new();
        loop {
            ticks.tick().await;
            let now = Instant::now();
            match self.log.disconnects(read_at.elapsed() + OVERLAP).await {
                Ok(requests) => {
                    (read_at, failing) = (now, false);
                    let ids = requests.iter().map(|request| request.id).collect();
                    let new = requests.into_iter().rev();
                    // The newest of a subject is the last, and includes the others.
                    let new: HashMap<String, Duration> = new
                        .filter(|request| !seen.contains(&request.id))
                        .map(|request| (request.subject, request.age))
                        .collect();
                    if !new.is_empty() {
                        self.hub.disconnect(&new).await;
                    }
                    seen = ids;
                }
                Err(error) if !std::mem::replace(&mut failing, true) => {
                    tracing::warn!(%error, "cannot read which sessions must end; retrying every second");
                }
                Err(_) => {}
            }
        }
    }
}
