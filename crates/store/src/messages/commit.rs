//! Stores a group of messages in one transaction.

use std::{collections::HashMap, time::Duration};

use sqlx::{PgConnection, Postgres, Transaction};
use tokio::time::timeout;

use chaincast_protocol::{NewUpdate, Update};

use super::{MessageStore, NewMessage, deliveries, keys};
use crate::{StoreError, updates};

/// Limit of everything but the commit, and of the commit: a broken connection may never report an error.
const LIMIT: Duration = Duration::from_secs(15);
/// How often a group is begun again because another process stored one of its keys meanwhile.
const ATTEMPTS: u32 = 5;

/// The position of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Written {
    /// In its channel.
    pub seq: u64,
    /// Whether it had been stored before, with the same key: nothing was stored now.
    pub is_repeated: bool,
}

/// Why messages were not stored.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// Nothing was stored.
    #[error(transparent)]
    Failed(#[from] StoreError),
    /// The connection was lost during the commit: the messages may be stored.
    #[error("the outcome of the commit is unknown: {0}")]
    Unknown(StoreError),
}

impl WriteError {
    /// The failure itself.
    pub fn into_cause(self) -> StoreError {
        match self {
            Self::Failed(error) | Self::Unknown(error) => error,
        }
    }
}

impl From<sqlx::Error> for WriteError {
    fn from(error: sqlx::Error) -> Self {
        Self::Failed(error.into())
    }
}

/// What a transaction stores, and what it found.
struct Prepared {
    written: Vec<Written>,
    updates: Vec<Update>,
    /// The places of the messages that are stored now.
    fresh: Vec<usize>,
}

impl MessageStore {
    /// Stores messages in order, published at `timestamp` (ms since the Unix epoch). Returns the position of each, and the
    /// updates to publish. `numbered` is called with the place and the seq of each new message right before the commit.
    pub async fn write(
        &self,
        messages: &[NewMessage],
        timestamp: i64,
        numbered: &mut (dyn FnMut(usize, u64) + Send),
    ) -> Result<(Vec<Written>, Vec<Update>), WriteError> {
        for _ in 0..ATTEMPTS {
            let prepared = timeout(LIMIT, self.prepare(messages, timestamp)).await;
            let prepared = prepared.map_err(|_| StoreError::Timeout(LIMIT))?;
            let Some((transaction, prepared)) = prepared? else {
                continue;
            };
            for at in &prepared.fresh {
                numbered(*at, prepared.written[*at].seq);
            }
            commit(transaction).await?;
            return Ok((prepared.written, prepared.updates));
        }
        let reason = "other processes stored the same keys again and again".to_owned();
        Err(StoreError::Conflict(reason).into())
    }

    /// Everything but the commit; `None` if another process stored one of the keys meanwhile.
    async fn prepare(
        &self,
        messages: &[NewMessage],
        timestamp: i64,
    ) -> Result<Option<(Transaction<'static, Postgres>, Prepared)>, StoreError> {
        let mut transaction = self.begin().await?;
        match self.append(&mut transaction, messages, timestamp).await? {
            Some(prepared) => Ok(Some((transaction, prepared))),
            None => {
                transaction.rollback().await?;
                Ok(None)
            }
        }
    }

