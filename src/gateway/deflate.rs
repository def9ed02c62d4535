//! The sending half of permessage-deflate (RFC 7692), without context: each message is compressed by itself, so
//! that one compression serves every session that gets the message.
//!
//! A thread has one compressor, made when the thread first compresses (about 300 KB) and reset for each message,
//! which is twenty times cheaper than a new one.

use std::cell::RefCell;

use flate2::{Compress, Compression, FlushCompress};

/// What ends a sync flush and is left out of a message (RFC 7692 section 7.2.1).
pub const TAIL: [u8; 4] = [0x00, 0x00, 0xff, 0xff];

/// zlib's default: on messages of this size higher levels cost the same and gain nothing.
const LEVEL: u32 = 6;

thread_local! {
    /// Raw deflate: no zlib header.
    static COMPRESSOR: RefCell<Compress> = RefCell::new(Compress::new(Compression::new(LEVEL), false));
}

/// How the messages of a session with permessage-deflate are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Deflate {
    /// Shorter payloads, in bytes, are sent as they are.
    min_bytes: u32,
}

impl Deflate {
    /// Payloads below `min_bytes` will not be compressed.
    pub fn new(min_bytes: usize) -> Self {
        Self {
            min_bytes: u32::try_from(min_bytes).unwrap_or(u32::MAX),
        }
    }

    /// Writes the compressed payload into `out`, whose old content is dropped. `false`: the payload is to be sent
    /// as it is, because it is short or did not become smaller.
    pub fn compress(self, payload: &[u8], out: &mut Vec<u8>) -> bool {
        payload.len() >= self.min_bytes as usize && compress(payload, out)
    }
}

/// Compresses a payload of any length; `false` when it did not become smaller.
pub fn compress(payload: &[u8], out: &mut Vec<u8>) -> bool {
    out.clear();
    // With this much room, output that is cut off is longer than the payload even without its tail.
    out.reserve(payload.len() + TAIL.len());
    let done = COMPRESSOR.with_borrow_mut(|compressor| {
        compressor.reset();
        compressor.compress_vec(payload, out, FlushCompress::Sync)
    });
    if done.is_err() || !out.ends_with(&TAIL) {
        return false;
    }
    out.truncate(out.len() - TAIL.len());
    out.len() < payload.len()
}

#[cfg(test)]
mod tests {
    use flate2::{Decompress, FlushDecompress};
    use rand::{Rng, SeedableRng, rngs::StdRng};

    use super::*;

    fn inflate(compressed: &[u8]) -> Vec<u8> {
        let mut input = compressed.to_vec();
        input.extend(TAIL);
        let mut out = Vec::with_capacity(1 << 20);
        Decompress::new(false)
            .decompress_vec(&input, &mut out, FlushDecompress::Sync)
            .unwrap();
        out
    }

    #[test]
    fn a_message_inflates_to_what_it_was_whatever_was_compressed_before() {
        let mut random = StdRng::seed_from_u64(7);
        let mut out = Vec::new();
        for length in [16, 17, 200, 1_000, 65_535, 65_536, 300_000] {
            let payload: Vec<u8> = (0..length)
                .map(|_| b"{\"price\":0123456789}"[random.random_range(0..20)])
                .collect();
            let smaller = compress(&payload, &mut out);
            assert!(smaller || length < 200, "{length} bytes");
            if smaller {
                assert!(out.len() < payload.len());
                assert_eq!(inflate(&out), payload, "{length} bytes");
            }
        }
        let text = "Grüße aus 長崎, ".repeat(50);
        assert!(compress(text.as_bytes(), &mut out));
        assert_eq!(inflate(&out), text.as_bytes());
    }

    #[test]
    fn what_is_short_or_does_not_shrink_is_sent_as_it_is() {
        let mut out = Vec::new();
        let short = [b'a'; 127];
        assert!(!Deflate::new(128).compress(&short, &mut out));
        assert!(Deflate::new(127).compress(&short, &mut out));
        let mut random = StdRng::seed_from_u64(8);
        for length in [1, 100, 70_000] {
            let noise: Vec<u8> = (0..length).map(|_| random.random()).collect();
            assert!(!Deflate::new(0).compress(&noise, &mut out), "{length}");
        }
        assert!(!Deflate::new(0).compress(&[], &mut out));
    }
}
