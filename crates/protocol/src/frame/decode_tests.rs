use super::*;

const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut out = vec![first];
    match payload.len() {
        n if n < 126 => out.push(0x80 | n as u8),
        n if n < 65_536 => {
            out.push(0x80 | 126);
            out.extend((n as u16).to_be_bytes());
        }
        n => {
            out.push(0x80 | 127);
            out.extend((n as u64).to_be_bytes());
        }
    }
    out.extend(MASK);
    out.extend(payload.iter().zip(MASK.iter().cycle()).map(|(b, k)| b ^ k));
    out
}

fn decode(bytes: &[u8]) -> Result<Vec<Inbound>, FrameError> {
    let mut out = Vec::new();
    Decoder::default().push(&mut bytes.to_vec(), 1_000, &mut out)?;
    Ok(out)
}

#[test]
fn decodes_the_example_of_the_rfc() {
    let hello = [
        0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58,
    ];
    assert_eq!(decode(&hello), Ok(vec![Inbound::Text("Hello".into())]));
}

#[test]
fn decodes_any_fragmentation_alike() {
    let mut bytes = masked(0x01, "Grüße ".as_bytes());
    bytes.extend(masked(0x89, b"in between"));
    bytes.extend(masked(0x80, &"aus 長崎".repeat(20).into_bytes()));
    bytes.extend(masked(0x88, &[0x03, 0xe8]));
    let whole = decode(&bytes).unwrap();
    assert_eq!(
        whole,
        vec![
            Inbound::Ping(b"in between".to_vec()),
            Inbound::Text(format!("Grüße {}", "aus 長崎".repeat(20))),
            Inbound::Close(Some(1000)),
        ]
    );
    for size in 1..bytes.len() {
        let (mut decoder, mut out) = (Decoder::default(), Vec::new());
        for piece in bytes.chunks(size) {
            decoder.push(&mut piece.to_vec(), 1_000, &mut out).unwrap();
        }
        assert_eq!(out, whole, "in pieces of {size}");
        assert!(decoder.partial.is_none(), "an idle decoder has no buffer");
    }
}

#[test]
fn rejects_protocol_violations() {
    let protocol = |bytes: &[u8]| matches!(decode(bytes), Err(FrameError::Protocol(_)));
    assert!(protocol(&[0x81, 0x01, b'x']), "not masked");
    assert!(protocol(&masked(0xc1, b"x")), "reserved bit");
    assert!(protocol(&masked(0x83, b"x")), "reserved opcode");
    assert!(protocol(&masked(0x80, b"x")), "continuation first");
    assert!(protocol(&masked(0x09, b"x")), "fragmented ping");
    assert!(protocol(&masked(0x89, &[0; 126])), "long ping");
    assert!(protocol(&masked(0x88, &[3])), "half a close code");
    assert!(protocol(&masked(0x88, &[0x03, 0xed])), "close code 1005");
    let nested = [masked(0x01, b"a"), masked(0x81, b"b")].concat();
    assert!(protocol(&nested), "message within a message");
    assert_eq!(decode(&masked(0x81, &[0xff])), Err(FrameError::NotText));
    let bad_reason = masked(0x88, &[0x03, 0xe8, 0xff]);
    assert_eq!(decode(&bad_reason), Err(FrameError::NotText));
}

#[test]
fn rejects_a_large_message_before_buffering() {
    let header = [0x81, 0xff, 0, 0, 0, 0, 0, 1, 0, 0, 1, 2, 3, 4];
    assert_eq!(decode(&header), Err(FrameError::TooBig));
    assert_eq!(
        decode(&[
            0x81, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 2, 3, 4
        ]),
        Err(FrameError::TooBig)
    );
    let fragments = [masked(0x01, &[b'a'; 600]), masked(0x80, &[b'a'; 600])].concat();
    assert_eq!(decode(&fragments), Err(FrameError::TooBig));
    assert!(decode(&masked(0x81, &[b'a'; 1_000])).is_ok());
}

/// Decodes in pieces; returns the messages and the error, if any.
fn pieces(mut decoder: Decoder, bytes: &[u8], size: usize) -> (Vec<Inbound>, Option<FrameError>) {
    let mut out = Vec::new();
    for piece in bytes.chunks(size) {
        if let Err(error) = decoder.push(&mut piece.to_vec(), 1_000, &mut out) {
            return (out, Some(error));
        }
    }
    (out, None)
}

