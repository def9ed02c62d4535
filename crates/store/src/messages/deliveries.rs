//! Messages to users, kept until a device acknowledges them or retention deletes them.

use sqlx::{PgConnection, Row, postgres::PgRow};

use chaincast_protocol::Update;

use super::NewMessage;
use crate::{Store, StoreError};

/// The deliveries of one subject (`$2`), of alerts and of messages, the newest `$3` of each: the columns of
/// `alert_deliveries`, and `data` of a message.
pub(crate) const DELIVERIES: &str = "
    (SELECT id, seq, alert_id, token, condition, threshold, price, status, note, fired_at, NULL::json AS data
     FROM alert_deliveries WHERE subject = $2 ORDER BY id DESC LIMIT $3)
    UNION ALL
    (SELECT id, seq, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, data
     FROM message_deliveries WHERE subject = $2 ORDER BY id DESC LIMIT $3)";

/// Ids for so many deliveries, rising.
pub(super) async fn ids(
    transaction: &mut PgConnection,
    count: usize,
) -> Result<Vec<i64>, StoreError> {
    if count == 0 {
        return Ok(Vec::new());
    }
    let rows = sqlx::query(
        "SELECT nextval(pg_get_serial_sequence('alert_deliveries', 'id')) AS id FROM generate_series(1, $1)",
    )
    .bind(i64::try_from(count).unwrap_or(i64::MAX))
    .fetch_all(transaction)
    .await?;
    let ids = rows.iter().map(|row: &PgRow| Ok(row.try_get("id")?));
    let mut ids = ids.collect::<Result<Vec<i64>, StoreError>>()?;
    ids.sort_unstable();
    Ok(ids)
}

/// Stores the deliveries of messages to users, each with its id and with its update.
pub(super) async fn insert(
    transaction: &mut PgConnection,
    deliveries: &[(i64, &NewMessage, &Update)],
) -> Result<(), StoreError> {
    if deliveries.is_empty() {
        return Ok(());
    }
    let (mut ids, mut subjects, mut seqs, mut texts) = (vec![], vec![], vec![], vec![]);
    for (id, message, update) in deliveries {
        ids.push(*id);
        subjects.push(message.recipient().unwrap_or_default().to_owned());
        seqs.push(update.seq as i64);
        texts.push(update.data.to_string());
    }
    sqlx::query(
        "INSERT INTO message_deliveries (id, subject, seq, data)
         SELECT id, subject, seq, data::json
         FROM unnest($1::bigint[], $2::text[], $3::bigint[], $4::text[]) AS t (id, subject, seq, data)",
    )
    .bind(ids)
    .bind(subjects)
    .bind(seqs)
    .bind(texts)
    .execute(transaction)
    .await?;
    Ok(())
}

impl Store {
    /// Deletes deliveries of messages not acknowledged for `older_than_ms`, unless that is 0, and all but the newest `keep`
    /// of each user; at most `limit` per call. Returns how many were deleted.
    pub async fn prune_message_deliveries(
        &self,
        older_than_ms: i64,
        keep: u32,
        limit: u32,
    ) -> Result<u64, StoreError> {
        let statement = "DELETE FROM message_deliveries WHERE id IN (
                 SELECT id FROM (
                     SELECT id, created_at, row_number() OVER (PARTITION BY subject ORDER BY id DESC) AS place
                     FROM message_deliveries) kept
                 WHERE place > $2 OR ($1 > 0 AND created_at < now() - $1 * interval '1 millisecond')
                 LIMIT $3)";
        self.prune(statement, older_than_ms, keep, limit).await
    }
}