    /// The rows of a group; `None` if another process stored one of the keys meanwhile.
    async fn append(
        &self,
        transaction: &mut PgConnection,
        messages: &[NewMessage],
        timestamp: i64,
    ) -> Result<Option<Prepared>, StoreError> {
        let repeats = Repeats::find(messages);
        let stored = keys::find(transaction, &repeats.keyed, self.key_retention).await?;
        let stored: HashMap<usize, u64> = stored.into_iter().collect();
        let is_fresh = |at: &usize| !repeats.first.contains_key(at) && !stored.contains_key(at);
        let fresh: Vec<usize> = (0..messages.len()).filter(is_fresh).collect();
        let for_users = fresh
            .iter()
            .filter(|at| messages[**at].recipient().is_some());
        let mut ids = deliveries::ids(transaction, for_users.count())
            .await?
            .into_iter();
        let mut new = Vec::with_capacity(fresh.len());
        let mut delivered = Vec::new();
        for (place, at) in fresh.iter().enumerate() {
            let message = &messages[*at];
            let id = message.recipient().and_then(|_| ids.next());
            delivered.extend(id.map(|id| (id, place)));
            let event = message.event(id.unwrap_or_default(), timestamp);
            let event = event.ok_or_else(|| {
                StoreError::Conflict(format!("nobody can publish to {}", message.channel))
            })?;
            new.push(NewUpdate {
                channel: message.channel.clone(),
                event,
            });
        }
        let updates = updates::append(transaction, new).await?;
        let rows: Vec<_> = delivered
            .into_iter()
            .map(|(id, place)| (id, &messages[fresh[place]], &updates[place]))
            .collect();
        deliveries::insert(transaction, &rows).await?;

        let mut written: HashMap<usize, Written> = stored
            .into_iter()
            .map(|(at, seq)| {
                (
                    at,
                    Written {
                        seq,
                        is_repeated: true,
                    },
                )
            })
            .collect();
        let (mut keyed, mut seqs) = (Vec::new(), Vec::new());
        for (at, update) in fresh.iter().zip(&updates) {
            let seq = update.seq;
            written.insert(
                *at,
                Written {
                    seq,
                    is_repeated: false,
                },
            );
            if messages[*at].key.is_some() {
                keyed.push((*at, &messages[*at]));
                seqs.push(seq as i64);
            }
        }
        if !keys::insert(transaction, &keyed, seqs, self.key_retention).await? {
            return Ok(None);
        }
        let of = |at: usize| match repeats.first.get(&at) {
            Some(first) => written.get(first).map(|first| Written {
                is_repeated: true,
                ..*first
            }),
            None => written.get(&at).copied(),
        };
        let all: Option<Vec<Written>> = (0..messages.len()).map(of).collect();
        let written = all.ok_or_else(|| StoreError::Corrupt {
            what: "message",
            reason: "one was assigned no seq".to_owned(),
        })?;
        Ok(Some(Prepared {
            written,
            updates,
            fresh,
        }))
    }
}

/// The messages of a group that have keys.
struct Repeats<'m> {
    /// Each key once, with its first message.
    keyed: Vec<keys::Keyed<'m>>,
    /// The place of the first message with the same key, for those that repeat one.
    first: HashMap<usize, usize>,
}

impl<'m> Repeats<'m> {
    fn find(messages: &'m [NewMessage]) -> Self {
        let (mut seen, mut first) = (HashMap::new(), HashMap::new());
        let mut keyed = Vec::new();
        for (at, message) in messages.iter().enumerate() {
            let Some(key) = &message.key else { continue };
            let identity = (&message.channel, &message.from, key);
            match seen.get(&identity) {
                Some(earlier) => {
                    first.insert(at, *earlier);
                }
                None => {
                    seen.insert(identity, at);
                    keyed.push((at, message));
                }
            }
        }
        Self { keyed, first }
    }
}

/// Commits. Only an answer of Postgres that it did not commit is a failure; otherwise the outcome is unknown.
pub(super) async fn commit(transaction: Transaction<'_, Postgres>) -> Result<(), WriteError> {
    let committed = timeout(LIMIT, transaction.commit()).await;
    let committed = committed.map_err(|_| WriteError::Unknown(StoreError::Timeout(LIMIT)))?;
    committed.map_err(|error| {
        let code = error.as_database_error().and_then(|error| error.code());
        // The server may end a session (class 57) before or after the commit.
        let is_refused = code.is_some_and(|code| !code.starts_with("57"));
        match is_refused {
            true => WriteError::Failed(error.into()),
            false => WriteError::Unknown(error.into()),
        }
    })
}
