//! Checks of channels against their updates, for `chaincast verify`. Reads all updates, so REST requests must not use
//! it.

use chaincast_protocol::channel::RetentionRule;

use super::{Store, StoreError, retention::KEEP, updates::channels_retained_as};

impl Store {
    /// Channels whose updates do not end at the channel's seq, have a hole, or are fewer than retention leaves; at most
    /// `limit`, each described in words. Correct beside concurrent writers: a transaction assigns a seq together with
    /// its update, and one statement sees both or neither.
    ///
    /// A watched channel begins at its own seq. Retention keeps at least the newest update of a room and of a subject's
    /// channel, and the newest `retention::KEEP` of any other.
    pub async fn channel_faults(&self, limit: u32) -> Result<Vec<String>, StoreError> {
        let rules = [RetentionRule::Subject, RetentionRule::Room];
        let short: Vec<String> = rules.into_iter().flat_map(channels_retained_as).collect();
        Ok(sqlx::query_scalar(
            "SELECT format('channel %s is at seq %s and has ', c.name, c.seq) || CASE u.count WHEN 0 THEN 'no update'
                 ELSE format('%s updates from %s to %s', u.count, u.first, u.last) END
                 || CASE WHEN w.since > 0 THEN format('; it begins behind %s', w.since) ELSE '' END
             FROM channels c LEFT JOIN watches w ON w.channel_id = c.id
             CROSS JOIN LATERAL (SELECT count(*) AS count, min(seq) AS first, max(seq) AS last
                 FROM updates WHERE channel_id = c.id) AS u
             WHERE u.count < least(c.seq - coalesce(w.since, 0),
                     CASE WHEN c.name LIKE ANY ($3) THEN 1 ELSE $2::bigint END)
                 OR u.last <> c.seq OR u.last - u.first + 1 <> u.count
             ORDER BY c.name LIMIT $1",
        )
        .bind(i64::from(limit))
        .bind(i64::from(KEEP))
        .bind(short)
        .fetch_all(&self.pool)
        .await?)
    }
}
