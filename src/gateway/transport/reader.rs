//! Frames as they arrive: what was decoded and not yet looked at, and the fault that ended the reading.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use crate::gateway::{
    CloseReason, LimitsConfig,
    frame::{Decoder, FrameError, Inbound},
};

/// Bytes that are decoded at once where messages may be compressed: each message in them may become a thousand times
/// as long.
const STEP: usize = 256;

/// See the module's description.
#[derive(Debug)]
pub struct Reader {
    decoder: Decoder,
    inflates: bool,
    /// What was read and not decoded, where messages may be compressed.
    raw: VecDeque<u8>,
    inbound: VecDeque<Inbound>,
    /// Comes after all of `inbound`; nothing is read any more.
    fault: Option<FrameError>,
    controls: Controls,
}

impl Reader {
    /// `inflates` says that permessage-deflate was negotiated.
    pub fn new(inflates: bool) -> Self {
        Self {
            decoder: Decoder::new(inflates),
            inflates,
            raw: VecDeque::new(),
            inbound: VecDeque::new(),
            fault: None,
            controls: Controls::default(),
        }
    }

    /// Takes what was read. `max` bounds a message, in bytes.
    pub fn push(&mut self, input: &mut [u8], max: usize) {
        if self.inflates {
            self.raw.extend(&*input);
        } else {
            self.decode(input, max);
        }
    }

    fn decode(&mut self, input: &mut [u8], max: usize) {
        if self.fault.is_none() {
            self.fault = self.decoder.push(input, max, &mut self.inbound).err();
        }
    }

    /// The next message, or why there will be none any more; `None` when more has to be read.
    pub fn next(&mut self, limits: &LimitsConfig) -> Option<Result<Inbound, CloseReason>> {
        while self.inbound.is_empty() && self.fault.is_none() && !self.raw.is_empty() {
            let some = self.raw.len().min(STEP);
            let mut some: Vec<u8> = self.raw.drain(..some).collect();
            self.decode(&mut some, limits.message_bytes);
        }
        let Some(inbound) = self.inbound.pop_front() else {
            // An idle session keeps no buffer.
            self.inbound = VecDeque::new();
            self.raw = VecDeque::new();
            return self.fault.map(|fault| Err(fault.into()));
        };
        let control = matches!(inbound, Inbound::Ping(_) | Inbound::Pong);
        if control && !self.controls.admit(Instant::now(), limits) {
            return Some(Err(CloseReason::Abuse));
        }
        Some(Ok(inbound))
    }
}

/// Counts pings and pongs in windows that follow one another: each ping makes the server answer, so they are
/// bounded, but so generously that the exact window of the requests is not needed.
#[derive(Debug, Default)]
struct Controls {
    since: Option<Instant>,
    count: u32,
}

impl Controls {
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

impl From<FrameError> for CloseReason {
    fn from(error: FrameError) -> Self {
        match error {
            FrameError::Protocol(what) => Self::Protocol(what),
            FrameError::NotText => Self::NotText,
            FrameError::TooBig => Self::TooBig,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gateway::deflate;

    #[test]
    fn what_is_compressed_is_inflated_only_as_it_is_looked_at() {
        let (long, mut packed) = (vec![b'x'; 60_000], Vec::new());
        assert!(deflate::compress(&long, &mut packed));
        let mut frame = vec![0xc2, 0x80 | packed.len() as u8, 0, 0, 0, 0];
        assert!(packed.len() < 126, "{} bytes", packed.len());
        frame.extend(packed);
        let limits = LimitsConfig::default();
        let mut reader = Reader::new(true);
        reader.push(&mut frame.repeat(300), limits.message_bytes);
        for number in 0..300 {
            let next = reader.next(&limits);
            assert!(next == Some(Ok(Inbound::Binary(long.clone()))), "{number}");
            let waiting = reader.inbound.len();
            assert!(waiting < 8, "{waiting} messages of 60 KB wait");
        }
        assert_eq!(reader.next(&limits), None);
    }

    #[test]
    fn control_frames_are_counted_anew_in_each_window() {
        let limits = LimitsConfig {
            control_frames: 3,
            rate_window_ms: 1_000,
            ..LimitsConfig::default()
        };
        let start = Instant::now();
        let mut controls = Controls::default();
        for ms in [0, 400, 999] {
            assert!(controls.admit(start + Duration::from_millis(ms), &limits));
        }
        assert!(!controls.admit(start + Duration::from_millis(999), &limits));
        assert!(controls.admit(start + Duration::from_millis(1_000), &limits));
    }
}
