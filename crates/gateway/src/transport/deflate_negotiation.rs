//! Negotiates permessage-deflate (RFC 7692 section 7.1) in the opening handshake.
//!
//! Always without context takeover: a message is compressed once for all its receivers, and an idle session needs no
//! window.

/// The negotiated parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct DeflateParams {
    /// `server_max_window_bits` if the client requests it: 8 to 15.
    window: Option<u8>,
}

impl DeflateParams {
    /// Chooses from the offers of `Sec-WebSocket-Extensions` headers. An offer with an unknown parameter is declined;
    /// an offer with the full window is preferred.
    pub(super) fn negotiate<'a>(headers: impl Iterator<Item = &'a str>) -> Option<Self> {
        let mut chosen = None;
        for offer in headers.flat_map(|header| header.split(',')) {
            match parse(offer) {
                Some(full) if full.can_send() => return Some(full),
                other => chosen = chosen.or(other),
            }
        }
        chosen
    }

    /// Whether messages to this client may be compressed. The server compresses with the full window; a client with a
    /// smaller one gets uncompressed messages, as RFC 7692 permits, and may still compress its own.
    pub(super) fn can_send(self) -> bool {
        self.window.is_none_or(|bits| bits == 15)
    }

    /// The `Sec-WebSocket-Extensions` header of the response.
    pub(super) fn header(self) -> String {
        let fixed = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";
        match self.window {
            Some(bits) => format!("{fixed}; server_max_window_bits={bits}"),
            None => fixed.to_owned(),
        }
    }
}

fn parse(offer: &str) -> Option<DeflateParams> {
    let mut parts = offer.split(';').map(str::trim);
    if parts.next() != Some("permessage-deflate") {
        return None;
    }
    let mut window = None;
    let mut seen = Vec::new();
    for part in parts {
        let (name, value) = match part.split_once('=') {
            Some((name, value)) => (name.trim_end(), Some(unquote(value.trim_start())?)),
            None => (part, None),
        };
        if seen.contains(&name) {
            return None;
        }
        seen.push(name);
        match (name, value) {
            ("server_no_context_takeover" | "client_no_context_takeover", None)
            | ("client_max_window_bits", None) => {}
            // The server can inflate with any window size.
            ("client_max_window_bits", Some(value)) => {
                bits(value)?;
            }
            ("server_max_window_bits", Some(value)) => window = Some(bits(value)?),
            _ => return None,
        }
    }
    Some(DeflateParams { window })
}

/// The value of a token, or of a quoted string that contains one.
fn unquote(value: &str) -> Option<&str> {
    match value.strip_prefix('"') {
        Some(rest) => rest.strip_suffix('"'),
        None => Some(value),
    }
}

/// A number from 8 to 15, without a leading zero.
fn bits(value: &str) -> Option<u8> {
    let number = value.parse().ok().filter(|bits| (8..=15).contains(bits))?;
    (!value.starts_with(['0', '+'])).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn negotiate(header: &str) -> Option<String> {
        DeflateParams::negotiate([header].into_iter()).map(DeflateParams::header)
    }

    const PLAIN: &str =
        "permessage-deflate; server_no_context_takeover; client_no_context_takeover";

    #[test]
    fn accepts_offers_without_context_takeover() {
        for offer in [
            "permessage-deflate",
            "permessage-deflate; client_max_window_bits",
            "permessage-deflate; client_max_window_bits=9",
            "permessage-deflate;client_no_context_takeover ; server_no_context_takeover",
            "x-webkit-deflate-frame, permessage-deflate; client_max_window_bits",
            "permessage-deflate; nonsense, permessage-deflate; client_max_window_bits=\"15\"",
        ] {
            assert_eq!(negotiate(offer).as_deref(), Some(PLAIN), "{offer}");
        }
        let two = ["bbf-usp-protocol", "permessage-deflate"];
        assert!(DeflateParams::negotiate(two.into_iter()).is_some());
    }

    #[test]
    fn smaller_window_is_granted_but_not_used_to_send() {
        let small =
            DeflateParams::negotiate(["permessage-deflate; server_max_window_bits=9"].into_iter());
        let small = small.unwrap();
        assert!(!small.can_send());
        assert_eq!(small.header(), format!("{PLAIN}; server_max_window_bits=9"));
        let full =
            DeflateParams::negotiate(["permessage-deflate; server_max_window_bits=15"].into_iter());
        assert!(full.unwrap().can_send());
        let fallback = "permessage-deflate; server_max_window_bits=9, permessage-deflate; server_max_window_bits=8";
        assert!(negotiate(fallback).unwrap().ends_with("bits=9"));
        let better = "permessage-deflate; server_max_window_bits=9, permessage-deflate";
        assert_eq!(negotiate(better).as_deref(), Some(PLAIN));
    }

    #[test]
    fn declines_unknown_or_malformed_offers() {
        for offer in [
            "",
            "permessage-bzip2",
            "permessage-deflate; unknown",
            "permessage-deflate;",
            "permessage-deflate; server_max_window_bits",
            "permessage-deflate; server_max_window_bits=7",
            "permessage-deflate; server_max_window_bits=16",
            "permessage-deflate; server_max_window_bits=09",
            "permessage-deflate; server_max_window_bits=+9",
            "permessage-deflate; server_max_window_bits=\"9",
            "permessage-deflate; client_max_window_bits=x",
            "permessage-deflate; client_max_window_bits=",
            "permessage-deflate; client_no_context_takeover=1",
            "permessage-deflate; server_no_context_takeover; server_no_context_takeover",
            "permessage-deflate; client_max_window_bits; client_max_window_bits=9",
        ] {
            assert_eq!(negotiate(offer), None, "{offer}");
        }
    }
}
