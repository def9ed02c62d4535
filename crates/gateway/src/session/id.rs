//! Ids that nobody can guess.

/// 128 random bits in base64url.
pub fn random_id() -> Box<str> {
    use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
    BASE64_URL_SAFE_NO_PAD
        .encode(rand::random::<[u8; 16]>())
        .into()
}
