//! Deliveries: fired alerts, kept until one of the user's devices acknowledges them or retention deletes them. They are
//! read and acknowledged together with the messages to the user (`messages`).

use std::sync::Arc;

use bigdecimal::BigDecimal;
use chrono::{DateTime, Utc};
use serde_json::value::RawValue;
use sqlx::{PgConnection, Row, postgres::PgRow, types::Json};

use super::{
    Store, StoreError, alert_columns, alert_firing::Fired, messages::DELIVERIES,
    prices::parse_status,
};
use chaincast_protocol::{Channel, EventName, JsonNumber, PriceAlert, PriceStatus, Update};

/// A user's unacknowledged deliveries, as of one position of the user's channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unacknowledged {
    /// Seq of the channel's newest update at that time.
    pub through: u64,
    /// The newest of them, oldest first, each as it was published.
    pub updates: Vec<Update>,
}

/// Stores fired alerts, each with the update appended to its user's channel in the same transaction.
pub async fn insert(
    transaction: &mut PgConnection,
    fired: &[Fired],
    updates: &[Update],
) -> Result<(), StoreError> {
    if fired.is_empty() {
        return Ok(());
    }
    fn column<T>(fired: &[Fired], value: impl Fn(&PriceAlert) -> T) -> Vec<T> {
        fired.iter().map(|fired| value(&fired.alert)).collect()
    }
    let subjects: Vec<String> = fired
        .iter()
        .map(|fired| fired.subject.to_string())
        .collect();
    let seqs: Vec<i64> = updates.iter().map(|update| update.seq as i64).collect();
    if seqs.len() != fired.len() {
        return Err(StoreError::Conflict(format!(
            "{} alerts fired, but {} updates were appended for them",
            fired.len(),
            seqs.len()
        )));
    }
    let timestamps = fired
        .iter()
        .map(|fired| alert_columns::timestamptz(fired.alert.timestamp))
        .collect::<Result<Vec<DateTime<Utc>>, _>>()?;
    let degraded = |alert: &PriceAlert| alert.status == PriceStatus::Degraded;
    sqlx::query(
        "INSERT INTO alert_deliveries (id, alert_id, subject, seq, token, condition, threshold, price, status, note,
             fired_at)
         SELECT id, alert_id, subject, seq, token, condition, threshold, price,
                CASE WHEN degraded THEN 'degraded' ELSE 'ok' END, note, fired_at
         FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::bigint[], $5::text[], $6::text[], $7::numeric[],
                     $8::numeric[], $9::boolean[], $10::text[], $11::timestamptz[])
              AS t (id, alert_id, subject, seq, token, condition, threshold, price, degraded, note, fired_at)",
    )
    .bind(column(fired, |alert| alert.id))
    .bind(column(fired, |alert| alert.alert_id))
    .bind(subjects)
    .bind(seqs)
    .bind(column(fired, |alert| alert.token.to_string()))
    .bind(column(fired, |alert| alert.condition.name()))
    .bind(column(fired, |alert| alert.threshold.0.clone()))
    .bind(column(fired, |alert| alert.price.0.clone()))
    .bind(column(fired, degraded))
    .bind(column(fired, |alert| alert.note.as_deref().map(str::to_owned)))
    .bind(timestamps)
    .execute(transaction)
    .await?;
    Ok(())
}

