//! The messages that a client sends until it is ready, by wire format.

use crate::{load::Wire, message};

/// One message, and a part of the expected response.
#[derive(Debug, Clone)]
pub struct Step {
    pub send: Vec<u8>,
    pub expect: Vec<u8>,
}

#[derive(Debug, Clone)]
pub struct Script {
    pub wire: Wire,
    pub steps: Vec<Step>,
}

impl Script {
    /// Opens a session without subscriptions.
    pub fn open(wire: Wire) -> Self {
        let mut steps = Vec::new();
        match wire {
            Wire::Raw => steps.push(step(Vec::new(), "price-update")),
            Wire::WebSocket => steps.push(step(upgrade("/realtime"), " 101 ")),
            Wire::SocketIo => {
                steps.push(step(
                    upgrade("/socket.io/?EIO=4&transport=websocket"),
                    " 101 ",
                ));
                steps.push(step(Vec::new(), "\"sid\""));
                let connect = message::masked(1, br#"40/realtime,{"autoSubscribe":false}"#);
                steps.push(step(connect, "40/realtime"));
            }
            Wire::Sse => {
                let path = format!("/realtime/sse?channels={}", message::channel(0));
                let head = format!(
                    "GET {path} HTTP/1.1\r\nhost: 127.0.0.1\r\naccept: text/event-stream\r\n\r\n"
                );
                steps.push(step(head.into_bytes(), " 200 "));
            }
        }
        Self { wire, steps }
    }

    /// Opens a session and subscribes to every update of channels.
    pub fn listen(wire: Wire, channels: impl IntoIterator<Item = usize>) -> Self {
        let mut script = Self::open(wire);
        script.steps.extend(subscribe(wire, channels));
        script
    }
}

/// Subscribes to every update of channels; `None` for a wire format without requests.
pub fn subscribe(wire: Wire, channels: impl IntoIterator<Item = usize>) -> Option<Step> {
    let names: Vec<String> = channels
        .into_iter()
        .map(|number| format!("{:?}", message::channel(number)))
        .collect();
    let data = format!(
        r#"{{"channels":[{}],"mode":"all","snapshot":false}}"#,
        names.join(",")
    );
    match wire {
        Wire::Raw | Wire::Sse => None,
        Wire::WebSocket => {
            let text = format!(r#"{{"id":1,"event":"subscribe","data":{data}}}"#);
            Some(step(
                message::masked(1, text.as_bytes()),
                r#""success":true"#,
            ))
        }
        Wire::SocketIo => {
            let text = format!(r#"42/realtime,1["subscribe",{data}]"#);
            Some(step(
                message::masked(1, text.as_bytes()),
                r#""success":true"#,
            ))
        }
    }
}

fn step(send: Vec<u8>, expect: &str) -> Step {
    Step {
        send,
        expect: expect.as_bytes().to_vec(),
    }
}

fn upgrade(path: &str) -> Vec<u8> {
    let head = format!(
        "GET {path} HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
         sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    head.into_bytes()
}
