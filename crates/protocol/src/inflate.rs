//! Inflates compressed messages (RFC 7692 section 7.2.2) without context takeover.
//!
//! The output is bounded: a message that would become longer is refused during inflation. The decompressor's state is
//! created for the first compressed message of a thread and shared by its sessions, so a session that negotiated
//! compression costs nothing until it uses it.
//!
//! The output buffer is the window: a reference to before the message's first byte is an error and can never reach
//! another session's data. (A decompressor with its own window would have to clear it.)

use std::cell::RefCell;

use miniz_oxide::inflate::{
    TINFLStatus,
    core::{
        DecompressorOxide, decompress, inflate_flags::TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF,
    },
};

use super::frame::FrameError;

/// The bytes that a sender removes from the end of every message, and an empty final block that ends the stream.
const TAIL: [u8; 9] = [0, 0, 0xff, 0xff, 0x01, 0, 0, 0xff, 0xff];
/// Maximum number of final blocks in a message. A sender may write one at each flush.
const MAX_STREAMS: usize = 1_000;

const INVALID: FrameError = FrameError::Protocol("a compressed message is not DEFLATE data");

thread_local! {
    static STATE: RefCell<Option<Box<DecompressorOxide>>> = const { RefCell::new(None) };
}

/// Inflates the payload of a message to at most `max` bytes.
pub fn inflate(mut payload: Vec<u8>, max: usize) -> Result<Vec<u8>, FrameError> {
    if payload.is_empty() {
        return Ok(payload);
    }
    payload.extend(TAIL);
    STATE.with_borrow_mut(|state| run(state.get_or_insert_default(), &payload, max))
}

fn run(state: &mut DecompressorOxide, mut input: &[u8], max: usize) -> Result<Vec<u8>, FrameError> {
    // One byte beyond the limit distinguishes a message that is too long from one of exactly `max` bytes.
    let most = max.saturating_add(1);
    let mut out = vec![0; most.min(input.len().saturating_mul(4))];
    let mut length = 0;
    for _ in 0..MAX_STREAMS {
        state.init();
        loop {
            let flags = TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF;
            let (status, read, written) = decompress(state, input, &mut out, length, flags);
            input = &input[read..];
            length += written;
            if length > max {
                return Err(FrameError::TooBig);
            }
            match status {
                TINFLStatus::Done if input.is_empty() => {
                    out.truncate(length);
                    return Ok(out);
                }
                TINFLStatus::Done => break,
                TINFLStatus::HasMoreOutput if out.len() < most => {
                    out.resize(out.len().saturating_mul(2).min(most), 0);
                }
                TINFLStatus::HasMoreOutput => return Err(FrameError::TooBig),
                _ => return Err(INVALID),
            }
        }
    }
    Err(INVALID)
}

#[cfg(test)]
mod tests {
    use flate2::{Compress, Compression, FlushCompress};

    use super::*;

    fn deflate(data: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(data.len() + 1_000);
        Compress::new(Compression::default(), false)
            .compress_vec(data, &mut out, FlushCompress::Sync)
            .unwrap();
        assert!(out.ends_with(&TAIL[..4]));
        out.truncate(out.len() - 4);
        out
    }

    #[test]
    fn inflates_the_examples_of_the_rfc() {
        for (what, bytes) in [
            ("one block", &[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00][..]),
            (
                "without compression",
                &[
                    0x00, 0x05, 0x00, 0xfa, 0xff, 0x48, 0x65, 0x6c, 0x6c, 0x6f, 0x00,
                ],
            ),
            (
                "a final block",
                &[0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00],
            ),
            (
                "two blocks",
                &[
                    0xf2, 0x48, 0x05, 0x00, 0x00, 0x00, 0xff, 0xff, 0xca, 0xc9, 0xc9, 0x07, 0x00,
                ],
            ),
        ] {
            assert_eq!(inflate(bytes.to_vec(), 5).unwrap(), b"Hello", "{what}");
        }
        assert_eq!(inflate(vec![0x00], 0).unwrap(), b"", "an empty message");
        assert_eq!(inflate(vec![], 0).unwrap(), b"", "nothing at all");
    }

    #[test]
    fn messages_of_any_length_round_trip() {
        for length in [0, 1, 100, 255, 256, 257, 5_000, 65_536, 300_000] {
            let data: Vec<u8> = (0..length).map(|i| (i * i / 7) as u8).collect();
            let packed = deflate(&data);
            assert_eq!(inflate(packed.clone(), length).unwrap(), data);
            if length > 0 {
                assert_eq!(inflate(packed, length - 1), Err(FrameError::TooBig));
            }
        }
    }

    #[test]
    fn message_cannot_refer_to_an_earlier_one() {
        let mut shared = Compress::new(Compression::default(), false);
        let mut message = || {
            let mut out = Vec::with_capacity(1_000);
            let text = b"a sentence that the second message refers back to";
            shared
                .compress_vec(text, &mut out, FlushCompress::Sync)
                .unwrap();
            out.truncate(out.len() - 4);
            out
        };
        assert!(inflate(message(), 1_000).is_ok());
        // Enough to fill every window, so that a reference could find data.
        let filler: Vec<u8> = (0..200_000u64).map(|i| ((i * i) >> 7) as u8).collect();
        assert!(inflate(deflate(&filler), filler.len()).is_ok());
        assert_eq!(inflate(message(), 1_000), Err(INVALID));
    }

    #[test]
    fn rejects_a_truncated_message() {
        let packed = deflate(b"a sentence with a sentence in it");
        for end in 1..packed.len() - 1 {
            assert_eq!(
                inflate(packed[..end].to_vec(), 1_000),
                Err(INVALID),
                "{end}"
            );
        }
    }

    #[test]
    fn rejects_a_zip_bomb_at_the_limit() {
        let bomb = deflate(&vec![0; 50_000_000]);
        assert!(bomb.len() < 65_536);
        assert_eq!(inflate(bomb, 65_536), Err(FrameError::TooBig));
    }

    #[test]
    fn rejects_invalid_data_and_reads_the_next_message() {
        assert_eq!(inflate(vec![0x07, 1, 2, 3], 100), Err(INVALID));
        assert_eq!(inflate([0x03, 0x00].repeat(2_000), 100), Err(INVALID));
        assert_eq!(inflate(deflate(b"good"), 100).unwrap(), b"good");
    }
}
