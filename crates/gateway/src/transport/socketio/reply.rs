//! Answers to a Socket.IO client: an acknowledgement, or an event.

use crate::session::Reply;
use chaincast_protocol::{
    control::{Ack, ChannelResults, Failed, to_json},
    encode::{self, NAMESPACE, Packet, Wire},
    request::Answer,
    socketio::packet,
};

/// The reply to an event with this acknowledgement id, if any.
pub(super) fn reply(ack: Option<u64>) -> Reply {
    Box::new(move |answer| packets(ack, answer))
}

fn packets(ack: Option<u64>, answer: &Answer) -> Vec<Packet> {
    let event = || encode::socketio_event(answer.event(), &answer.data());
    let acked = |id, data: &str| Packet::text(&packet::ack(NAMESPACE, id, data));
    match (answer, ack) {
        // Browser clients measure latency by the event, others by the acknowledgement.
        (Answer::Pong { .. }, Some(id)) => vec![event(), acked(id, &answer.data())],
        (Answer::Pong { .. } | Answer::Refused(_), None) => vec![event()],
        (Answer::Ack(_), Some(id)) => vec![acked(id, &answer.data())],
        (Answer::Ack(Ack::Channels(results)), None) => failures(results),
        // A success is silent.
        (Answer::Ack(_), None) => Vec::new(),
        (Answer::Refused(refusal), Some(id)) => {
            let failed = Ack::Failed(Failed {
                error: refusal.clone(),
                success: false,
            });
            vec![acked(id, &to_json(&failed))]
        }
    }
}

/// An event for each failed channel, since the client requested no acknowledgement.
fn failures(results: &ChannelResults) -> Vec<Packet> {
    let failed = results.channels.iter().filter_map(|one| {
        let refusal = one.error.as_ref()?;
        Some(encode::channel_error(Wire::SocketIo, &one.channel, refusal))
    });
    failed.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use chaincast_protocol::{
        ErrorCode, Refusal,
        control::{Acknowledged, ChannelResult},
    };

    const ACK: Answer = Answer::Ack(Ack::Acknowledged(Acknowledged {
        acknowledged: 2,
        success: true,
    }));

    fn texts(ack: Option<u64>, answer: &Answer) -> Vec<String> {
        let packets = packets(ack, answer);
        let text = |packet: &Packet| String::from_utf8(packet.payload().to_vec()).unwrap();
        packets.iter().map(text).collect()
    }

    #[test]
    fn answers_with_ack_if_requested() {
        assert_eq!(
            texts(Some(3), &ACK),
            [r#"43/realtime,3[{"acknowledged":2,"success":true}]"#]
        );
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
        let ack = Answer::Ack(Ack::Channels(ChannelResults::new(vec![
            ChannelResult::unsubscribed("price:ETH".to_owned()),
            ChannelResult::failed(
                "nope".to_owned(),
                Refusal::new(ErrorCode::UnknownChannel, "what?"),
            ),
        ])));
        assert_eq!(
            texts(None, &ack),
            [
                r#"42/realtime,["error",{"channel":"nope","code":"UNKNOWN_CHANNEL","message":"what?"}]"#
            ]
        );
    }

    #[test]
    fn without_ack_sends_only_failures_and_pongs() {
        assert!(texts(None, &ACK).is_empty());
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
