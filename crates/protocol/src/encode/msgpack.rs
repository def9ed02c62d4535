//! The native protocol's objects in MessagePack, with the same keys in the same order as in JSON.

use crate::{
    msgpack::{from_json, map, string},
    request::RequestId,
};

/// `{event, id, data}`; `id` may be absent.
pub fn event(event: &str, id: Option<&RequestId>, data: &str, out: &mut Vec<u8>) {
    map(2 + usize::from(id.is_some()), out);
    string("event", out);
    string(event, out);
    if let Some(id) = id {
        string("id", out);
        push_id(id.as_json(), out);
    }
    push_data(data, out);
}

/// Returns a client's numeric id as a number, even when it is not a 64-bit integer.
fn push_id(id: &str, out: &mut Vec<u8>) {
    let fraction = !id.starts_with('"') && id.contains(['.', 'e', 'E']);
    match id.parse::<f64>() {
        Ok(number) if fraction => {
            // Writing into a Vec does not fail.
            let _ = rmp::encode::write_f64(out, number);
        }
        _ => push(id, out),
    }
}

pub(super) fn push_data(data: &str, out: &mut Vec<u8>) {
    string("data", out);
    push(data, out);
}

fn push(text: &str, out: &mut Vec<u8>) {
    if let Err(error) = from_json(text, out) {
        // Only text of the server is encoded here. Sent as a string, nothing is lost.
        tracing::error!(%error, "cannot encode a message as MessagePack: its data is not JSON");
        string(text, out);
    }
}

#[cfg(test)]
mod tests {
    use crate::{
        ErrorCode, Refusal,
        control::{Ack, Acknowledged},
        encode::{Packet, Wire, answer, channel_error, event},
        msgpack::{from_json, to_json},
        request::{Answer, parse_msgpack},
    };

    fn json(packet: &Packet) -> String {
        assert_eq!(packet.framed()[0], 0x82, "a binary frame");
        to_json(&packet.payload()).unwrap()
    }

    #[test]
    fn answers_return_the_id_unchanged() {
        for id in [
            "7",
            "-7",
            "18446744073709551615",
            "\"a\\\"b\"",
            "\"\"",
            "1.5",
            "-0.0",
            "1e300",
        ] {
            let mut request = Vec::new();
            from_json(&format!(r#"{{"event":"ping","id":{id}}}"#), &mut request).unwrap();
            if id.contains(['.', 'e']) {
                // JSON decimals become strings, but a client can also send a float.
                let at = request.windows(2).position(|key| key == b"id").unwrap() + 2;
                request.truncate(at);
                rmp::encode::write_f64(&mut request, id.parse().unwrap()).unwrap();
            }
            let (read, _) = parse_msgpack(&request);
            let packet = answer(Wire::MsgPack, &Answer::Pong { timestamp: 5 }, read.as_ref());
            let id_bytes = &request[request.windows(2).position(|key| key == b"id").unwrap()..];
            let sent = packet.payload();
            assert!(
                sent.windows(id_bytes.len()).any(|bytes| bytes == id_bytes),
                "{id} in {sent:02x?}"
            );
            assert!(json(&packet).ends_with(r#","data":{"timestamp":5}}"#));
        }
    }

    #[test]
    fn events_and_refusals_have_their_json_shape() {
        let ack = answer(
            Wire::MsgPack,
            &Answer::Ack(Ack::Acknowledged(Acknowledged {
                acknowledged: 2,
                success: true,
            })),
            None,
        );
        assert_eq!(
            json(&ack),
            r#"{"event":"ack","data":{"acknowledged":2,"success":true}}"#
        );
        let refused = Answer::Refused(Refusal::rate_limited(1_200));
        assert_eq!(
            json(&answer(Wire::MsgPack, &refused, None)),
            r#"{"event":"error","data":{"code":"RATE_LIMITED","message":"Rate limit exceeded","retryAfterMs":1200}}"#
        );
        let expiring = event(Wire::MsgPack, "token-expiring", r#"{"expiresInMs":30000}"#);
        assert_eq!(
            json(&expiring),
            r#"{"event":"token-expiring","data":{"expiresInMs":30000}}"#
        );
        let failed = channel_error(
            Wire::MsgPack,
            "x",
            &Refusal::new(ErrorCode::UnknownChannel, "no"),
        );
        assert_eq!(
            json(&failed),
            r#"{"event":"error","data":{"channel":"x","code":"UNKNOWN_CHANNEL","message":"no"}}"#
        );
    }
}
