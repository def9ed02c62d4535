//! Decodes messages incrementally from received bytes.
//!
//! Payloads are unmasked and appended to their message piece by piece, so errors are detected early and a message uses
//! memory only for received bytes. Between messages a decoder has no buffer, which keeps idle sessions small.

use std::io::Cursor;

use tungstenite::protocol::frame::{
    FrameHeader,
    coding::{CloseCode, Control, Data, OpCode},
};

use super::{Compression, FrameError, Inbound, MAX_CONTROL};
use crate::inflate::inflate;

/// Maximum header length of a frame from a client.
const MAX_HEADER: usize = 14;

/// Decodes bytes to messages. `Default` is a new connection without compression.
#[derive(Debug, Default)]
pub struct Decoder {
    inflates: bool,
    /// Incomplete data; `None` between messages.
    partial: Option<Box<Partial>>,
}

#[derive(Debug, Default)]
struct Partial {
    /// The received part of an incomplete header.
    header: Vec<u8>,
    frame: Option<Frame>,
    /// The received payload of a control frame.
    control: Vec<u8>,
    message: Option<PartialMessage>,
}

/// A frame whose header is complete.
#[derive(Debug)]
struct Frame {
    opcode: OpCode,
    last: bool,
    /// Rotated so that it starts with the mask of the next byte.
    mask: [u8; 4],
    /// Missing bytes of the payload.
    left: usize,
}

/// An incomplete message.
#[derive(Debug)]
struct PartialMessage {
    text: bool,
    compressed: bool,
    payload: Vec<u8>,
    /// Length of the prefix that is valid UTF-8.
    checked: usize,
}

impl Decoder {
    /// `negotiated`: how the client may compress its messages.
    pub fn new(negotiated: Compression) -> Self {
        Self {
            inflates: negotiated == Compression::Deflate,
            partial: None,
        }
    }

    /// Bytes buffered for incomplete data; 0 between messages.
    pub fn buffered(&self) -> usize {
        self.partial
            .as_ref()
            .map_or(0, |partial| partial.buffered())
    }

    /// Decodes received bytes (unmasking them in place) and appends complete messages to `out`. `max` is the maximum size
    /// of an inflated message in bytes; a longer one is refused as early as possible.
    ///
    /// After an error the messages in `out` are valid, but the decoder must not be used again.
    pub fn push(
        &mut self,
        mut input: &mut [u8],
        max: usize,
        out: &mut impl Extend<Inbound>,
    ) -> Result<(), FrameError> {
        let mut partial = self
            .partial
            .take()
            .map_or_else(Partial::default, |partial| *partial);
        loop {
            let Some(frame) = &mut partial.frame else {
                match partial.next_header(&mut input)? {
                    Some((header, length)) => partial.begin(&header, length, self.inflates, max)?,
                    None => break,
                }
                continue;
            };
            let (piece, rest) = input.split_at_mut(frame.left.min(input.len()));
            input = rest;
            unmask(piece, frame.mask);
            frame.mask.rotate_left(piece.len() % 4);
            frame.left -= piece.len();
            match (&frame.opcode, &mut partial.message) {
                (OpCode::Data(_), Some(message)) => message.payload.extend_from_slice(piece),
                _ => partial.control.extend_from_slice(piece),
            }
            if frame.left > 0 {
                partial.fail_fast()?;
                break;
            }
            out.extend(partial.finish_frame(max)?);
        }
        if !partial.is_idle() {
            self.partial = Some(Box::new(partial));
        }
        Ok(())
    }
}

impl Partial {
    fn is_idle(&self) -> bool {
        self.header.is_empty() && self.frame.is_none() && self.message.is_none()
    }

    fn buffered(&self) -> usize {
        let message = self.message.as_ref().map_or(0, |m| m.payload.len());
        self.header.len() + self.control.len() + message
    }

    /// Parses a header from the input, or stores an incomplete one.
    fn next_header(
        &mut self,
        input: &mut &mut [u8],
    ) -> Result<Option<(FrameHeader, u64)>, FrameError> {
        const RESERVED: FrameError = FrameError::Protocol("a frame has a reserved opcode");
        let kept = self.header.len();
        let more = input.len().min(MAX_HEADER - kept);
        if kept > 0 {
            self.header.extend_from_slice(&input[..more]);
        }
        // Only a header that was split is joined; most are complete in the input.
        let mut cursor = Cursor::new(if kept > 0 {
            &self.header
        } else {
            &input[..more]
        });
        let parsed = FrameHeader::parse(&mut cursor).map_err(|_| RESERVED)?;
        let used = cursor.position() as usize;
        if parsed.is_some() {
            self.header.clear();
            *input = &mut std::mem::take(input)[used - kept..];
        } else {
            if kept == 0 {
                self.header.extend_from_slice(&input[..more]);
            }
            *input = &mut [];
        }
        Ok(parsed)
    }

