//! The messages on the Redis channel of commits: one commit as JSON, signed if the deployment has a key.
//!
//! Any client with publish rights in Redis can send messages. So an unsigned message is only a hint: it names channels
//! and their newest seqs, and the hub reads the updates from the store. Only a message signed with `bus.redis_key`
//! carries updates; a replayed one has only updates that every hub already has. An unsigned message is parsed only up to
//! the size of a hint. A longer one with a signature that this process cannot verify (no key here) is a hint for all
//! channels.

use std::{borrow::Cow, fmt, sync::Arc};

use rustc_hash::FxHashMap;
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{IgnoredAny, SeqAccess, Visitor},
};
use serde_json::value::RawValue;

use super::{
    rejection::Rejection,
    signer::{MAX_SIGNED_AGE, Opened, Proof, Signer, process_id},
};
use crate::commit::{Commit, from_wall, to_wall};
use chaincast_base::Secret;
use chaincast_protocol::{Channel, EventName, Update};

/// Longest message that is sent or read; a larger commit is announced by its seqs only.
pub(super) const MAX_MESSAGE_BYTES: usize = 4 << 20;
/// Longest message that is parsed without a valid signature; a hint with the longest names fits.
const MAX_HINT_BYTES: usize = 384 << 10;
/// Most channels of one hint; for more, the hub reads all channels that advanced recently.
const MAX_HINT_CHANNELS: usize = 1_000;

/// One commit on the wire. By `from` a process recognizes its own commits and skips them.
#[derive(Serialize, Deserialize)]
struct RedisMessage<'p> {
    from: u64,
    /// Commit time in µs since the Unix epoch, by the sender's clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    at_us: Option<u64>,
    updates: Vec<Item<'p>>,
}

/// What a message has of each update.
#[derive(Clone, Copy)]
enum Content {
    Updates,
    Positions,
}

/// An update, or only its position: channel and seq.
#[derive(Serialize, Deserialize)]
struct Item<'p> {
    channel: Cow<'p, str>,
    seq: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    event: Option<EventName>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    data: Option<Cow<'p, str>>,
}

/// The part of a [`RedisMessage`] that a hint uses.
#[derive(Deserialize)]
struct HintMessage<'p> {
    from: u64,
    #[serde(borrow)]
    updates: Positions<'p>,
}

/// The first positions of a list.
struct Positions<'p> {
    first: Vec<Position<'p>>,
    /// The list has more than a hint may have.
    more: bool,
}

#[derive(Deserialize)]
struct Position<'p> {
    #[serde(borrow)]
    channel: Cow<'p, str>,
    seq: u64,
}

/// A decoded message.
#[derive(Debug)]
pub(super) enum Received {
    /// Sent by this process.
    Own,
    /// Updates, signed by a process with the key.
    Commit(Commit),
    /// The store may have more.
    Hint(Hint),
}

/// Channels in which the store may have undelivered updates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Hint {
    /// These channels, up to these seqs.
    Channels(Arc<[(Channel, u64)]>),
    /// Any channel.
    Anywhere,
}

/// Encodes and decodes commits.
pub(super) struct Codec {
    signer: Signer,
    process_id: u64,
}

impl Codec {
    /// With a key, signs messages and requires signatures.
    pub(super) fn new(topic: &str, key: &Secret) -> Self {
        Self {
            signer: Signer::new(topic, key),
            process_id: process_id(),
        }
    }

    pub(super) fn topic(&self) -> &str {
        self.signer.topic()
    }

    /// Encodes a commit: with its updates if they are signed and fit, otherwise with their positions only.
    pub(super) fn write(&self, commit: &Commit) -> Result<String, String> {
        let full = match self.signer.has_key() {
            true => self.signer.sign(self.json(commit, Content::Updates)?)?,
            false => String::new(),
        };
        match full.len() {
            1..=MAX_MESSAGE_BYTES => Ok(full),
            _ => self.signer.sign(self.json(commit, Content::Positions)?),
        }
    }

    fn json(&self, commit: &Commit, content: Content) -> Result<String, String> {
        let updates: Vec<_> = match content {
            Content::Updates => commit
                .iter()
                .map(|update| Item {
                    channel: update.channel.to_string().into(),
                    seq: update.seq,
                    event: Some(update.event.clone()),
                    data: Some((&*update.data).into()),
                })
                .collect(),
            Content::Positions => {
                let mut newest = FxHashMap::<&Channel, u64>::default();
                for update in commit.iter() {
                    newest.insert(&update.channel, update.seq);
                }
                newest
                    .into_iter()
                    // One more than a hint may have already means `Anywhere`.
                    .take(MAX_HINT_CHANNELS + 1)
                    .map(|(channel, seq)| Item {
                        channel: channel.to_string().into(),
                        seq,
                        event: None,
                        data: None,
                    })
                    .collect()
            }
        };
        let message = RedisMessage {
            from: self.process_id,
            at_us: commit.at.map(to_wall),
            updates,
        };
        serde_json::to_string(&message).map_err(|error| error.to_string())
    }

