//! The messages that every server sends: the same bytes in all of them.

/// The data of one update, besides its channel and seq: a price as the product publishes it.
pub fn data(token: &str) -> String {
    format!(
        r#"{{"token":"{token}","price":3456.120000000001,"timestamp":1790000000000,"quote":"USD","confidence":0.42,"sources":["chainlink","uniswap-v2"],"ageMs":120,"status":"ok"}}"#
    )
}

/// The token of a channel by number; all have the same length.
pub fn token(channel: usize) -> String {
    format!("T{channel:05}")
}

pub fn channel(number: usize) -> String {
    format!("price:{}", token(number))
}

/// The text of a WebSocket frame.
pub fn websocket(number: usize, seq: u64) -> String {
    format!(
        r#"{{"event":"price-update","channel":"{}","seq":{seq},"data":{}}}"#,
        channel(number),
        data(&token(number)),
    )
}

/// A server's frame around a text: not masked.
pub fn framed(text: &[u8]) -> Vec<u8> {
    let mut frame = vec![0x81];
    match text.len() {
        short @ 0..126 => frame.push(short as u8),
        long => {
            frame.push(126);
            frame.extend((long as u16).to_be_bytes());
        }
    }
    frame.extend(text);
    frame
}

/// A client's frame around a text, or a pong with the ping's payload: masked with zeros, as the protocol allows.
pub fn masked(opcode: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![0x80 | opcode];
    match payload.len() {
        short @ 0..126 => frame.push(0x80 | short as u8),
        long => {
            frame.push(0x80 | 126);
            frame.extend((long as u16).to_be_bytes());
        }
    }
    frame.extend([0; 4]);
    frame.extend(payload);
    frame
}