#[test]
fn delivers_messages_before_an_error() {
    let bytes = [
        masked(0x81, b"good"),
        masked(0x83, b"bad"),
        masked(0x81, b"x"),
    ]
    .concat();
    for size in 1..=bytes.len() {
        let (out, error) = pieces(Decoder::default(), &bytes, size);
        assert_eq!(out, [Inbound::Text("good".into())], "in pieces of {size}");
        assert!(matches!(error, Some(FrameError::Protocol(_))), "{size}");
    }
}

#[test]
fn rejects_invalid_utf8_before_the_frame_ends() {
    // U+110000 would be f4 90 80 80: the second byte decides.
    let mut frame = masked(0x81, b"\xce\xba\xf4\x90 and much more");
    frame.truncate(6 + 3);
    assert_eq!(decode(&frame), Ok(vec![]), "f4 may still begin a character");
    let frame = masked(0x81, b"\xce\xba\xf4\x90 and much more");
    assert_eq!(decode(&frame[..6 + 4]), Err(FrameError::NotText));
    let fragment = masked(0x01, b"\xce\xba\xed\xa0");
    assert_eq!(decode(&fragment), Err(FrameError::NotText), "a surrogate");
    let open = [masked(0x01, b"\xce"), masked(0x80, b"")].concat();
    assert_eq!(decode(&open), Err(FrameError::NotText), "half a character");
    let split = [masked(0x01, b"\xce"), masked(0x80, b"\xba")].concat();
    assert_eq!(decode(&split), Ok(vec![Inbound::Text("κ".into())]));
}

#[test]
fn decodes_compression_only_when_negotiated() {
    let hello = masked(0xc1, &[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00]);
    assert!(matches!(decode(&hello), Err(FrameError::Protocol(_))));
    let fragments = [
        masked(0x41, &[0xf2, 0x48, 0xcd]),
        masked(0x89, b"ping"),
        masked(0x80, &[0xc9, 0xc9, 0x07, 0x00]),
        masked(0x82, b"plain"),
    ]
    .concat();
    for size in 1..=fragments.len() {
        let (out, error) = pieces(Decoder::new(Compression::Deflate), &fragments, size);
        let read = [
            Inbound::Ping(b"ping".to_vec()),
            Inbound::Text("Hello".into()),
            Inbound::Binary(b"plain".to_vec()),
        ];
        assert_eq!((&out[..], error), (&read[..], None), "in pieces of {size}");
    }
    for (what, bytes) in [
        (
            "a continuation",
            [masked(0x41, b"\xf2"), masked(0xc0, b"\x48")].concat(),
        ),
        ("a ping", masked(0xc9, b"")),
        ("another bit", masked(0xa1, b"x")),
        ("no data", masked(0xc1, &[0x07, 1, 2, 3])),
    ] {
        let (_, error) = pieces(Decoder::new(Compression::Deflate), &bytes, 1_000);
        assert!(matches!(error, Some(FrameError::Protocol(_))), "{what}");
    }
    let not_text = masked(0xc1, &[0x00, 0x01, 0x00, 0xfe, 0xff, 0xff, 0x00]);
    let (_, error) = pieces(Decoder::new(Compression::Deflate), &not_text, 1_000);
    assert_eq!(error, Some(FrameError::NotText));
}

#[test]
fn size_limit_applies_to_the_inflated_message() {
    let packed = |length: usize| {
        use flate2::{Compress, Compression, FlushCompress};
        let mut out = Vec::with_capacity(2_000);
        Compress::new(Compression::fast(), false)
            .compress_vec(&vec![b'a'; length], &mut out, FlushCompress::Sync)
            .unwrap();
        masked(0xc1, &out[..out.len() - 4])
    };
    let (out, error) = pieces(Decoder::new(Compression::Deflate), &packed(1_000), 7);
    assert_eq!((out.len(), error), (1, None));
    let (out, error) = pieces(Decoder::new(Compression::Deflate), &packed(1_001), 7);
    assert_eq!((out.len(), error), (0, Some(FrameError::TooBig)));
    let announced = [0xc1, 0xfe, 0xff, 0xff, 1, 2, 3, 4];
    let (_, error) = pieces(Decoder::new(Compression::Deflate), &announced, 8);
    assert_eq!(error, Some(FrameError::TooBig), "before it arrives");
}
