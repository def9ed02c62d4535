//! Price alerts: created and deleted by the API, armed and fired by the price writer.
//!
//! Each side changes its own columns, and only the API's changes increase the revision that the price writer follows.
//! The price writer never waits for the API: a change of an existing alert is one statement, and the price writer does
//! not take the lock under which alerts are created.

use bigdecimal::BigDecimal;
use sqlx::{PgConnection, Row, postgres::PgRow};

use super::{
    Store, StoreError,
    alert_columns::{condition, token},
    read::{AlertRow, alert_row},
};
use chaincast_model::WatchedAlert;
use chaincast_protocol::{AlertCondition, Token};

/// A requested alert.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewAlert {
    /// The `sub` of its user's JWT.
    pub subject: String,
    /// A tracked token.
    pub token: Token,
    /// The side of the threshold on which it fires.
    pub condition: AlertCondition,
    /// In USD; above zero.
    pub threshold: BigDecimal,
    /// See [`WatchedAlert::hysteresis`].
    pub hysteresis: Option<BigDecimal>,
    /// See [`WatchedAlert::fire_on_degraded`].
    pub fire_on_degraded: bool,
    /// The user's text, which its deliveries repeat.
    pub note: Option<String>,
    /// The idempotency key: the same key never creates a second alert of a user.
    pub key: Option<String>,
}

/// Limits on alerts.
#[derive(Debug, Clone, Copy)]
pub struct AlertLimits {
    /// Active alerts per user.
    pub per_user: u32,
    /// Active alerts of all users.
    pub total: u32,
    /// New alerts per user in any window of `window_ms`.
    pub creations: u32,
    /// Length of that window, in ms.
    pub window_ms: u32,
}

/// The result of creating an alert.
#[derive(Debug, Clone, PartialEq)]
pub enum Creation {
    /// The alert is stored, active and armed.
    Created(AlertRow),
    /// The key was used before, for the same alert.
    Existing(AlertRow),
    /// The key was used before, for a different alert or for one that was deleted since.
    KeyReused,
    /// The user's limit of active alerts is reached.
    TooMany,
    /// The user's rate limit is reached; the next alert may be created after this time.
    TooOften {
        /// In ms from now; at least 1.
        retry_after_ms: u64,
    },
    /// The limit of all users together is reached.
    Full,
}

impl Store {
    /// Stores a new alert, armed, unless a limit is reached.
    pub async fn create_alert(
        &self,
        new: &NewAlert,
        limits: &AlertLimits,
    ) -> Result<Creation, StoreError> {
        let mut transaction = self.begin().await?;
        // Serializes creations, so that limits and keys hold and revisions become visible in order.
        let revision: i64 =
            sqlx::query_scalar("UPDATE alerting SET revision = revision + 1 RETURNING revision")
                .fetch_one(&mut *transaction)
                .await?;
        if let Some(known) = find_by_key(&mut transaction, new).await? {
            return Ok(known);
        }
        if let Some(refused) = exceeded_limit(&mut transaction, new, limits).await? {
            return Ok(refused);
        }
        let row = sqlx::query(
            "INSERT INTO alerts (subject, token, condition, threshold, hysteresis, note, idempotency_key, revision,
                 fire_on_degraded)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) RETURNING *",
        )
        .bind(&new.subject)
        .bind(new.token.as_str())
        .bind(new.condition.name())
        .bind(&new.threshold)
        .bind(&new.hysteresis)
        .bind(&new.note)
        .bind(&new.key)
        .bind(revision)
        .bind(new.fire_on_degraded)
        .fetch_one(&mut *transaction)
        .await?;
        let made = alert_row(&row)?;
        transaction.commit().await?;
        Ok(Creation::Created(made))
    }

    /// Deletes an alert of a user; false if the id does not exist. The alert does not fire after this returns.
    pub async fn delete_alert(&self, subject: &str, id: i64) -> Result<bool, StoreError> {
        let done = sqlx::query(
            "WITH change AS (
                 UPDATE alerting SET revision = revision + 1
                 WHERE EXISTS (SELECT FROM alerts WHERE id = $2 AND subject = $1 AND state <> 'deleted')
                 RETURNING revision)
             UPDATE alerts SET state = 'deleted', ended_at = clock_timestamp(), revision = change.revision
             FROM change WHERE id = $2 AND subject = $1 AND state <> 'deleted'",
        )
        .bind(subject)
        .bind(id)
        .execute(&self.pool)
        .await?;
        Ok(done.rows_affected() > 0)
    }

    /// Deletes alerts that ended more than `older_than_ms` ago, alerts that their users deleted more than an hour ago,
    /// and, of those that fired once, all but each user's newest `keep`; at most `limit` per call. Returns how many
    /// were deleted.
    pub async fn prune_alerts(
        &self,
        older_than_ms: i64,
        keep: u32,
        limit: u32,
    ) -> Result<u64, StoreError> {
        let statement = "DELETE FROM alerts WHERE id IN (
                 SELECT id FROM (
                     SELECT id, state, ended_at,
                            row_number() OVER (PARTITION BY subject, state ORDER BY id DESC) AS place
                     FROM alerts WHERE ended_at IS NOT NULL) ended
                 WHERE ($1 > 0 AND ended_at < now() - $1 * interval '1 millisecond')
                    OR (state = 'deleted' AND ended_at < now() - interval '1 hour')
                    OR (state = 'done' AND place > $2)
                 LIMIT $3)";
        self.prune(statement, older_than_ms, keep, limit).await
    }
}

