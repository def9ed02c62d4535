//! The messages on the Redis channel of live messages: one message as JSON, always signed.
//!
//! A message without a valid signature is rejected, and so is one that arrives late or again: the messages of a process are
//! numbered in the order in which they are sent.

use std::{
    borrow::Cow,
    sync::atomic::{AtomicU64, Ordering},
    time::Instant,
};

use parking_lot::Mutex;
use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{
    message::MAX_MESSAGE_BYTES,
    rejection::Rejection,
    signer::{MAX_SIGNED_AGE, Opened, Proof, Signer, process_id},
};
use crate::{
    commit::{from_wall, to_wall},
    live_message::{LiveMessage, Signal},
};
use chaincast_base::Secret;
use chaincast_protocol::EventName;

/// Most processes whose last numbers are remembered.
const MAX_SENDERS: usize = 1_024;

#[derive(Serialize, Deserialize)]
struct Envelope<'p> {
    from: u64,
    /// Rises with each message of the process `from`.
    number: u64,
    /// When it was sent, in µs since the Unix epoch, by the sender's clock.
    at_us: u64,
    #[serde(borrow)]
    message: Body<'p>,
}

#[derive(Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
enum Body<'p> {
    Signal {
        channel: Cow<'p, str>,
        event: EventName,
        data: Cow<'p, str>,
    },
    Disconnect {
        subject: Cow<'p, str>,
    },
    /// Of a newer version.
    #[serde(other)]
    Unknown,
}

/// A decoded message.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum ReceivedLive {
    /// Sent by this process.
    Own,
    Message(LiveMessage),
    /// Of a newer version: no client of this process can use it.
    Unknown,
}

/// Encodes and decodes live messages.
pub(super) struct LiveCodec {
    signer: Signer,
    process_id: u64,
    sent: AtomicU64,
    /// The number of the newest message of each other process, and when it arrived.
    newest: Mutex<FxHashMap<u64, (u64, Instant)>>,
}

impl LiveCodec {
    pub(super) fn new(topic: &str, key: &Secret) -> Self {
        Self {
            signer: Signer::new(topic, key),
            process_id: process_id(),
            sent: AtomicU64::new(0),
            newest: Mutex::default(),
        }
    }

    pub(super) fn topic(&self) -> &str {
        self.signer.topic()
    }

    /// Encodes the next message. Messages must be sent in the order in which they are encoded.
    pub(super) fn write(&self, message: &LiveMessage) -> Result<String, String> {
        let envelope = Envelope {
            from: self.process_id,
            number: self.sent.fetch_add(1, Ordering::Relaxed) + 1,
            at_us: to_wall(Instant::now()),
            message: Body::from(message),
        };
        let json = serde_json::to_string(&envelope).map_err(|error| error.to_string())?;
        self.signer.sign(json)
    }

    pub(super) fn read(&self, message: &[u8]) -> Result<ReceivedLive, Rejection> {
        if message.len() > MAX_MESSAGE_BYTES {
            return Err(Rejection::TooLarge);
        }
        let text = std::str::from_utf8(message).map_err(|_| Rejection::Malformed)?;
        let Opened { json, proof } = self.signer.open(text)?;
        if proof != Proof::Verified {
            return Err(Rejection::Unsigned);
        }
        let envelope: Envelope = serde_json::from_str(json).map_err(|_| Rejection::Malformed)?;
        if envelope.from == self.process_id {
            return Ok(ReceivedLive::Own);
        }
        self.check_new(&envelope)?;
        Ok(match envelope.message.read()? {
            Some(message) => ReceivedLive::Message(message),
            None => ReceivedLive::Unknown,
        })
    }

    /// Rejects a message that is old, or that arrived before.
    fn check_new(&self, envelope: &Envelope<'_>) -> Result<(), Rejection> {
        let at = from_wall(envelope.at_us).filter(|at| at.elapsed() < MAX_SIGNED_AGE);
        if at.is_none() {
            return Err(Rejection::Replayed);
        }
        let mut newest = self.newest.lock();
        if newest.len() >= MAX_SENDERS && !newest.contains_key(&envelope.from) {
            let longest_silent = newest.iter().min_by_key(|(_, (_, arrived))| *arrived);
            if let Some(from) = longest_silent.map(|(from, _)| *from) {
                newest.remove(&from);
            }
        }
        let (number, arrived) = newest.entry(envelope.from).or_insert((0, Instant::now()));
        if envelope.number <= *number {
            return Err(Rejection::Replayed);
        }
        (*number, *arrived) = (envelope.number, Instant::now());
        Ok(())
    }
}

impl<'p> From<&'p LiveMessage> for Body<'p> {
    fn from(message: &'p LiveMessage) -> Self {
        match message {
            LiveMessage::Signal(signal) => Self::Signal {
                channel: signal.channel.to_string().into(),
                event: signal.event.clone(),
                data: (&*signal.data).into(),
            },
            LiveMessage::Disconnect(subject) => Self::Disconnect {
                subject: (&**subject).into(),
            },
        }
    }
}

impl Body<'_> {
    /// The message; `None` if it is of a newer version.
    fn read(self) -> Result<Option<LiveMessage>, Rejection> {
        Ok(match self {
            Self::Signal {
                channel,
                event,
                data,
            } => {
                serde_json::from_str::<&RawValue>(&data).map_err(|_| Rejection::Malformed)?;
                // An unknown channel is of a newer version.
                channel.parse().ok().map(|channel| {
                    LiveMessage::Signal(Signal {
                        channel,
                        event,
                        data: data.into(),
                        sender: None,
                    })
                })
            }
            Self::Disconnect { subject } => Some(LiveMessage::Disconnect(subject.into())),
            Self::Unknown => None,
        })
    }
}

#[cfg(test)]
#[path = "live_codec_tests.rs"]
mod tests;
