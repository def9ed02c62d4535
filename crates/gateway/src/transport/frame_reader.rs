//! Reads frames: holds decoded messages that are not yet handled, and the error that ended the reading.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use crate::config::LimitsConfig;
use chaincast_protocol::{
    CloseReason,
    frame::{Compression, Decoder, FrameError, Inbound},
};

/// Bytes decoded at a time if messages may be compressed: inflating may enlarge a message by a factor of 1000.
const DECODE_CHUNK: usize = 256;

/// See the module's description.
#[derive(Debug)]
pub struct FrameReader {
    decoder: Decoder,
    inflates: bool,
    /// Bytes not yet decoded, if messages may be compressed.
    raw: VecDeque<u8>,
    inbound: VecDeque<Inbound>,
    /// Returned after all of `inbound`; nothing more is read.
    error: Option<FrameError>,
    control_limit: ControlLimit,
}

impl FrameReader {
    /// `negotiated`: how the client may compress its messages.
    pub fn new(negotiated: Compression) -> Self {
        Self {
            decoder: Decoder::new(negotiated),
            inflates: negotiated == Compression::Deflate,
            raw: VecDeque::new(),
            inbound: VecDeque::new(),
            error: None,
            control_limit: ControlLimit::default(),
        }
    }

    /// Adds bytes read from the socket. `max` is the size limit of a message, in bytes.
    pub fn push(&mut self, input: &mut [u8], max: usize) {
        if self.inflates {
            self.raw.extend(&*input);
        } else {
            self.decode(input, max);
        }
    }

    fn decode(&mut self, input: &mut [u8], max: usize) {
        if self.error.is_none() {
            self.error = self.decoder.push(input, max, &mut self.inbound).err();
        }
    }

    /// The next message, or the reason to close; `None` if more bytes are needed.
    pub fn next(&mut self, limits: &LimitsConfig) -> Option<Result<Inbound, CloseReason>> {
        while self.inbound.is_empty() && self.error.is_none() && !self.raw.is_empty() {
            let some = self.raw.len().min(DECODE_CHUNK);
            let mut some: Vec<u8> = self.raw.drain(..some).collect();
            self.decode(&mut some, limits.message_bytes);
        }
        let Some(inbound) = self.inbound.pop_front() else {
            // An idle session keeps no buffer.
            self.inbound = VecDeque::new();
            self.raw = VecDeque::new();
            return self.error.map(|error| Err(error.into()));
        };
        let control = matches!(inbound, Inbound::Ping(_) | Inbound::Pong);
        if control && !self.control_limit.admit(Instant::now(), limits) {
            return Some(Err(CloseReason::Abuse));
        }
        Some(Ok(inbound))
    }
}

/// Limits pings and pongs per fixed window: the server answers each ping. The limit is generous, so it needs no sliding
/// window.
#[derive(Debug, Default)]
struct ControlLimit {
    since: Option<Instant>,
    count: u32,
}

impl ControlLimit {
    fn admit(&mut self, now: Instant, limits: &LimitsConfig) -> bool {
        let window = Duration::from_millis(limits.rate_window_ms);
        if self
            .since
            .is_none_or(|since| now.duration_since(since) >= window)
        {
            *self = Self {
                since: Some(now),
                count: 0,
            };
        }
        self.count += 1;
        self.count <= limits.control_frames
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chaincast_protocol::deflate;

    #[test]
    fn inflates_messages_only_on_demand() {
        let (long, mut packed) = (vec![b'x'; 60_000], Vec::new());
        assert!(deflate::compress(&long, &mut packed));
        let mut frame = vec![0xc2, 0x80 | packed.len() as u8, 0, 0, 0, 0];
        assert!(packed.len() < 126, "{} bytes", packed.len());
        frame.extend(packed);
        let limits = LimitsConfig::default();
        let mut reader = FrameReader::new(Compression::Deflate);
        reader.push(&mut frame.repeat(300), limits.message_bytes);
        for number in 0..300 {
            let next = reader.next(&limits);
            assert!(next == Some(Ok(Inbound::Binary(long.clone()))), "{number}");
            let queued = reader.inbound.len();
            assert!(queued < 8, "{queued} messages of 60 KB are queued");
        }
        assert_eq!(reader.next(&limits), None);
    }

    #[test]
    fn control_frame_limit_resets_each_window() {
        let limits = LimitsConfig {
            control_frames: 3,
            rate_window_ms: 1_000,
            ..LimitsConfig::default()
        };
        let start = Instant::now();
        let mut limit = ControlLimit::default();
        for ms in [0, 400, 999] {
            assert!(limit.admit(start + Duration::from_millis(ms), &limits));
        }
        assert!(!limit.admit(start + Duration::from_millis(999), &limits));
        assert!(limit.admit(start + Duration::from_millis(1_000), &limits));
    }
}
