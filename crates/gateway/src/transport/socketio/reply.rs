//! Answers to a Socket.IO client: an acknowledgement, or an event.

use serde::Deserialize;
use serde_json::json;

use crate::session::Reply;
use chaincast_protocol::{
    encode::{self, NAMESPACE, Packet, Wire},
    request::Answer,
    socketio::packet,
};

/// The reply to an event with this acknowledgement id, if any.
pub fn reply(ack: Option<u64>) -> Reply {
    Box::new(move |answer| packets(ack, answer))
}

fn packets(ack: Option<u64>, answer: &Answer) -> Vec<Packet> {
    let event = || encode::socketio_event(answer.event(), &answer.data());
    let acked = |id, data: &str| Packet::text(&packet::ack(NAMESPACE, id, data));
    match (answer, ack) {
        // Browser clients measure latency by the event, others by the acknowledgement.
        (Answer::Pong { .. }, Some(id)) => vec![event(), acked(id, &answer.data())],
        (Answer::Pong { .. } | Answer::Refused(_), None) => vec![event()],
        (Answer::Ack(data), Some(id)) => vec![acked(id, data)],
        (Answer::Ack(data), None) => failures(data),
        (Answer::Refused(refusal), Some(id)) => {
            let data = json!({"success": false, "error": refusal});
            vec![acked(id, &data.to_string())]
        }
    }
}

/// The answer for several channels.
#[derive(Deserialize)]
struct Batch {
    channels: Vec<ChannelResult>,
}

#[derive(Deserialize)]
struct ChannelResult {
    channel: String,
    error: Option<serde_json::Value>,
}

/// An event for each failed channel, since the client requested no acknowledgement.
fn failures(data: &str) -> Vec<Packet> {
    // The answer for a single channel has another shape, and is a success.
    let Ok(Batch { channels }) = serde_json::from_str(data) else {
        return Vec::new();
    };
    let failed = channels.into_iter().filter_map(|one| {
        let error = one.error?;
        Some(encode::channel_error(Wire::SocketIo, &one.channel, &error))
    });
    failed.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use chaincast_protocol::Refusal;

    fn texts(ack: Option<u64>, answer: &Answer) -> Vec<String> {
        let packets = packets(ack, answer);
        let text = |packet: &Packet| String::from_utf8(packet.payload().to_vec()).unwrap();
        packets.iter().map(text).collect()
    }

    #[test]
    fn answers_with_ack_if_requested() {
        let ack = Answer::Ack(r#"{"success":true}"#.to_owned());
        assert_eq!(texts(Some(3), &ack), [r#"43/realtime,3[{"success":true}]"#]);
        let pong = Answer::Pong { timestamp: 5 };
        assert_eq!(
            texts(Some(0), &pong),
            [
                r#"42/realtime,["pong",{"timestamp":5}]"#,
                r#"43/realtime,0[{"timestamp":5}]"#
            ]
        );
        let refused = Answer::Refused(Refusal::bad_request("no"));
        assert_eq!(
            texts(Some(9), &refused),
            [r#"43/realtime,9[{"error":{"code":"BAD_REQUEST","message":"no"},"success":false}]"#]
        );
    }

    #[test]
    fn failed_channels_are_reported_without_ack() {
        let data = r#"{"success":false,"channels":[{"channel":"price:ETH","success":true,"seq":1},
            {"channel":"nope","success":false,"error":{"code":"UNKNOWN_CHANNEL","message":"what?"}}]}"#;
        let ack = Answer::Ack(data.to_owned());
        assert_eq!(
            texts(None, &ack),
            [
                r#"42/realtime,["error",{"channel":"nope","code":"UNKNOWN_CHANNEL","message":"what?"}]"#
            ]
        );
    }

    #[test]
    fn without_ack_sends_only_failures_and_pongs() {
        let ack = Answer::Ack(r#"{"success":true}"#.to_owned());
        assert!(texts(None, &ack).is_empty());
        let pong = Answer::Pong { timestamp: 5 };
        assert_eq!(
            texts(None, &pong),
            [r#"42/realtime,["pong",{"timestamp":5}]"#]
        );
        let refused = Answer::Refused(Refusal::bad_request("no"));
        assert_eq!(
            texts(None, &refused),
            [r#"42/realtime,["error",{"code":"BAD_REQUEST","message":"no"}]"#]
        );
    }
}
