//! Frames as they arrive: what was decoded and not yet looked at, and the fault that ended the reading.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use crate::gateway::{
    CloseReason, LimitsConfig,
    frame::{Decoder, FrameError, Inbound},
};

/// See the module's description.
#[derive(Debug)]
pub struct Reader {
    decoder: Decoder,
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
            inbound: VecDeque::new(),
            fault: None,
            controls: Controls::default(),
        }
    }

    /// Takes what was read. `max` bounds a message, in bytes.
    pub fn push(&mut self, input: &mut [u8], max: usize) {
        if self.fault.is_none() {
            self.fault = self.decoder.push(input, max, &mut self.inbound).err();
        }
    }

    /// The next message, or why there will be none any more; `None` when more has to be read.
    pub fn next(&mut self, limits: &LimitsConfig) -> Option<Result<Inbound, CloseReason>> {
        let Some(inbound) = self.inbound.pop_front() else {
            // An idle session keeps no buffer.
            self.inbound = VecDeque::new();
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
