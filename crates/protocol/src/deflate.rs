//! The sending half of permessage-deflate (RFC 7692) without context takeover: each message is compressed by itself, so
//! one compressed message serves all receivers.
//!
//! Each thread has one compressor (about 300 KB), created at its first use and reset for each message, which is twenty
//! times cheaper than a new one.

use std::cell::RefCell;

use flate2::{Compress, Compression, FlushCompress};

/// The end of a sync flush, removed from each message (RFC 7692 section 7.2.1).
pub const TAIL: [u8; 4] = [0x00, 0x00, 0xff, 0xff];

/// zlib's default: for messages of this size higher levels gain nothing.
const LEVEL: u32 = 6;

thread_local! {
    /// Raw deflate: no zlib header.
    static COMPRESSOR: RefCell<Compress> = RefCell::new(Compress::new(Compression::new(LEVEL), false));
}

/// Compression parameters of a session with permessage-deflate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Deflate {
    /// Payloads shorter than this many bytes are sent uncompressed.
    min_bytes: u32,
}

impl Deflate {
    /// Payloads shorter than `min_bytes` are not compressed.
    pub fn new(min_bytes: usize) -> Self {
        Self {
            min_bytes: u32::try_from(min_bytes).unwrap_or(u32::MAX),
        }
    }

    /// Replaces the content of `out` with the compressed payload. `false` when the payload must be sent uncompressed,
    /// because it is short or did not shrink.
    pub fn compress(self, payload: &[u8], out: &mut Vec<u8>) -> bool {
        payload.len() >= self.min_bytes as usize && compress(payload, out)
    }
}

/// Compresses a payload of any length; `false` when it did not shrink.
pub fn compress(payload: &[u8], out: &mut Vec<u8>) -> bool {
    out.clear();
    // With this capacity, truncated output is longer than the payload even without its tail.
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
    fn messages_round_trip_independently() {
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
    fn short_or_incompressible_payloads_stay_uncompressed() {
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
