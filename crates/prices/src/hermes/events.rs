//! Parses server-sent events (WHATWG HTML, section 9.2.6): from the bytes of a stream to the data of its events.
//!
//! Pure. Only `data` is used: names, ids and retry times are skipped. Buffers at most `limit` bytes for any input.

/// Parser of a stream, with the current incomplete event.
#[derive(Debug)]
pub(super) struct Events {
    limit: usize,
    line: Vec<u8>,
    /// Lines of data, each with its line end.
    data: Vec<u8>,
    /// Whether the last byte was a carriage return: a following line feed ends no other line.
    after_cr: bool,
    at_start: bool,
}

/// An event exceeds the limit.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooLong;

impl Events {
    /// A parser for a new stream.
    pub(super) fn new(limit: usize) -> Self {
        Self {
            limit,
            line: Vec::new(),
            data: Vec::new(),
            after_cr: false,
            at_start: true,
        }
    }

    /// Parses bytes, and passes the data of each completed event to `each`.
    pub(super) fn read(
        &mut self,
        bytes: &[u8],
        mut each: impl FnMut(&[u8]),
    ) -> Result<(), TooLong> {
        for &byte in bytes {
            let follows_cr = std::mem::replace(&mut self.after_cr, byte == b'\r');
            match byte {
                b'\n' if follows_cr => {}
                b'\n' | b'\r' => self.end_line(&mut each),
                _ if self.line.len() + self.data.len() >= self.limit => return Err(TooLong),
                _ => self.line.push(byte),
            }
        }
        Ok(())
    }

    fn end_line(&mut self, each: &mut impl FnMut(&[u8])) {
        const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();
        let line = std::mem::take(&mut self.line);
        let mut text = line.as_slice();
        if std::mem::take(&mut self.at_start) {
            text = text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text);
        }
        if text.is_empty() {
            if let Some((_, data)) = self.data.split_last() {
                each(data);
            }
            self.data.clear();
        } else if text == b"data" {
            self.data.push(b'\n');
        } else if let Some(value) = text.strip_prefix(b"data:") {
            self.data
                .extend_from_slice(value.strip_prefix(b" ").unwrap_or(value));
            self.data.push(b'\n');
        }
        // Reuse the buffer of the line.
        self.line = line;
        self.line.clear();
    }
}

#[cfg(test)]
mod tests {
    use rand::{Rng, SeedableRng, rngs::StdRng};

    use super::*;

    fn read(pieces: &[&[u8]]) -> Vec<String> {
        let mut events = Events::new(1_000);
        let mut found = Vec::new();
        for piece in pieces {
            events
                .read(piece, |data| {
                    found.push(String::from_utf8_lossy(data).into_owned())
                })
                .unwrap();
        }
        found
    }

    #[test]
    fn accepts_every_line_ending() {
        for end in ["\n", "\r\n", "\r"] {
            let text = [
                "data:{\"a\":1}",
                "",
                "data: b",
                "data:c",
                "",
                "data",
                "",
                "",
            ]
            .join(end);
            assert_eq!(
                read(&[text.as_bytes()]),
                ["{\"a\":1}", "b\nc", ""],
                "{end:?}"
            );
        }
    }

    #[test]
    fn skips_comments_names_and_incomplete_event() {
        let text = b"\xef\xbb\xbf: keep-alive\n\nevent: price\nid: 7\nretry: 9\ndata:  x\ndatax:y\n\ndata: half";
        assert_eq!(read(&[text]), [" x"]);
    }

    #[test]
    fn chunk_boundaries_do_not_matter() {
        let text = b"data: one\r\n\r\ndata: two\ndata: three\r\rdata: four\n\n";
        let whole = read(&[text]);
        assert_eq!(whole, ["one", "two\nthree", "four"]);
        let mut random = StdRng::seed_from_u64(3);
        for _ in 0..500 {
            let mut pieces = Vec::new();
            let mut rest = text.as_slice();
            while !rest.is_empty() {
                let (piece, more) = rest.split_at(random.random_range(1..=rest.len()));
                pieces.push(piece);
                rest = more;
            }
            assert_eq!(read(&pieces), whole);
        }
    }

    #[test]
    fn rejects_event_over_limit() {
        let mut events = Events::new(10);
        assert_eq!(events.read(b"data:12345\n", |_| ()), Ok(()));
        assert_eq!(events.read(b"data:12345\n\n", |_| ()), Err(TooLong));
        let mut events = Events::new(10);
        assert_eq!(events.read(&[b'x'; 11], |_| ()), Err(TooLong));
    }
}
