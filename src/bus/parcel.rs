//! What travels through Redis: one commit as JSON, signed when the deployment has a key.
//!
//! Whoever may publish on the Redis channel can send anything. So an unsigned message is never more than a hint: it names
//! channels and the seqs that they are said to have reached, and the hub reads the updates themselves from the store.
//! Only a message that is signed with `bus.redis_key` carries updates. Its signature covers the Redis channel, which has
//! the database's epoch in its name, so it means nothing in another deployment, and an old one has only updates that
//! every hub has. Of the others no more is read than a hint can have, however long they are: a long one with a signature
//! that cannot be checked here, as a hub without the key gets from one with it, is a hint at anything.

use std::{borrow::Cow, fmt, sync::Arc, time::Duration};

use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, crypto};
use rustc_hash::FxHashMap;
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{IgnoredAny, SeqAccess, Visitor},
};
use serde_json::value::RawValue;

use super::{
    Commit,
    commit::{from_wall, to_wall},
};
use crate::model::{Channel, Secret, Update};

/// The longest message that is sent or read; a larger commit is announced by its seqs alone.
pub(super) const MESSAGE_BYTES: usize = 4 << 20;
/// The longest message whose channels are read without a valid signature: a hint with the longest names fits.
const HINT_BYTES: usize = 384 << 10;
/// Most channels of one hint; a commit with more makes the hub look at all that moved lately.
const HINTED_CHANNELS: usize = 1_000;
/// A signed message older than this is a hint: whoever recorded it may be the one who sends it.
const FRESH: Duration = Duration::from_secs(30);

/// One commit as it travels. `from` tells a process its own commits, which it already has.
#[derive(Serialize, Deserialize)]
struct Parcel<'p> {
    from: u64,
    /// When it was committed, in µs since the Unix epoch by the sender's clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    at_us: Option<u64>,
    updates: Vec<Item<'p>>,
}

/// An update, or with a channel and a seq alone the place of one.
#[derive(Serialize, Deserialize)]
struct Item<'p> {
    channel: Cow<'p, str>,
    seq: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    event: Option<Cow<'p, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    data: Option<Cow<'p, str>>,
}

/// As much of a [`Parcel`] as a hint is made of.
#[derive(Deserialize)]
struct Hints<'p> {
    from: u64,
    #[serde(borrow)]
    updates: Places<'p>,
}

/// The first places of a list.
struct Places<'p> {
    first: Vec<Place<'p>>,
    /// There are more than a hint has.
    more: bool,
}

#[derive(Deserialize)]
struct Place<'p> {
    #[serde(borrow)]
    channel: Cow<'p, str>,
    seq: u64,
}

/// What a message from Redis is good for.
#[derive(Debug)]
pub(super) enum Received {
    /// One of this process's own.
    Own,
    /// Updates, by a process that has the key.
    Commit(Commit),
    /// Where the store may have more.
    Hint(Hint),
}

/// Where the store may have more than was handed over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Hint {
    /// In these channels, up to these seqs.
    Channels(Arc<[(Channel, u64)]>),
    /// Anywhere.
    Anywhere,
}

/// Why a message is not taken; the word is a metric's label.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rejection {
    /// Longer than any that is sent.
    TooLarge,
    /// Not what a chaincast sends.
    Malformed,
    /// Without a signature, though there is a key.
    Unsigned,
    /// Not signed with the key.
    Forged,
    /// The store has nothing of what it announces.
    Unfounded,
    /// There were too many of the kind above.
    TooMany,
    /// It came, maybe with others, faster than messages are read.
    Overflow,
}

impl Rejection {
    pub(super) const ALL: [Self; 7] = [
        Self::TooLarge,
        Self::Malformed,
        Self::Unsigned,
        Self::Forged,
        Self::Unfounded,
        Self::TooMany,
        Self::Overflow,
    ];

    pub(super) fn word(self) -> &'static str {
        match self {
            Self::TooLarge => "too_large",
            Self::Malformed => "malformed",
            Self::Unsigned => "unsigned",
            Self::Forged => "forged",
            Self::Unfounded => "unfounded",
            Self::TooMany => "too_many",
            Self::Overflow => "overflow",
        }
    }
}

/// Writes and reads messages of one Redis channel.
pub(super) struct Codec {
    topic: String,
    me: u64,
    keys: Option<(EncodingKey, DecodingKey)>,
}

impl Codec {
    /// Signs, and demands signatures, when there is a key.
    pub(super) fn new(topic: &str, key: &Secret) -> Self {
        let secret = key.expose().as_bytes();
        Self {
            topic: topic.to_owned(),
            // Any number that JSON readers keep exactly.
            me: rand::random::<u64>() >> 12,
            keys: (!key.is_empty()).then(|| {
                (
                    EncodingKey::from_secret(secret),
                    DecodingKey::from_secret(secret),
                )
            }),
        }
    }

    pub(super) fn topic(&self) -> &str {
        &self.topic
    }

    /// The message about a commit: with its updates when it is signed and they fit, else with their places alone.
    pub(super) fn write(&self, commit: &Commit) -> Result<String, String> {
        let whole = match self.keys {
            Some(_) => self.seal(self.json(commit, true)?)?,
            None => String::new(),
        };
        match whole.len() {
            1..=MESSAGE_BYTES => Ok(whole),
            _ => self.seal(self.json(commit, false)?),
        }
    }