impl Store {
    /// A user's unacknowledged deliveries, the newest `most` of them.
    pub async fn unacknowledged(
        &self,
        subject: &str,
        most: u32,
    ) -> Result<Unacknowledged, StoreError> {
        let channel = Channel::User(subject.into());
        // One statement, so that deliveries and position are from one snapshot: a delivery missing here is published
        // after it.
        let statement = format!(
            "SELECT c.seq AS through, d.* FROM channels c LEFT JOIN LATERAL (
                 SELECT * FROM ({DELIVERIES}) both_kinds ORDER BY id DESC LIMIT $3) d ON true
             WHERE c.name = $1 ORDER BY d.id"
        );
        let query = sqlx::query(&statement)
            .bind(channel.to_string())
            .bind(subject)
            .bind(i64::from(most))
            .fetch_all(&self.live_reads);
        let mut found = Unacknowledged {
            through: 0,
            updates: Vec::new(),
        };
        for row in &self.with_read_timeout(query).await? {
            found.through = row.try_get::<i64, _>("through")?.unsigned_abs();
            if row.try_get::<Option<i64>, _>("id")?.is_some() {
                found.updates.push(update(channel.clone(), row)?);
            }
        }
        Ok(found)
    }

    /// Deletes deliveries of a user that a device acknowledged. Ids of other users, or already deleted, are ignored.
    /// Returns how many were deleted.
    pub async fn acknowledge(&self, subject: &str, ids: &[i64]) -> Result<u64, StoreError> {
        let query = sqlx::query_scalar(
            "WITH alerts AS (
                 DELETE FROM alert_deliveries WHERE subject = $1 AND id = ANY ($2) RETURNING id),
             messages AS (
                 DELETE FROM message_deliveries WHERE subject = $1 AND id = ANY ($2) RETURNING id)
             SELECT (SELECT count(*) FROM alerts) + (SELECT count(*) FROM messages)",
        )
        .bind(subject)
        .bind(ids)
        .fetch_one(&self.live);
        let deleted = self.with_read_timeout::<i64>(query).await?.unsigned_abs();
        metrics::counter!("chaincast_store_alerts_acknowledged_total").increment(deleted);
        Ok(deleted)
    }

    /// Deletes deliveries not acknowledged for `older_than_ms`, unless that is 0, and all but the newest `keep` of each
    /// user; at most `limit` per call. Returns how many were deleted.
    pub async fn prune_deliveries(
        &self,
        older_than_ms: i64,
        keep: u32,
        limit: u32,
    ) -> Result<u64, StoreError> {
        let statement = "DELETE FROM alert_deliveries WHERE id IN (
                 SELECT id FROM (
                     SELECT id, fired_at, row_number() OVER (PARTITION BY subject ORDER BY id DESC) AS place
                     FROM alert_deliveries) kept
                 WHERE place > $2 OR ($1 > 0 AND fired_at < now() - $1 * interval '1 millisecond')
                 LIMIT $3)";
        self.prune(statement, older_than_ms, keep, limit).await
    }
}

/// Describes the metrics of deliveries.
pub(super) fn describe() {
    metrics::describe_counter!(
        "chaincast_store_alerts_acknowledged_total",
        "Deliveries of alerts and messages that users acknowledged"
    );
    metrics::counter!("chaincast_store_alerts_acknowledged_total").increment(0);
}

/// A delivery as it was published: of a message, if the row has its `data`.
fn update(channel: Channel, row: &PgRow) -> Result<Update, StoreError> {
    let message: Option<Json<Box<RawValue>>> = row.try_get("data")?;
    let (event, data) = match message {
        Some(data) => (EventName::UserMessage, data.get().to_owned()),
        None => {
            let alert = serde_json::to_string(&delivery(row)?);
            let alert = alert.map_err(|error| corrupt(error.to_string()))?;
            (EventName::PriceAlert, alert)
        }
    };
    Ok(Update {
        channel,
        seq: row.try_get::<i64, _>("seq")?.unsigned_abs(),
        event,
        data: data.into(),
    })
}

/// A row of `alert_deliveries`.
pub(super) fn delivery(row: &PgRow) -> Result<PriceAlert, StoreError> {
    let (threshold, price): (BigDecimal, BigDecimal) =
        (row.try_get("threshold")?, row.try_get("price")?);
    let (status, note): (&str, Option<&str>) = (row.try_get("status")?, row.try_get("note")?);
    let fired_at: DateTime<Utc> = row.try_get("fired_at")?;
    Ok(PriceAlert {
        id: row.try_get("id")?,
        alert_id: row.try_get("alert_id")?,
        token: alert_columns::token(row)?,
        condition: alert_columns::condition(row)?,
        threshold: JsonNumber(threshold),
        price: JsonNumber(price),
        status: parse_status(status).ok_or_else(|| corrupt(format!("status {status:?}")))?,
        note: note.map(Arc::from),
        timestamp: fired_at.timestamp_millis(),
    })
}

fn corrupt(reason: String) -> StoreError {
    StoreError::Corrupt {
        what: "alert delivery",
        reason,
    }
}
