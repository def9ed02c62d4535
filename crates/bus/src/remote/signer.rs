//! Signs messages with the deployment's key, and verifies those of other processes.
//!
//! A signature covers the name of the Redis channel, which includes the database's epoch, so a message is invalid in any
//! other deployment and on any other channel.

use std::time::Duration;

use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, crypto};

use super::rejection::Rejection;
use chaincast_base::Secret;

/// An older signed message may be replayed, so it is not believed.
pub(super) const MAX_SIGNED_AGE: Duration = Duration::from_secs(30);

/// Signs and verifies the messages of one Redis channel.
pub(super) struct Signer {
    topic: String,
    keys: Option<(EncodingKey, DecodingKey)>,
}

/// The JSON of a message, and how far it may be believed.
pub(super) struct Opened<'m> {
    pub json: &'m str,
    pub proof: Proof,
}

/// What the signature of a message proves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Proof {
    /// A process with the key sent it.
    Verified,
    /// Nothing: it has a signature, but this process has no key.
    Signed,
    /// Nothing: it has no signature, and this process has no key.
    Unsigned,
}

/// A number by which a process recognizes its own messages: 52 bits, exact in every JSON parser.
pub(super) fn process_id() -> u64 {
    rand::random::<u64>() >> 12
}

impl Signer {
    /// With a key, signs messages and requires signatures.
    pub(super) fn new(topic: &str, key: &Secret) -> Self {
        let secret = key.expose().as_bytes();
        Self {
            topic: topic.to_owned(),
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

    pub(super) fn has_key(&self) -> bool {
        self.keys.is_some()
    }

    /// The signature, a dot and the JSON; without a key only the JSON.
    pub(super) fn sign(&self, json: String) -> Result<String, String> {
        let Some((key, _)) = &self.keys else {
            return Ok(json);
        };
        let signature = crypto::sign(&self.signed_bytes(&json), key, Algorithm::HS256)
            .map_err(|error| error.to_string())?;
        Ok(format!("{signature}.{json}"))
    }

    /// Separates a message's JSON from its signature. With a key, only messages with a valid signature are opened.
    pub(super) fn open<'m>(&self, message: &'m str) -> Result<Opened<'m>, Rejection> {
        let (signature, json) = match message.starts_with('{') {
            true => (None, message),
            false => {
                let (signature, json) = message.split_once('.').ok_or(Rejection::Malformed)?;
                (Some(signature), json)
            }
        };
        let proof = match (&self.keys, signature) {
            (None, None) => Proof::Unsigned,
            (None, Some(_)) => Proof::Signed,
            (Some(_), None) => return Err(Rejection::Unsigned),
            (Some((_, key)), Some(signature)) => {
                match crypto::verify(signature, &self.signed_bytes(json), key, Algorithm::HS256) {
                    Ok(true) => Proof::Verified,
                    Ok(false) | Err(_) => return Err(Rejection::Forged),
                }
            }
        };
        Ok(Opened { json, proof })
    }

    /// The bytes that a signature covers.
    fn signed_bytes(&self, json: &str) -> Vec<u8> {
        [self.topic.as_bytes(), b"\n", json.as_bytes()].concat()
    }
}