    fn json(&self, commit: &Commit, whole: bool) -> Result<String, String> {
        let mut updates = Vec::new();
        if whole {
            updates.extend(commit.iter().map(|update| Item {
                channel: update.channel.to_string().into(),
                seq: update.seq,
                event: Some((&*update.event).into()),
                data: Some((&*update.data).into()),
            }));
        } else {
            let mut newest = FxHashMap::<&Channel, u64>::default();
            for update in commit.iter() {
                newest.insert(&update.channel, update.seq);
            }
            // More than that says no more than that there is something anywhere.
            let named = newest.into_iter().take(HINTED_CHANNELS + 1);
            updates.extend(named.map(|(channel, seq)| Item {
                channel: channel.to_string().into(),
                seq,
                event: None,
                data: None,
            }));
        }
        let parcel = Parcel {
            from: self.me,
            at_us: commit.at.map(to_wall),
            updates,
        };
        serde_json::to_string(&parcel).map_err(|error| error.to_string())
    }

    /// The signature, a dot and the JSON; the JSON alone without a key.
    fn seal(&self, json: String) -> Result<String, String> {
        let Some((key, _)) = &self.keys else {
            return Ok(json);
        };
        let signature = crypto::sign(&self.signed(&json), key, Algorithm::HS256)
            .map_err(|error| error.to_string())?;
        Ok(format!("{signature}.{json}"))
    }

    /// The bytes that a signature covers.
    fn signed(&self, json: &str) -> Vec<u8> {
        [self.topic.as_bytes(), b"\n", json.as_bytes()].concat()
    }

    pub(super) fn read(&self, message: &[u8]) -> Result<Received, Rejection> {
        if message.len() > MESSAGE_BYTES {
            return Err(Rejection::TooLarge);
        }
        let text = std::str::from_utf8(message).map_err(|_| Rejection::Malformed)?;
        let (signature, json) = match text.starts_with('{') {
            true => (None, text),
            false => {
                let (signature, json) = text.split_once('.').ok_or(Rejection::Malformed)?;
                (Some(signature), json)
            }
        };
        let trusted = match (&self.keys, signature) {
            (None, _) => false,
            (Some(_), None) => return Err(Rejection::Unsigned),
            (Some((_, key)), Some(signature)) => {
                match crypto::verify(signature, &self.signed(json), key, Algorithm::HS256) {
                    Ok(true) => true,
                    Ok(false) | Err(_) => return Err(Rejection::Forged),
                }
            }
        };
        match trusted {
            true => self.read_signed(json),
            false if message.len() > HINT_BYTES => match signature {
                // Updates by a process with the key, maybe: the store has them, wherever they are.
                Some(_) => Ok(Received::Hint(Hint::Anywhere)),
                None => Err(Rejection::TooLarge),
            },
            false => self.read_hint(json),
        }
    }

    fn read_signed(&self, json: &str) -> Result<Received, Rejection> {
        let parcel: Parcel = serde_json::from_str(json).map_err(|_| Rejection::Malformed)?;
        if parcel.from == self.me {
            return Ok(Received::Own);
        }
        let at = parcel.at_us.and_then(from_wall);
        let fresh = at.is_some_and(|at| at.elapsed() < FRESH);
        if fresh && let Some(updates) = whole(&parcel) {
            return Ok(Received::Commit(Commit::new(updates, at)));
        }
        let places = parcel.updates.iter();
        hint(places.map(|item| (&*item.channel, item.seq))).map(Received::Hint)
    }

    fn read_hint(&self, json: &str) -> Result<Received, Rejection> {
        let parcel: Hints = serde_json::from_str(json).map_err(|_| Rejection::Malformed)?;
        if parcel.from == self.me {
            return Ok(Received::Own);
        }
        if parcel.updates.more {
            return Ok(Received::Hint(Hint::Anywhere));
        }
        let places = parcel.updates.first.iter();
        hint(places.map(|place| (&*place.channel, place.seq))).map(Received::Hint)
    }
}

/// The updates, if all are there and of channels that are known here; a newer version may have others.
fn whole(parcel: &Parcel<'_>) -> Option<Vec<Update>> {
    let update = |item: &Item<'_>| {
        let data = item.data.as_deref()?;
        serde_json::from_str::<&RawValue>(data).ok()?;
        Some(Update {
            channel: item.channel.parse().ok()?,
            seq: item.seq,
            event: item.event.as_deref()?.into(),
            data: data.into(),
        })
    };
    let updates: Option<Vec<Update>> = parcel.updates.iter().map(update).collect();
    updates.filter(|updates| !updates.is_empty())
}

fn hint<'p>(places: impl Iterator<Item = (&'p str, u64)>) -> Result<Hint, Rejection> {
    let mut newest = FxHashMap::<Channel, u64>::default();
    let mut is_empty = true;
    for (channel, seq) in places {
        is_empty = false;
        if seq == 0 || i64::try_from(seq).is_err() {
            return Err(Rejection::Malformed);
        }
        // A channel that is not known here is of a newer version: nobody here can subscribe to it.
        if let Ok(channel) = channel.parse::<Channel>() {
            let known = newest.entry(channel).or_default();
            *known = seq.max(*known);
        }
        if newest.len() > HINTED_CHANNELS {
            return Ok(Hint::Anywhere);
        }
    }
    match is_empty {
        true => Err(Rejection::Malformed),
        false => Ok(Hint::Channels(newest.into_iter().collect())),
    }
}

impl<'de: 'p, 'p> Deserialize<'de> for Places<'p> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;

        impl<'de> Visitor<'de> for Reader {
            type Value = Places<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of channels and seqs")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
                let mut first = Vec::new();
                while first.len() <= HINTED_CHANNELS {
                    match list.next_element()? {
                        Some(place) => first.push(place),
                        None => return Ok(Places { first, more: false }),
                    }
                }
                let more = list.next_element::<IgnoredAny>()?.is_some();
                while list.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Places { first, more })
            }
        }

        deserializer.deserialize_seq(Reader)
    }
}

#[cfg(test)]
mod tests;
