//! Old updates go: the log of updates is for clients that come back, not an archive.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::{Store, StoreConfig};

const EVERY: Duration = Duration::from_secs(600);
/// Each channel keeps at least this many of its newest updates, however old they are.
const KEEP: u32 = 1_000;
/// Rows a statement, so that none holds locks for long.
const BATCH: u32 = 10_000;

impl Store {
    /// Deletes what is older than the config says, now and then, until `stop`. Only the indexer runs it.
    pub async fn retain_updates(self, config: StoreConfig, stop: CancellationToken) {
        let hours = i64::from(config.updates_retention_hours);
        if hours == 0 {
            return;
        }
        let mut ticks = tokio::time::interval(EVERY);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = ticks.tick() => {}
            }
            let mut gone = 0;
            while !stop.is_cancelled() {
                match self.prune_updates(hours * 3_600_000, KEEP, BATCH).await {
                    Ok(0) => break,
                    Ok(rows) => gone += rows,
                    Err(error) => {
                        tracing::warn!(%error, "old updates could not be deleted; trying again later");
                        break;
                    }
                }
            }
            if gone > 0 {
                tracing::info!(rows = gone, "deleted updates that are past their retention");
            }
        }
    }
}
