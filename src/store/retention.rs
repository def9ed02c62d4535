//! Old rows go: the log of updates is for clients that come back, dropped blocks for those who ask what became of one,
//! and ticks and prices for those who ask how a price came about: candles keep its course. The canonical chain stays whole, as it is proved from its first block to its head.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::{Store, StoreConfig, StoreError};

const EVERY: Duration = Duration::from_secs(600);
/// Each channel keeps at least this many of its newest updates, however old they are.
pub(super) const KEEP: u32 = 1_000;
/// Updates a statement, so that none holds locks for long.
const UPDATES: u32 = 10_000;
/// Dropped blocks a statement: each holds its transactions and logs.
const DROPPED: u32 = 500;
/// Alerts, or fired ones, a statement.
const ALERTS: u32 = 10_000;
/// Ticks without a partition, prices, and candles, a statement.
const TICKS: u32 = 10_000;
const PRICES: u32 = 10_000;
const CANDLES: u32 = 10_000;
/// Most statements, each with the limit of a reader's, in what is waited for at once.
const STATEMENTS: u32 = 4;
const MS_PER_HOUR: i64 = 3_600_000;

impl Store {
    /// Deletes what is older than the config says, now and then, until `stop`. Only the indexer runs it.
    pub async fn retain(self, config: StoreConfig, stop: CancellationToken) {
        let updates_ms = i64::from(config.updates_retention_hours) * MS_PER_HOUR;
        let alerts_ms = i64::from(config.alert_retention_hours) * MS_PER_HOUR;
        let dropped_ms = i64::from(config.dropped_retention_hours) * MS_PER_HOUR;
        let (tick_days, candle_days) = (config.ticks_retention_days, config.candles_retention_days);
        let price_days = config.prices_retention_days;
        let mut ticks = tokio::time::interval(EVERY);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = ticks.tick() => {}
            }
            if let Err(error) = self.bounded(self.add_tick_days()).await {
                tracing::warn!(%error, "partitions of ticks could not be made ahead; trying again later");
            }
            if tick_days > 0 {
                until_none("days of ticks", &stop, || {
                    self.bounded(self.drop_tick_days(tick_days))
                })
                .await;
                until_none("ticks", &stop, || {
                    self.bounded(self.prune_ticks(tick_days, TICKS))
                })
                .await;
            }
            if price_days > 0 {
                until_none("prices", &stop, || {
                    self.bounded(self.prune_prices(price_days, PRICES))
                })
                .await;
            }
            if candle_days > 0 {
                let prune = || self.bounded(self.prune_candles(candle_days, CANDLES));
                until_none("candles", &stop, prune).await;
            }
            if updates_ms > 0 {
                let prune = || self.bounded(self.prune_updates(updates_ms, KEEP, UPDATES));
                until_none("updates", &stop, prune).await;
            }
            let (of_user, most) = (config.alert_history, config.updates_per_channel);
            until_none("updates of long channels", &stop, || {
                self.bounded(self.prune_long_channels(of_user, most, UPDATES))
            })
            .await;
            if dropped_ms > 0 {
                until_none("dropped blocks", &stop, || {
                    self.bounded(self.prune_dropped(dropped_ms, DROPPED))
                })
                .await;
            }
            let keep = config.alert_history;
            until_none("fired alerts", &stop, || {
                self.bounded(self.prune_deliveries(alerts_ms, keep, ALERTS))
            })
            .await;
            until_none("alerts", &stop, || {
                self.bounded(self.prune_alerts(alerts_ms, keep, ALERTS))
            })
            .await;
        }
    }

    /// Waits no longer than the server may work on it: a connection that was cut off may never say so.
    pub(super) async fn bounded<T>(
        &self,
        work: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let limit = self.patience * STATEMENTS;
        match tokio::time::timeout(limit, work).await {
            Ok(done) => done,
            Err(_) => Err(StoreError::Silent(limit)),
        }
    }

    /// Runs a statement that deletes by age (`$1`, in ms) and by place (`$2`, how many of the newest stay), at most `$3`
    /// rows. Returns how many went.
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

    /// Deletes dropped blocks whose height has been final for `older_than_ms`, at most `limit` in one call; returns
    /// how many went. That a height is final is noted by the first call that finds it so: the time counts from there.
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

/// Deletes in small statements until nothing is left to delete, or it fails.
async fn until_none<F>(what: &str, stop: &CancellationToken, prune: impl Fn() -> F)
where
    F: Future<Output = Result<u64, StoreError>>,
{
    let mut gone = 0;
    while !stop.is_cancelled() {
        match prune().await {
            Ok(0) => break,
            Ok(rows) => gone += rows,
            Err(error) => {
                tracing::warn!(%error, "old {what} could not be deleted; trying again later");
                break;
            }
        }
    }
    if gone > 0 {
        tracing::info!(rows = gone, "deleted {what} that are past their retention");
    }
}
