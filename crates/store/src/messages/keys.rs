//! The keys of messages.

use std::time::Duration;

use sqlx::{PgConnection, Row};

use super::NewMessage;
use crate::{Store, StoreError};

/// A message with a key, and the place of the message in its group.
pub(super) type Keyed<'m> = (usize, &'m NewMessage);

/// Columns of keys: names of channels, subjects, keys.
type Columns = (Vec<String>, Vec<String>, Vec<String>);

fn columns(keyed: &[Keyed<'_>]) -> Columns {
    let mut columns = Columns::default();
    for (_, message) in keyed {
        columns.0.push(message.channel.to_string());
        columns.1.push(message.from.to_string());
        let key = message.key.as_ref().map(|key| key.as_str());
        columns.2.push(key.unwrap_or_default().to_owned());
    }
    columns
}

/// The messages that are stored already, each with its seq.
pub(super) async fn find(
    transaction: &mut PgConnection,
    keyed: &[Keyed<'_>],
    retention: Duration,
) -> Result<Vec<(usize, u64)>, StoreError> {
    if keyed.is_empty() {
        return Ok(Vec::new());
    }
    let (names, subjects, keys) = columns(keyed);
    let rows = sqlx::query(
        "SELECT g.place, k.seq
         FROM unnest($1::text[], $2::text[], $3::text[]) WITH ORDINALITY AS g (name, subject, key, place)
         JOIN channels c ON c.name = g.name
         JOIN message_keys k ON k.channel_id = c.id AND k.subject = g.subject AND k.key = g.key
         WHERE k.created_at >= now() - make_interval(secs => $4)",
    )
    .bind(names)
    .bind(subjects)
    .bind(keys)
    .bind(retention.as_secs_f64())
    .fetch_all(transaction)
    .await?;
    let stored = rows.iter().map(|row| {
        let place = row.try_get::<i64, _>("place")?;
        let found = usize::try_from(place - 1)
            .ok()
            .and_then(|place| keyed.get(place));
        let (at, _) = found.ok_or_else(|| StoreError::Corrupt {
            what: "message key",
            reason: format!("it belongs to message {place} of {}", keyed.len()),
        })?;
        Ok((*at, row.try_get::<i64, _>("seq")?.unsigned_abs()))
    });
    stored.collect()
}

/// Stores the keys with the seqs of their messages. False if one of them is stored already: another process stored its
/// message after [`find`], and before this transaction locked the channel.
pub(super) async fn insert(
    transaction: &mut PgConnection,
    keyed: &[Keyed<'_>],
    seqs: Vec<i64>,
    retention: Duration,
) -> Result<bool, StoreError> {
    if keyed.is_empty() {
        return Ok(true);
    }
    let (names, subjects, keys) = columns(keyed);
    let stored = sqlx::query(
        "INSERT INTO message_keys AS k (channel_id, subject, key, seq)
         SELECT c.id, g.subject, g.key, g.seq
         FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[]) AS g (name, subject, key, seq)
         JOIN channels c ON c.name = g.name
         ON CONFLICT (channel_id, subject, key) DO UPDATE SET seq = excluded.seq, created_at = excluded.created_at
             WHERE k.created_at < now() - make_interval(secs => $5)",
    )
    .bind(names)
    .bind(subjects)
    .bind(keys)
    .bind(seqs)
    .bind(retention.as_secs_f64())
    .execute(transaction)
    .await?;
    Ok(stored.rows_affected() == keyed.len() as u64)
}

impl Store {
    /// Deletes keys older than `retention`, at most `limit` per call. Returns how many were deleted.
    pub async fn prune_message_keys(
        &self,
        retention: Duration,
        limit: u32,
    ) -> Result<u64, StoreError> {
        // Rows that a writer uses are skipped: it locks several, in an order of its own.
        let done = sqlx::query(
            "DELETE FROM message_keys WHERE (channel_id, subject, key) IN (
                 SELECT channel_id, subject, key FROM message_keys
                 WHERE created_at < now() - make_interval(secs => $1) LIMIT $2 FOR UPDATE SKIP LOCKED)",
        )
        .bind(retention.as_secs_f64())
        .bind(i64::from(limit))
        .execute(&self.pool)
        .await?;
        Ok(done.rows_affected())
    }
}
