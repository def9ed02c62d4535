//! The update log: appended within a writer's transaction, read by channel and seq.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use serde_json::value::RawValue;
use sqlx::{PgConnection, Row, postgres::PgRow, types::Json};

#[cfg(feature = "explain")]
use super::explain::{Known, Query};
use super::{Store, StoreError};
use chaincast_protocol::{
    Channel, EventName, NewUpdate, Update,
    channel::{KINDS, RetentionRule},
};

/// Appends updates in the given order and assigns each its seq. The channels' rows stay locked until the transaction
/// ends, so within a channel seq order is commit order.
pub async fn append(
    transaction: &mut PgConnection,
    updates: Vec<NewUpdate>,
) -> Result<Vec<Update>, StoreError> {
    if updates.is_empty() {
        return Ok(Vec::new());
    }
    // Sorted names: writers that share channels take the row locks in one order.
    let mut counts = BTreeMap::<String, i64>::new();
    for update in &updates {
        *counts.entry(update.channel.to_string()).or_default() += 1;
    }
    let (names, counts): (Vec<String>, Vec<i64>) = counts.into_iter().unzip();
    let rows = sqlx::query(
        "INSERT INTO channels AS c (name, seq)
         SELECT name, n FROM unnest($1::text[], $2::bigint[]) AS t (name, n) ORDER BY name
         ON CONFLICT (name) DO UPDATE SET seq = c.seq + excluded.seq, updated_at = clock_timestamp()
         RETURNING id, name, seq",
    )
    .bind(&names)
    .bind(&counts)
    .fetch_all(&mut *transaction)
    .await?;
    let mut next = BTreeMap::<String, (i64, i64)>::new();
    for row in rows {
        let (name, seq): (String, i64) = (row.get("name"), row.get("seq"));
        let at = names.binary_search(&name).map_or(0, |at| counts[at]);
        next.insert(name, (row.get("id"), seq - at));
    }

    let mut committed = Vec::with_capacity(updates.len());
    let (mut ids, mut seqs, mut events, mut texts) = (vec![], vec![], vec![], vec![]);
    for update in updates {
        let corrupt = |reason: String| StoreError::Corrupt {
            what: "update",
            reason,
        };
        let name = update.channel.to_string();
        let Some((id, seq)) = next.get_mut(&name) else {
            return Err(corrupt(format!("channel {name} was assigned no seq")));
        };
        *seq += 1;
        let data = serde_json::to_string(&update.event).map_err(|e| corrupt(e.to_string()))?;
        ids.push(*id);
        seqs.push(*seq);
        let event = update.event.name();
        events.push(event.as_str().to_owned());
        texts.push(data.clone());
        committed.push(Update {
            channel: update.channel,
            seq: *seq as u64,
            event,
            data: data.into(),
        });
    }
    sqlx::query(
        "INSERT INTO updates (channel_id, seq, event, data)
         SELECT id, seq, event, data::json
         FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::text[]) AS t (id, seq, event, data)",
    )
    .bind(&ids)
    .bind(&seqs)
    .bind(&events)
    .bind(&texts)
    .execute(&mut *transaction)
    .await?;
    Ok(committed)
}

/// How many of the newest updates are kept of the channels whose names match a pattern of `LIKE`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChannelLimit {
    /// Of `LIKE`, for the whole name.
    pub pattern: String,
    /// The number of updates.
    pub keep: u32,
}

/// The stored range of one channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    /// Seq of the newest update; 0 if there never was one.
    pub newest: u64,
    /// Seq of the oldest stored update; `newest + 1` if none is stored.
    pub oldest: u64,
}

impl Store {
    /// Limits a live read to slightly more than the database's own timeout: a broken connection may never report an
    /// error.
    pub(super) async fn with_read_timeout<T>(
        &self,
        query: impl Future<Output = Result<T, sqlx::Error>>,
    ) -> Result<T, StoreError> {
        match tokio::time::timeout(self.read_timeout, query).await {
            Ok(answer) => Ok(answer?),
            Err(_) => Err(StoreError::Timeout(self.read_timeout)),
        }
    }

    /// The stored range of a channel.
    pub async fn channel_extent(&self, channel: &Channel) -> Result<Extent, StoreError> {
        let query = sqlx::query(
            "SELECT c.seq, (SELECT min(u.seq) FROM updates u WHERE u.channel_id = c.id) AS oldest
             FROM channels c WHERE c.name = $1",
        )
        .bind(channel.to_string())
        .fetch_optional(&self.live_reads);
        let row = self.with_read_timeout(query).await?;
        Ok(row.map_or(
            Extent {
                newest: 0,
                oldest: 1,
            },
            |row| {
                let newest = row.get::<i64, _>("seq") as u64;
                let oldest = row
                    .get::<Option<i64>, _>("oldest")
                    .map_or(newest + 1, |seq| seq as u64);
                Extent { newest, oldest }
            },
        ))
    }