/// The result for a key that was used before.
async fn find_by_key(
    connection: &mut PgConnection,
    new: &NewAlert,
) -> Result<Option<Creation>, StoreError> {
    let Some(key) = &new.key else {
        return Ok(None);
    };
    let row = sqlx::query("SELECT * FROM alerts WHERE subject = $1 AND idempotency_key = $2")
        .bind(&new.subject)
        .bind(key)
        .fetch_optional(connection)
        .await?;
    let Some(row) = row else {
        return Ok(None);
    };
    let known = alert_row(&row)?;
    let same = known.token == new.token
        && known.condition == new.condition
        && known.threshold == new.threshold
        && known.hysteresis == new.hysteresis
        && known.fire_on_degraded == new.fire_on_degraded
        && known.note == new.note
        && row.try_get::<&str, _>("state")? != "deleted";
    Ok(Some(if same {
        Creation::Existing(known)
    } else {
        Creation::KeyReused
    }))
}

/// The first limit that a new alert would exceed.
async fn exceeded_limit(
    connection: &mut PgConnection,
    new: &NewAlert,
    limits: &AlertLimits,
) -> Result<Option<Creation>, StoreError> {
    let row = sqlx::query(
        "SELECT (SELECT count(*) FROM alerts WHERE subject = $1 AND state = 'active') AS own,
                (SELECT count(*) FROM alerts WHERE state = 'active') AS total,
                -- When the one was made that has to be out of the window before the next.
                (SELECT (extract(epoch FROM created_at + $3 * interval '1 millisecond' - clock_timestamp()) * 1000)::bigint
                 FROM alerts
                 WHERE subject = $1 AND created_at > clock_timestamp() - $3 * interval '1 millisecond'
                 ORDER BY created_at DESC LIMIT 1 OFFSET $2 - 1) AS wait_ms",
    )
    .bind(&new.subject)
    .bind(i64::from(limits.creations.max(1)))
    .bind(i64::from(limits.window_ms))
    .fetch_one(connection)
    .await?;
    let wait: Option<i64> = row.try_get("wait_ms")?;
    if let Some(wait) = wait {
        return Ok(Some(Creation::TooOften {
            retry_after_ms: wait.max(1).unsigned_abs(),
        }));
    }
    if row.try_get::<i64, _>("own")? >= i64::from(limits.per_user) {
        return Ok(Some(Creation::TooMany));
    }
    let full = row.try_get::<i64, _>("total")? >= i64::from(limits.total);
    Ok(full.then_some(Creation::Full))
}

/// The revision of the API's last change.
pub async fn revision(connection: &mut PgConnection) -> Result<i64, StoreError> {
    Ok(sqlx::query_scalar("SELECT revision FROM alerting")
        .fetch_one(connection)
        .await?)
}

/// Active alerts with an id above `after`, by id, at most `limit`.
pub async fn active(
    connection: &mut PgConnection,
    after: i64,
    limit: u32,
) -> Result<Vec<WatchedAlert>, StoreError> {
    let rows = sqlx::query(
        "SELECT id, token, condition, threshold, hysteresis, fire_on_degraded, armed FROM alerts
         WHERE state = 'active' AND id > $1 ORDER BY id LIMIT $2",
    )
    .bind(after)
    .bind(i64::from(limit))
    .fetch_all(connection)
    .await?;
    rows.iter().map(watched).collect()
}

/// An alert that the API created or deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlertChange {
    /// Rises with each change by the API; see [`revision`].
    pub revision: i64,
    /// Whether it can still fire: not once it is deleted, or has fired and does not repeat.
    pub active: bool,
    /// The alert after the change.
    pub alert: WatchedAlert,
}

/// Alerts changed after a revision, in order, at most `limit`.
pub async fn changed(
    connection: &mut PgConnection,
    after: i64,
    limit: u32,
) -> Result<Vec<AlertChange>, StoreError> {
    let rows = sqlx::query(
        "SELECT id, token, condition, threshold, hysteresis, fire_on_degraded, armed, state = 'active' AS active, revision
         FROM alerts WHERE revision > $1 ORDER BY revision LIMIT $2",
    )
    .bind(after)
    .bind(i64::from(limit))
    .fetch_all(connection)
    .await?;
    rows.iter()
        .map(|row| {
            Ok(AlertChange {
                revision: row.try_get("revision")?,
                active: row.try_get("active")?,
                alert: watched(row)?,
            })
        })
        .collect()
}

fn watched(row: &PgRow) -> Result<WatchedAlert, StoreError> {
    Ok(WatchedAlert {
        id: row.try_get("id")?,
        token: token(row)?,
        condition: condition(row)?,
        threshold: row.try_get("threshold")?,
        hysteresis: row.try_get("hysteresis")?,
        fire_on_degraded: row.try_get("fire_on_degraded")?,
        armed: row.try_get("armed")?,
    })
}