    /// Begins a frame, if it is allowed here.
    fn begin(
        &mut self,
        header: &FrameHeader,
        length: u64,
        inflates: bool,
        max: usize,
    ) -> Result<(), FrameError> {
        let Some(mask) = header.mask else {
            return Err(FrameError::Protocol("a frame from a client is not masked"));
        };
        if header.rsv2 || header.rsv3 || header.rsv1 && !inflates {
            return Err(FrameError::Protocol("a frame has a reserved bit set"));
        }
        match header.opcode {
            OpCode::Control(_) => check_control(header, length)?,
            OpCode::Data(data) => self.begin_data(data, header.rsv1, length, max)?,
        }
        self.frame = Some(Frame {
            opcode: header.opcode,
            last: header.is_final,
            mask,
            // Bounded by the checks above.
            left: length as usize,
        });
        Ok(())
    }

    fn begin_data(
        &mut self,
        data: Data,
        compressed: bool,
        length: u64,
        max: usize,
    ) -> Result<(), FrameError> {
        match (data, &self.message) {
            (Data::Continue, None) => {
                return Err(FrameError::Protocol(
                    "a continuation frame without a message",
                ));
            }
            (Data::Continue, Some(_)) if compressed => {
                return Err(FrameError::Protocol(
                    "a continuation frame is marked as compressed",
                ));
            }
            (Data::Continue, Some(_)) => {}
            (_, Some(_)) => {
                return Err(FrameError::Protocol(
                    "a new message within a fragmented one",
                ));
            }
            (_, None) => {
                self.message = Some(PartialMessage {
                    text: data == Data::Text,
                    compressed,
                    payload: Vec::new(),
                    checked: 0,
                });
            }
        }
        let message = self.message.as_ref();
        let (before, compressed) = message.map_or((0, false), |m| (m.payload.len(), m.compressed));
        // Incompressible data grows slightly.
        let room = if compressed {
            max.saturating_add(max / 64 + 64)
        } else {
            max
        };
        if length > room.saturating_sub(before) as u64 {
            return Err(FrameError::TooBig);
        }
        Ok(())
    }

    /// Refuses a text as soon as it cannot become valid UTF-8.
    fn fail_fast(&mut self) -> Result<(), FrameError> {
        match &mut self.message {
            Some(message) if message.text && !message.compressed => message.check(),
            _ => Ok(()),
        }
    }

    /// The payload of the frame is complete; returns the message if it is complete, too.
    fn finish_frame(&mut self, max: usize) -> Result<Option<Inbound>, FrameError> {
        let Some(frame) = self.frame.take() else {
            return Ok(None);
        };
        if let OpCode::Control(control) = frame.opcode {
            let payload = std::mem::take(&mut self.control);
            return match control {
                Control::Ping => Ok(Some(Inbound::Ping(payload))),
                Control::Pong => Ok(Some(Inbound::Pong)),
                _ => close(&payload).map(Some),
            };
        }
        if !frame.last {
            return self.fail_fast().map(|()| None);
        }
        self.message
            .take()
            .map(|message| message.finish(max))
            .transpose()
    }
}

impl PartialMessage {
    fn check(&mut self) -> Result<(), FrameError> {
        match std::str::from_utf8(&self.payload[self.checked..]) {
            Ok(_) => self.checked = self.payload.len(),
            // The rest of a character may still arrive.
            Err(error) if error.error_len().is_none() => self.checked += error.valid_up_to(),
            Err(_) => return Err(FrameError::NotText),
        }
        Ok(())
    }

    fn finish(self, max: usize) -> Result<Inbound, FrameError> {
        let payload = if self.compressed {
            inflate(self.payload, max)?
        } else {
            self.payload
        };
        if !self.text {
            return Ok(Inbound::Binary(payload));
        }
        String::from_utf8(payload)
            .map(Inbound::Text)
            .map_err(|_| FrameError::NotText)
    }
}

fn check_control(header: &FrameHeader, length: u64) -> Result<(), FrameError> {
    match (header.rsv1, header.is_final, length <= MAX_CONTROL) {
        (false, true, true) => Ok(()),
        (true, ..) => Err(FrameError::Protocol(
            "a control frame has a reserved bit set",
        )),
        (_, false, _) => Err(FrameError::Protocol("a control frame is fragmented")),
        (_, _, false) => Err(FrameError::Protocol("a control frame is too long")),
    }
}

fn close(payload: &[u8]) -> Result<Inbound, FrameError> {
    match payload {
        [] => Ok(Inbound::Close(None)),
        [_] => Err(FrameError::Protocol("a close frame has an incomplete code")),
        [high, low, reason @ ..] => {
            let code = u16::from_be_bytes([*high, *low]);
            if !CloseCode::from(code).is_allowed() {
                return Err(FrameError::Protocol(
                    "a close frame has a code that must not be sent",
                ));
            }
            if std::str::from_utf8(reason).is_err() {
                return Err(FrameError::NotText);
            }
            Ok(Inbound::Close(Some(code)))
        }
    }
}

/// XORs with the mask, a word at a time (RFC 6455 section 5.3).
fn unmask(payload: &mut [u8], mask: [u8; 4]) {
    let [a, b, c, d] = mask;
    let wide = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let mut words = payload.chunks_exact_mut(8);
    for word in &mut words {
        if let Ok(bytes) = <[u8; 8]>::try_from(&*word) {
            word.copy_from_slice(&(u64::from_ne_bytes(bytes) ^ wide).to_ne_bytes());
        }
    }
    for (byte, key) in words.into_remainder().iter_mut().zip(mask.iter().cycle()) {
        *byte ^= key;
    }
}

#[cfg(test)]
#[path = "decode_tests.rs"]
mod tests;
