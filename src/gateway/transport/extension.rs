//! Agreeing on permessage-deflate (RFC 7692 section 7.1) in the opening handshake.
//!
//! Neither side keeps a context from one message to the next: a message is compressed once for all who get it, and
//! an idle session needs no window.

/// What was agreed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deflate {
    /// Bits of the window that the client can hold, when it says so: 8 to 15.
    window: Option<u8>,
}

impl Deflate {
    /// Chooses from the offers of `Sec-WebSocket-Extensions` headers. An offer that is not understood whole is
    /// declined, and one whose client has a full window comes before others.
    pub fn choose<'a>(headers: impl Iterator<Item = &'a str>) -> Option<Self> {
        let mut chosen = None;
        for offer in headers.flat_map(|header| header.split(',')) {
            match parse(offer) {
                Some(full) if full.sends() => return Some(full),
                other => chosen = chosen.or(other),
            }
        }
        chosen
    }

    /// Whether messages to this client may be compressed. Ours need the full window; a client with a smaller one
    /// gets them as they are, which the protocol leaves to the sender, and may compress its own.
    pub fn sends(self) -> bool {
        self.window.is_none_or(|bits| bits == 15)
    }

    /// The header of the answer.
    pub fn answer(self) -> String {
        let fixed = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";
        match self.window {
            Some(bits) => format!("{fixed}; server_max_window_bits={bits}"),
            None => fixed.to_owned(),
        }
    }
}

fn parse(offer: &str) -> Option<Deflate> {
    let mut parts = offer.split(';').map(str::trim);
    if parts.next() != Some("permessage-deflate") {
        return None;
    }
    let mut window = None;
    let mut seen = Vec::new();
    for part in parts {
        let (name, value) = match part.split_once('=') {
            Some((name, value)) => (name.trim_end(), Some(unquoted(value.trim_start())?)),
            None => (part, None),
        };
        if seen.contains(&name) {
            return None;
        }
        seen.push(name);
        match (name, value) {
            ("server_no_context_takeover" | "client_no_context_takeover", None)
            | ("client_max_window_bits", None) => {}
            // Whatever window the client uses, ours is large enough.
            ("client_max_window_bits", Some(value)) => {
                bits(value)?;
            }
            ("server_max_window_bits", Some(value)) => window = Some(bits(value)?),
            _ => return None,
        }
    }
    Some(Deflate { window })
}

/// The text of a token or of a quoted string that holds one.
fn unquoted(value: &str) -> Option<&str> {
    match value.strip_prefix('"') {
        Some(rest) => rest.strip_suffix('"'),
        None => Some(value),
    }
}

/// 8 to 15, without a leading zero.
fn bits(value: &str) -> Option<u8> {
    let number = value.parse().ok().filter(|bits| (8..=15).contains(bits))?;
    (!value.starts_with(['0', '+'])).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choose(header: &str) -> Option<String> {
        Deflate::choose([header].into_iter()).map(Deflate::answer)
    }

    const PLAIN: &str =
        "permessage-deflate; server_no_context_takeover; client_no_context_takeover";

    #[test]
    fn what_clients_offer_is_accepted_without_context() {
        for offer in [
            "permessage-deflate",
            "permessage-deflate; client_max_window_bits",
            "permessage-deflate; client_max_window_bits=9",
            "permessage-deflate;client_no_context_takeover ; server_no_context_takeover",
            "x-webkit-deflate-frame, permessage-deflate; client_max_window_bits",
            "permessage-deflate; nonsense, permessage-deflate; client_max_window_bits=\"15\"",
        ] {
            assert_eq!(choose(offer).as_deref(), Some(PLAIN), "{offer}");
        }
        let two = ["bbf-usp-protocol", "permessage-deflate"];
        assert!(Deflate::choose(two.into_iter()).is_some());
    }

    #[test]
    fn a_smaller_window_is_granted_and_nothing_compressed_is_sent_into_it() {
        let small = Deflate::choose(["permessage-deflate; server_max_window_bits=9"].into_iter());
        let small = small.unwrap();
        assert!(!small.sends());
        assert_eq!(small.answer(), format!("{PLAIN}; server_max_window_bits=9"));
        let full = Deflate::choose(["permessage-deflate; server_max_window_bits=15"].into_iter());
        assert!(full.unwrap().sends());
        let fallback = "permessage-deflate; server_max_window_bits=9, permessage-deflate; server_max_window_bits=8";
        assert!(choose(fallback).unwrap().ends_with("bits=9"));
        let better = "permessage-deflate; server_max_window_bits=9, permessage-deflate";
        assert_eq!(choose(better).as_deref(), Some(PLAIN));
    }

    #[test]
    fn an_offer_that_is_not_understood_is_declined() {
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
            assert_eq!(choose(offer), None, "{offer}");
        }
    }
}
