//! Fires and arms alerts in the transaction that stores the prices.

use std::sync::Arc;

use bigdecimal::BigDecimal;
use sqlx::{PgConnection, Row, postgres::PgRow};

use super::{StoreError, alert_columns};
use chaincast_protocol::{JsonNumber, PriceAlert, PriceStatus};

/// Alerts to fire and to arm.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct DueAlerts {
    /// Alerts whose condition a published price meets.
    pub fire: Vec<Firing>,
    /// Ids of alerts to arm again.
    pub arm: Vec<i64>,
}

/// An alert to fire, and the price that fires it.
#[derive(Debug, Clone, PartialEq)]
pub struct Firing {
    /// Key in the table `alerts`.
    pub alert: i64,
    /// The published price that meets the condition, in USD.
    pub price: BigDecimal,
    /// `Ok`, or `Degraded` for an alert with `fire_on_degraded`: a stale price fires nothing.
    pub status: PriceStatus,
}

impl DueAlerts {
    /// Keeps the first `most` of each kind and returns the rest.
    pub fn split_off(&mut self, most: usize) -> Self {
        Self {
            fire: self.fire.split_off(most.min(self.fire.len())),
            arm: self.arm.split_off(most.min(self.arm.len())),
        }
    }

    /// Whether nothing is to fire or to arm.
    pub fn is_empty(&self) -> bool {
        self.fire.is_empty() && self.arm.is_empty()
    }
}

/// A fired alert and its user.
#[derive(Debug, Clone, PartialEq)]
pub struct Fired {
    /// The `sub` of its user's JWTs.
    pub subject: Arc<str>,
    /// The delivery as it is published to the user.
    pub alert: PriceAlert,
}

/// Arms and fires alerts that are still active, in the transaction that stores the prices. Returns the fired ones in
/// order of delivery id. `now_ms` is the time of publication, in ms since the Unix epoch.
pub async fn apply(
    transaction: &mut PgConnection,
    due: &DueAlerts,
    now_ms: i64,
) -> Result<Vec<Fired>, StoreError> {
    if !due.arm.is_empty() {
        sqlx::query("UPDATE alerts SET armed = true WHERE id = ANY ($1) AND state = 'active'")
            .bind(&due.arm)
            .execute(&mut *transaction)
            .await?;
    }
    if due.fire.is_empty() {
        return Ok(Vec::new());
    }
    let ids: Vec<i64> = due.fire.iter().map(|firing| firing.alert).collect();
    let prices: Vec<BigDecimal> = due.fire.iter().map(|firing| firing.price.clone()).collect();
    let degraded: Vec<bool> = due
        .fire
        .iter()
        .map(|firing| firing.status == PriceStatus::Degraded)
        .collect();
    let rows = sqlx::query(
        "UPDATE alerts a SET armed = false, fired = fired + 1, fired_at = $4,
             state = CASE WHEN hysteresis IS NULL THEN 'done' ELSE state END,
             ended_at = CASE WHEN hysteresis IS NULL THEN $4::timestamptz END
         FROM unnest($1::bigint[], $2::numeric[], $3::boolean[]) AS t (alert, price, degraded)
         WHERE a.id = t.alert AND a.state = 'active' AND a.armed
         RETURNING a.id, a.subject, a.token, a.condition, a.threshold, a.note, t.price, t.degraded,
             nextval(pg_get_serial_sequence('alert_deliveries', 'id')) AS delivery",
    )
    .bind(&ids)
    .bind(prices)
    .bind(&degraded)
    .bind(alert_columns::timestamptz(now_ms)?)
    .fetch_all(transaction)
    .await?;
    let mut fired = rows
        .iter()
        .map(|row| fired(row, now_ms))
        .collect::<Result<Vec<_>, _>>()?;
    fired.sort_unstable_by_key(|fired| fired.alert.id);
    Ok(fired)
}

fn fired(row: &PgRow, now_ms: i64) -> Result<Fired, StoreError> {
    let subject: String = row.try_get("subject")?;
    let note: Option<String> = row.try_get("note")?;
    Ok(Fired {
        subject: subject.into(),
        alert: PriceAlert {
            id: row.try_get("delivery")?,
            alert_id: row.try_get("id")?,
            token: alert_columns::token(row)?,
            condition: alert_columns::condition(row)?,
            threshold: JsonNumber(row.try_get("threshold")?),
            price: JsonNumber(row.try_get("price")?),
            status: match row.try_get("degraded")? {
                true => PriceStatus::Degraded,
                false => PriceStatus::Ok,
            },
            note: note.map(Arc::from),
            timestamp: now_ms,
        },
    })
}
