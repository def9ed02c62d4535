//! Inflating one compressed message (RFC 7692 section 7.2.2), without context from the one before.
//!
//! What comes out is bounded, whatever goes in: a message that would become longer is refused while it is inflated.
//! The state of the decompressor is made when the first compressed message arrives and shared by a thread's
//! sessions, so a session that negotiated compression costs nothing until it uses it.

//!
//! The output buffer is the window: what refers to before the message's first byte is an error, and never finds what
//! another session sent. (A decompressor with a window of its own would have to clear it.)

use std::cell::RefCell;

use miniz_oxide::inflate::{
    TINFLStatus,
    core::{
        DecompressorOxide, decompress, inflate_flags::TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF,
    },
};

use super::frame::FrameError;

/// What a sender leaves out at the end of every message, and an empty last block that ends the data for good.
const TAIL: [u8; 9] = [0, 0, 0xff, 0xff, 0x01, 0, 0, 0xff, 0xff];
/// Most last blocks in a message. A sender may write one whenever it flushes.
const MAX_STREAMS: usize = 1_000;

const BROKEN: FrameError = FrameError::Protocol("a compressed message is not DEFLATE data");

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
    // One byte beyond the limit tells too much from just enough.
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
                _ => return Err(BROKEN),
            }
        }
    }
    Err(BROKEN)
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
    fn the_examples_of_the_rfc_are_inflated() {
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
    fn what_was_deflated_comes_back_whatever_its_length() {
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
    fn one_message_does_not_reach_into_another() {
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
        // Enough to fill every window, so that there would be something to find.
        let filler: Vec<u8> = (0..200_000u64).map(|i| ((i * i) >> 7) as u8).collect();
        assert!(inflate(deflate(&filler), filler.len()).is_ok());
        assert_eq!(inflate(message(), 1_000), Err(BROKEN));
    }

    #[test]
    fn a_message_that_was_cut_short_is_an_error() {
        let packed = deflate(b"a sentence with a sentence in it");
        for end in 1..packed.len() - 1 {
            assert_eq!(inflate(packed[..end].to_vec(), 1_000), Err(BROKEN), "{end}");
        }
    }

    #[test]
    fn a_bomb_is_refused_when_it_passes_the_limit_and_not_when_it_is_done() {
        let bomb = deflate(&vec![0; 50_000_000]);
        assert!(bomb.len() < 65_536);
        assert_eq!(inflate(bomb, 65_536), Err(FrameError::TooBig));
    }

    #[test]
    fn what_is_no_deflate_data_is_an_error_and_the_next_message_is_read() {
        assert_eq!(inflate(vec![0x07, 1, 2, 3], 100), Err(BROKEN));
        assert_eq!(inflate([0x03, 0x00].repeat(2_000), 100), Err(BROKEN));
        assert_eq!(inflate(deflate(b"good"), 100).unwrap(), b"good");
    }
}
