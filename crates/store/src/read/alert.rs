//! A user's price alerts, and unacknowledged deliveries.

use bigdecimal::BigDecimal;
use sqlx::postgres::PgRow;

#[cfg(feature = "explain")]
use super::super::explain::{Known, Query};
use super::{
    super::{Store, StoreError, alert_columns, alert_deliveries},
    row::RowReader,
};
use chaincast_protocol::{AlertCondition, PriceAlert, Token};

/// An alert and its state.
#[derive(Debug, Clone, PartialEq)]
pub struct AlertRow {
    /// Key in the table `alerts`.
    pub id: i64,
    /// The token whose published prices are compared with the threshold.
    pub token: Token,
    /// The side of the threshold on which it fires.
    pub condition: AlertCondition,
    /// In USD; above zero.
    pub threshold: BigDecimal,
    /// As in [`WatchedAlert::hysteresis`](chaincast_model::WatchedAlert::hysteresis).
    pub hysteresis: Option<BigDecimal>,
    /// Whether degraded prices also fire and arm it.
    pub fire_on_degraded: bool,
    /// The user's text, which its deliveries repeat.
    pub note: Option<String>,
    /// Whether it can still fire.
    pub active: bool,
    /// Whether it fires once its condition holds.
    pub armed: bool,
    /// Number of times it fired.
    pub fired: u64,
    /// When it last fired, in ms since the Unix epoch.
    pub fired_at: Option<i64>,
    /// In ms since the Unix epoch.
    pub created_at: i64,
}

/// Selects alerts; the default selects all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AlertFilter {
    /// Only alerts on this token.
    pub token: Option<Token>,
    /// Only alerts that can still fire, or with `false` only those that cannot.
    pub active: Option<bool>,
}

impl Store {
    /// Alerts of a user, newest first, with ids below `before`, at most `limit`.
    pub async fn read_alerts(
        &self,
        subject: &str,
        filter: &AlertFilter,
        before: Option<i64>,
        limit: u32,
    ) -> Result<Vec<AlertRow>, StoreError> {
        let rows = sqlx::query(
            "SELECT * FROM alerts
             WHERE subject = $1 AND state <> 'deleted' AND id < $2
               AND ($3::text IS NULL OR token = $3) AND ($4::boolean IS NULL OR (state = 'active') = $4)
             ORDER BY id DESC LIMIT $5",
        )
        .bind(subject)
        .bind(before.unwrap_or(i64::MAX))
        .bind(filter.token.as_ref().map(Token::as_str))
        .bind(filter.active)
        .bind(i64::from(limit))
        .fetch_all(&self.reads)
        .await?;
        rows.iter().map(alert_row).collect()
    }

    /// An alert of a user.
    pub async fn read_alert(&self, subject: &str, id: i64) -> Result<Option<AlertRow>, StoreError> {
        let row = sqlx::query(
            "SELECT * FROM alerts WHERE subject = $1 AND id = $2 AND state <> 'deleted'",
        )
        .bind(subject)
        .bind(id)
        .fetch_optional(&self.reads)
        .await?;
        row.as_ref().map(alert_row).transpose()
    }

    /// Unacknowledged deliveries of a user, newest first, with ids below `before`, at most `limit`.
    pub async fn read_deliveries(
        &self,
        subject: &str,
        before: Option<i64>,
        limit: u32,
    ) -> Result<Vec<PriceAlert>, StoreError> {
        let rows = sqlx::query(
            "SELECT * FROM alert_deliveries WHERE subject = $1 AND id < $2 ORDER BY id DESC LIMIT $3",
        )
        .bind(subject)
        .bind(before.unwrap_or(i64::MAX))
        .bind(i64::from(limit))
        .fetch_all(&self.reads)
        .await?;
        rows.iter().map(alert_deliveries::delivery).collect()
    }
}

/// A row of `alerts`.
pub(in super::super) fn alert_row(row: &PgRow) -> Result<AlertRow, StoreError> {
    let (token, condition) = (alert_columns::token(row)?, alert_columns::condition(row)?);
    let row = RowReader::new(row, "alert");
    Ok(AlertRow {
        id: row.get("id")?,
        token,
        condition,
        threshold: row.get("threshold")?,
        hysteresis: row.get("hysteresis")?,
        fire_on_degraded: row.get("fire_on_degraded")?,
        note: row.get("note")?,
        active: row.get::<&str>("state")? == "active",
        armed: row.get("armed")?,
        fired: row.natural("fired")?,
        fired_at: row.millis_or_null("fired_at")?,
        created_at: row.millis("created_at")?,
    })
}

#[cfg(feature = "explain")]
pub(super) fn explained<'a>(store: &'a Store, known: &'a Known) -> Vec<Query<'a>> {
    let limit = known.limit;
    vec![
        Query::new("read_alerts", async move {
            let every = AlertFilter::default();
            store.read_alerts("user-7", &every, None, limit).await
        }),
        Query::new("read_alerts, some", async move {
            let some = AlertFilter {
                token: Some(known.token.clone()),
                active: Some(true),
            };
            store
                .read_alerts("user-7", &some, Some(10_000), limit)
                .await
        }),
        Query::new("read_alert", store.read_alert("user-7", 7)),
        Query::new(
            "read_deliveries",
            store.read_deliveries("user-7", None, limit),
        ),
        Query::new(
            "read_deliveries behind one",
            store.read_deliveries("user-7", Some(10_000), limit),
        ),
    ]
}
