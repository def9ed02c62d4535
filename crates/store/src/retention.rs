//! Retention: deletes old rows. Updates are kept for clients that reconnect, dropped blocks for queries about their
//! transactions, ticks and prices for queries about how a price was formed; candles keep the price history. The
//! canonical chain is never deleted, as it is verified from its first block to its head.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::{
    Store, StoreConfig, StoreError,
    updates::{ChannelLimit, subject_channels},
};

const EVERY: Duration = Duration::from_secs(600);
/// Each channel keeps at least this many of its newest updates, regardless of age.
pub(super) const KEEP: u32 = 1_000;
/// Updates per statement, so that none holds locks for long.
const UPDATES: u32 = 10_000;
/// Dropped blocks per statement: each contains its transactions and logs.
const DROPPED: u32 = 500;
/// Alerts, or deliveries, per statement.
const ALERTS: u32 = 10_000;
/// Ticks without a partition, prices and candles per statement.
const TICKS: u32 = 10_000;
const PRICES: u32 = 10_000;
const CANDLES: u32 = 10_000;
/// Keys of messages per statement.
const KEYS: u32 = 10_000;
/// The most statements in one job: its timeout is this many times the read timeout.
const STATEMENTS: u32 = 4;
const MS_PER_HOUR: i64 = 3_600_000;

/// How long messages and their keys are kept, beside the rules of all updates.
#[derive(Debug, Clone, Default)]
pub struct MessageRetention {
    /// The history of rooms; the first whose pattern matches decides.
    pub rooms: Vec<ChannelLimit>,
    /// How long a key identifies a message.
    pub keys: Duration,
}

impl Store {
    /// Deletes rows past their retention every 10 minutes until `stop`. Only the indexer runs it.
    pub async fn run_retention(
        self,
        config: StoreConfig,
        messages: MessageRetention,
        stop: CancellationToken,
    ) {
        let updates_ms = i64::from(config.updates_retention_hours) * MS_PER_HOUR;
        let alerts_ms = i64::from(config.alert_retention_hours) * MS_PER_HOUR;
        let dropped_ms = i64::from(config.dropped_retention_hours) * MS_PER_HOUR;
        let (tick_days, candle_days) = (config.ticks_retention_days, config.candles_retention_days);
        let price_days = config.prices_retention_days;
        let limits = channel_limits(&config, &messages);
        let mut ticks = tokio::time::interval(EVERY);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = ticks.tick() => {}
            }
            if let Err(error) = self.with_job_timeout(self.add_tick_days()).await {
                tracing::warn!(%error, "cannot create tick partitions in advance; retrying in 10 min");
            }
            if tick_days > 0 {
                delete_all("tick partitions", &stop, || {
                    self.with_job_timeout(self.drop_tick_days(tick_days))
                })
                .await;
                delete_all("ticks", &stop, || {
                    self.with_job_timeout(self.prune_ticks(tick_days, TICKS))
                })
                .await;
            }
            if price_days > 0 {
                delete_all("prices", &stop, || {
                    self.with_job_timeout(self.prune_prices(price_days, PRICES))
                })
                .await;
            }
            if candle_days > 0 {
                let prune = || self.with_job_timeout(self.prune_candles(candle_days, CANDLES));
                delete_all("candles", &stop, prune).await;
            }
            if updates_ms > 0 {
                let prune = || self.with_job_timeout(self.prune_updates(updates_ms, KEEP, UPDATES));
                delete_all("updates", &stop, prune).await;
            }
            delete_all("updates over the channel limit", &stop, || {
                self.with_job_timeout(self.prune_long_channels(&limits, UPDATES))
            })
            .await;
            delete_all("keys of messages", &stop, || {
                self.with_job_timeout(self.prune_message_keys(messages.keys, KEYS))
            })
            .await;
            if dropped_ms > 0 {
                delete_all("dropped blocks", &stop, || {
                    self.with_job_timeout(self.prune_dropped(dropped_ms, DROPPED))
                })
                .await;
            }
            let keep = config.alert_history;
            delete_all("alert deliveries", &stop, || {
                self.with_job_timeout(self.prune_deliveries(alerts_ms, keep, ALERTS))
            })
            .await;
            delete_all("message deliveries", &stop, || {
                self.with_job_timeout(self.prune_message_deliveries(alerts_ms, keep, ALERTS))
            })
            .await;
            delete_all("alerts", &stop, || {
                self.with_job_timeout(self.prune_alerts(alerts_ms, keep, ALERTS))
            })
            .await;
        }
    }

    /// Limits `work` to the time that the server may take: a broken connection may never report an error.
    pub(super) async fn with_job_timeout<T>(
        &self,
        work: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let limit = self.read_timeout * STATEMENTS;
        match tokio::time::timeout(limit, work).await {
            Ok(done) => done,
            Err(_) => Err(StoreError::Timeout(limit)),
        }
    }

    /// Runs a statement that deletes by age (`$1`, in ms) and by rank (`$2`, number of newest rows to keep), at most
    /// `$3` rows. Returns how many were deleted.
    pub(super) async fn prune(
        &self,
        statement: &str,
        older_than_ms: i64,
        keep: u32,
        limit: u32,
    ) -> Result<u64, StoreError> {
        let done = sqlx::query(statement)
            .bind(older_than_ms)
            .bind(i64::from(keep))
            .bind(i64::from(limit))
            .execute(&self.pool)
            .await?;
        Ok(done.rows_affected())
    }

    /// Deletes dropped blocks whose height has been final for `older_than_ms`, at most `limit` per call. Returns how
    /// many were deleted. The time counts from the first call that finds the height final.
    pub async fn prune_dropped(&self, older_than_ms: i64, limit: u32) -> Result<u64, StoreError> {
        sqlx::query(
            "UPDATE dropped_blocks d SET final_at = now()
             FROM chains c
             WHERE c.chain_id = d.chain_id AND d.number <= c.finalized_number AND d.final_at IS NULL",
        )
        .execute(&self.pool)
        .await?;
        let done = sqlx::query(
            "DELETE FROM dropped_blocks WHERE (chain_id, hash, dropped_at) IN (
                 SELECT chain_id, hash, dropped_at FROM dropped_blocks
                 WHERE final_at <= now() - make_interval(secs => $1 / 1000.0)
                 ORDER BY final_at LIMIT $2)",
        )
        .bind(older_than_ms)
        .bind(i64::from(limit))
        .execute(&self.pool)
        .await?;
        Ok(done.rows_affected())
    }
}

/// The most updates of each channel: the first limit whose pattern matches decides.
fn channel_limits(config: &StoreConfig, messages: &MessageRetention) -> Vec<ChannelLimit> {
    let subjects = subject_channels().map(|pattern| ChannelLimit {
        pattern,
        keep: config.alert_history,
    });
    let others = ChannelLimit {
        pattern: "%".to_owned(),
        keep: config.updates_per_channel,
    };
    let rooms = messages.rooms.iter().cloned();
    rooms.chain(subjects).chain([others]).collect()
}

/// Deletes in small statements until nothing is left to delete, or one fails.
async fn delete_all<F>(what: &str, stop: &CancellationToken, prune: impl Fn() -> F)
where
    F: Future<Output = Result<u64, StoreError>>,
{
    let mut deleted = 0;
    while !stop.is_cancelled() {
        match prune().await {
            Ok(0) => break,
            Ok(rows) => deleted += rows,
            Err(error) => {
                tracing::warn!(%error, "cannot delete old {what}; retrying in 10 min");
                break;
            }
        }
    }
    if deleted > 0 {
        tracing::info!(rows = deleted, "deleted {what} past their retention");
    }
}