    pub(super) fn read(&self, message: &[u8]) -> Result<Received, Rejection> {
        if message.len() > MAX_MESSAGE_BYTES {
            return Err(Rejection::TooLarge);
        }
        let text = std::str::from_utf8(message).map_err(|_| Rejection::Malformed)?;
        let Opened { json, proof } = self.signer.open(text)?;
        match proof {
            Proof::Verified => self.read_signed(json),
            Proof::Signed | Proof::Unsigned if message.len() <= MAX_HINT_BYTES => {
                self.read_hint(json)
            }
            // Maybe updates from a process with the key: the store has them.
            Proof::Signed => Ok(Received::Hint(Hint::Anywhere)),
            Proof::Unsigned => Err(Rejection::TooLarge),
        }
    }

    fn read_signed(&self, json: &str) -> Result<Received, Rejection> {
        let message: RedisMessage = serde_json::from_str(json).map_err(|_| Rejection::Malformed)?;
        if message.from == self.process_id {
            return Ok(Received::Own);
        }
        let at = message.at_us.and_then(from_wall);
        let fresh = at.is_some_and(|at| at.elapsed() < MAX_SIGNED_AGE);
        if fresh && let Some(updates) = all_updates(&message) {
            return Ok(Received::Commit(Commit::new(updates, at)));
        }
        let positions = message.updates.iter();
        hint(positions.map(|item| (&*item.channel, item.seq))).map(Received::Hint)
    }

    fn read_hint(&self, json: &str) -> Result<Received, Rejection> {
        let message: HintMessage = serde_json::from_str(json).map_err(|_| Rejection::Malformed)?;
        if message.from == self.process_id {
            return Ok(Received::Own);
        }
        if message.updates.more {
            return Ok(Received::Hint(Hint::Anywhere));
        }
        let positions = message.updates.first.iter();
        hint(positions.map(|position| (&*position.channel, position.seq))).map(Received::Hint)
    }
}

/// The updates, if all are complete and of known channels; a newer version may have others.
fn all_updates(message: &RedisMessage<'_>) -> Option<Vec<Update>> {
    let update = |item: &Item<'_>| {
        let data = item.data.as_deref()?;
        serde_json::from_str::<&RawValue>(data).ok()?;
        Some(Update {
            channel: item.channel.parse().ok()?,
            seq: item.seq,
            event: item.event.clone()?,
            data: data.into(),
        })
    };
    let updates: Option<Vec<Update>> = message.updates.iter().map(update).collect();
    updates.filter(|updates| !updates.is_empty())
}

fn hint<'p>(positions: impl Iterator<Item = (&'p str, u64)>) -> Result<Hint, Rejection> {
    let mut newest = FxHashMap::<Channel, u64>::default();
    let mut is_empty = true;
    for (channel, seq) in positions {
        is_empty = false;
        if seq == 0 || i64::try_from(seq).is_err() {
            return Err(Rejection::Malformed);
        }
        // An unknown channel is from a newer version: no client of this process can subscribe to it.
        if let Ok(channel) = channel.parse::<Channel>() {
            let known = newest.entry(channel).or_default();
            *known = seq.max(*known);
        }
        if newest.len() > MAX_HINT_CHANNELS {
            return Ok(Hint::Anywhere);
        }
    }
    match is_empty {
        true => Err(Rejection::Malformed),
        false => Ok(Hint::Channels(newest.into_iter().collect())),
    }
}

impl<'de: 'p, 'p> Deserialize<'de> for Positions<'p> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct PositionsVisitor;

        impl<'de> Visitor<'de> for PositionsVisitor {
            type Value = Positions<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of channels and seqs")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
                let mut first = Vec::new();
                while first.len() <= MAX_HINT_CHANNELS {
                    match list.next_element()? {
                        Some(position) => first.push(position),
                        None => return Ok(Positions { first, more: false }),
                    }
                }
                let more = list.next_element::<IgnoredAny>()?.is_some();
                while list.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Positions { first, more })
            }
        }

        deserializer.deserialize_seq(PositionsVisitor)
    }
}

#[cfg(test)]
mod tests;
