//! Redaction: removes the text of a message of a room.

use std::sync::Arc;

use serde_json::value::RawValue;
use sqlx::{PgConnection, Row, types::Json};

use chaincast_protocol::{Channel, Event, EventName, NewUpdate, RoomRedacted, Update};

use super::{
    MessageStore,
    commit::{WriteError, commit},
};
use crate::{StoreError, updates};

/// What came of a redaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Redaction {
    /// The text is gone; the update tells the subscribers.
    Done(Update),
    /// It was redacted before.
    Before,
    /// No message with this seq is stored in the channel.
    Missing,
}

impl MessageStore {
    /// Replaces a stored message of a room by its redacted form, and appends `room-redacted` to the room.
    pub async fn redact(
        &self,
        room: &Channel,
        seq: u64,
        by: &Arc<str>,
        timestamp: i64,
    ) -> Result<Redaction, WriteError> {
        let mut transaction = self.begin().await?;
        let redaction = redact(&mut transaction, room, seq, by, timestamp).await?;
        match redaction {
            Redaction::Done(_) => commit(transaction).await?,
            Redaction::Before | Redaction::Missing => transaction.rollback().await?,
        }
        Ok(redaction)
    }
}

async fn redact(
    transaction: &mut PgConnection,
    room: &Channel,
    seq: u64,
    by: &Arc<str>,
    timestamp: i64,
) -> Result<Redaction, StoreError> {
    let position = i64::try_from(seq).unwrap_or(i64::MAX);
    let row = sqlx::query(
        "SELECT u.channel_id, u.data FROM updates u
         WHERE u.channel_id = (SELECT id FROM channels WHERE name = $1) AND u.seq = $2 AND u.event = $3
         FOR UPDATE",
    )
    .bind(room.to_string())
    .bind(position)
    .bind(EventName::RoomMessage.as_str())
    .fetch_optional(&mut *transaction)
    .await?;
    let Some(row) = row else {
        return Ok(Redaction::Missing);
    };
    let data: Json<Box<RawValue>> = row.try_get("data")?;
    let corrupt = |error: serde_json::Error| StoreError::Corrupt {
        what: "message",
        reason: error.to_string(),
    };
    let message = Event::parse(&EventName::RoomMessage, data.get()).map_err(corrupt)?;
    let Some(Event::RoomMessage(message)) = message else {
        return Ok(Redaction::Missing);
    };
    if message.redacted {
        return Ok(Redaction::Before);
    }
    let redacted = serde_json::to_string(&message.redact()).map_err(corrupt)?;
    sqlx::query("UPDATE updates SET data = $3::text::json WHERE channel_id = $1 AND seq = $2")
        .bind(row.try_get::<i64, _>("channel_id")?)
        .bind(position)
        .bind(redacted)
        .execute(&mut *transaction)
        .await?;
    let notice = NewUpdate {
        channel: room.clone(),
        event: Event::RoomRedacted(RoomRedacted {
            redacted_seq: seq,
            by: by.clone(),
            timestamp,
        }),
    };
    let mut updates = updates::append(transaction, vec![notice]).await?;
    match updates.pop() {
        Some(update) => Ok(Redaction::Done(update)),
        None => Ok(Redaction::Missing),
    }
}