    /// Updates of a channel with `since < seq <= through`, in order, at most `limit`.
    pub async fn updates_between(
        &self,
        channel: &Channel,
        since: u64,
        through: u64,
        limit: u32,
    ) -> Result<Vec<Update>, StoreError> {
        let page = self
            .updates_with_age(channel, since, through, limit)
            .await?;
        Ok(page.into_iter().map(|(update, _)| update).collect())
    }

    /// Like [`Self::updates_between`], each with the time since its transaction began, by the database's clock.
    pub async fn updates_with_age(
        &self,
        channel: &Channel,
        since: u64,
        through: u64,
        limit: u32,
    ) -> Result<Vec<(Update, Duration)>, StoreError> {
        let query = sqlx::query(
            "SELECT u.seq, u.event, u.data,
                    extract(epoch FROM clock_timestamp() - u.created_at)::float8 AS age
             FROM updates u WHERE u.channel_id = (SELECT id FROM channels WHERE name = $1)
                 AND u.seq > $2 AND u.seq <= $3 ORDER BY u.seq LIMIT $4",
        )
        .bind(channel.to_string())
        .bind(clamp(since))
        .bind(clamp(through))
        .bind(i64::from(limit))
        .fetch_all(&self.live_reads);
        let rows = self.with_read_timeout(query).await?;
        rows.into_iter()
            .map(|row| {
                let age = Duration::try_from_secs_f64(row.try_get("age")?).unwrap_or_default();
                Ok((parse_update(channel.clone(), &row)?, age))
            })
            .collect()
    }

    /// Updates of several channels, each after its own seq, in order within each channel, at most `limit` in all; each
    /// with the time since its transaction began, by the database's clock.
    pub async fn updates_after(
        &self,
        since: &[(Channel, u64)],
        limit: u32,
    ) -> Result<Vec<(Update, Duration)>, StoreError> {
        let (names, seqs): (Vec<String>, Vec<i64>) = since
            .iter()
            .map(|(channel, seq)| (channel.to_string(), clamp(*seq)))
            .unzip();
        let query = sqlx::query(
            "SELECT w.place, u.seq, u.event, u.data,
                    extract(epoch FROM clock_timestamp() - u.created_at)::float8 AS age
             FROM unnest($1::text[], $2::bigint[]) WITH ORDINALITY AS w (name, since, place)
             JOIN channels c ON c.name = w.name
             CROSS JOIN LATERAL (SELECT seq, event, data, created_at FROM updates
                 WHERE channel_id = c.id AND seq > w.since ORDER BY seq LIMIT $3) u
             ORDER BY w.place, u.seq LIMIT $3",
        )
        .bind(names)
        .bind(seqs)
        .bind(i64::from(limit))
        .fetch_all(&self.live);
        let rows = self.with_read_timeout(query).await?;
        let update = |row: &PgRow| {
            let age = Duration::try_from_secs_f64(row.try_get("age")?).unwrap_or_default();
            let place = usize::try_from(row.try_get::<i64, _>("place")?).unwrap_or_default();
            let (channel, _) = place
                .checked_sub(1)
                .and_then(|place| since.get(place))
                .ok_or_else(|| StoreError::Corrupt {
                    what: "update",
                    reason: format!("it belongs to channel {place} of {}", since.len()),
                })?;
            Ok((parse_update(channel.clone(), row)?, age))
        };
        rows.iter().map(update).collect()
    }

    /// The newest update of a channel with the given event, used as its snapshot.
    pub async fn newest_update(
        &self,
        channel: &Channel,
        event: &EventName,
    ) -> Result<Option<Update>, StoreError> {
        let query = sqlx::query(
            // Not a join: the primary key is read backwards only if the channel is known in advance.
            "SELECT u.seq, u.event, u.data FROM updates u
             WHERE u.channel_id = (SELECT id FROM channels WHERE name = $1) AND u.event = $2
             ORDER BY u.seq DESC LIMIT 1",
        )
        .bind(channel.to_string())
        .bind(event.as_str())
        .fetch_optional(&self.live_reads);
        let row = self.with_read_timeout(query).await?;
        row.map(|row| parse_update(channel.clone(), &row))
            .transpose()
    }

    /// Newest seq of every channel updated in the last `within_ms`, or of all with `None`. At most `limit`.
    pub async fn channel_heads(
        &self,
        within_ms: Option<i64>,
        limit: u32,
    ) -> Result<Vec<(Channel, u64)>, StoreError> {
        let query = sqlx::query(
            "SELECT name, seq FROM channels
             WHERE $1::bigint IS NULL OR updated_at > now() - make_interval(secs => $1 / 1000.0)
             ORDER BY updated_at DESC LIMIT $2",
        )
        .bind(within_ms)
        .bind(i64::from(limit))
        .fetch_all(&self.live_reads);
        let rows = self.with_read_timeout(query).await?;
        let head = |row: PgRow| {
            let name: String = row.get("name");
            let channel = name.parse().ok();
            if channel.is_none() {
                // Written by a newer version: clients cannot subscribe to it here.
                metrics::counter!("chaincast_store_unknown_channels_total").increment(1);
            }
            Some((channel?, row.get::<i64, _>("seq") as u64))
        };
        Ok(rows.into_iter().filter_map(head).collect())
    }

