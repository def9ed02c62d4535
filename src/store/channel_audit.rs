//! Whether the channels agree with their updates: what `chaincast verify` asks. It reads all updates, which no reader of REST
//! may.

use super::{Store, StoreError};

impl Store {
    /// Channels whose updates do not end at their seq, or have a hole; at most `limit`, each in words. A user's channel
    /// may keep no update, and a watched one begins at a seq of its own.
    pub async fn channel_faults(&self, limit: u32) -> Result<Vec<String>, StoreError> {
        Ok(sqlx::query_scalar(
            "SELECT format('channel %s is at seq %s and has ', c.name, c.seq) || CASE u.count WHEN 0 THEN 'no update'
                 ELSE format('%s updates from %s to %s', u.count, u.first, u.last) END
             FROM channels c CROSS JOIN LATERAL (SELECT count(*) AS count, min(seq) AS first, max(seq) AS last
                 FROM updates WHERE channel_id = c.id) AS u
             WHERE CASE u.count
                 WHEN 0 THEN c.seq > 0 AND c.name NOT LIKE 'user:%'
                     AND NOT EXISTS (SELECT FROM watches w WHERE w.channel_id = c.id)
                 ELSE u.last <> c.seq OR u.last - u.first + 1 <> u.count END
             ORDER BY c.name LIMIT $1",
        )
        .bind(i64::from(limit))
        .fetch_all(&self.pool)
        .await?)
    }
}