    /// Deletes updates older than `older_than_ms`, but never a channel's newest `keep`; at most `limit` per call.
    /// Returns how many were deleted.
    ///
    /// Leaves no hole in a channel: with several writers, an update may be older than its predecessor, as its
    /// transaction began earlier. It is deleted together with that one.
    pub async fn prune_updates(
        &self,
        older_than_ms: i64,
        keep: u32,
        limit: u32,
    ) -> Result<u64, StoreError> {
        let statement = "WITH old AS (
                 SELECT u.channel_id, u.seq FROM updates u JOIN channels c ON c.id = u.channel_id
                 WHERE u.created_at < now() - make_interval(secs => $1 / 1000.0) AND u.seq <= c.seq - $2
                 ORDER BY u.channel_id, u.seq LIMIT $3),
             ends AS (SELECT channel_id, max(seq) AS last FROM old GROUP BY channel_id)
             DELETE FROM updates u USING ends e
                 LEFT JOIN LATERAL (SELECT y.seq FROM updates y
                     WHERE y.channel_id = e.channel_id AND y.seq <= e.last
                         AND y.created_at >= now() - make_interval(secs => $1 / 1000.0)
                     ORDER BY y.seq LIMIT 1) young ON true
             WHERE u.channel_id = e.channel_id AND u.seq <= e.last AND u.seq < coalesce(young.seq, e.last + 1)";
        self.prune(statement, older_than_ms, keep, limit).await
    }

    /// Deletes all but the newest updates of each channel, regardless of age: the first of `limits` whose pattern matches
    /// says how many are kept. Deletes at most `most` per call. Returns how many were deleted.
    pub async fn prune_long_channels(
        &self,
        limits: &[ChannelLimit],
        most: u32,
    ) -> Result<u64, StoreError> {
        let patterns = limits.iter().map(|limit| limit.pattern.clone());
        let kept = limits.iter().map(|limit| i64::from(limit.keep));
        let done = sqlx::query(
            "DELETE FROM updates WHERE (channel_id, seq) IN (
                 SELECT u.channel_id, u.seq FROM channels c CROSS JOIN LATERAL (
                     SELECT keep FROM unnest($1::text[], $2::bigint[]) WITH ORDINALITY AS l (pattern, keep, place)
                     WHERE c.name LIKE l.pattern ORDER BY place LIMIT 1) l
                 CROSS JOIN LATERAL (
                     SELECT channel_id, seq FROM updates WHERE channel_id = c.id AND seq <= c.seq - l.keep
                     ORDER BY seq LIMIT $3) u
                 LIMIT $3)",
        )
        .bind(patterns.collect::<Vec<_>>())
        .bind(kept.collect::<Vec<_>>())
        .bind(i64::from(most))
        .execute(&self.pool)
        .await?;
        Ok(done.rows_affected())
    }
}

/// `LIKE` patterns of the names of channels that are retained as those of one subject.
pub(super) fn subject_channels() -> impl Iterator<Item = String> {
    channels_retained_as(RetentionRule::Subject)
}

/// `LIKE` patterns of the names of channels with this rule.
pub(super) fn channels_retained_as(rule: RetentionRule) -> impl Iterator<Item = String> {
    let kinds = KINDS.iter();
    let kinds = kinds.filter(move |kind| kind.retention == rule);
    kinds.map(|kind| format!("{}:%", kind.prefix))
}

fn parse_update(channel: Channel, row: &PgRow) -> Result<Update, StoreError> {
    let data: Json<Box<RawValue>> = row.try_get("data")?;
    let event: &str = row.try_get("event")?;
    Ok(Update {
        channel,
        seq: row.try_get::<i64, _>("seq")? as u64,
        event: event.into(),
        data: Arc::from(data.get()),
    })
}

fn clamp(seq: u64) -> i64 {
    i64::try_from(seq).unwrap_or(i64::MAX)
}

#[cfg(feature = "explain")]
pub(super) fn explained<'a>(store: &'a Store, known: &'a Known) -> Vec<Query<'a>> {
    let Known {
        channel,
        number,
        limit,
        ..
    } = known;
    let (number, limit) = (*number, *limit);
    vec![
        Query::new("channel_extent", store.channel_extent(channel)),
        Query::new(
            "updates_between",
            store.updates_between(channel, number, number + 500, limit),
        ),
        Query::new(
            "updates_with_age",
            store.updates_with_age(channel, number, number + 500, limit),
        ),
        Query::new(
            "newest_update",
            store.newest_update(channel, &EventName::NewBlock),
        ),
        Query::new("updates_after", async move {
            let since = [(channel.clone(), number)];
            store.updates_after(&since, limit).await
        }),
        Query::new("channel_heads", store.channel_heads(Some(1_000), limit)),
    ]
}
