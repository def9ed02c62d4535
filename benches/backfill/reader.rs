//! A client that requests whole blocks in batches and only reads: the maximum that the node can serve.

use std::{
    io::{Read, Write},
    net::TcpStream,
    thread,
};

/// Reads blocks `1..=blocks` over `connections` connections, `batch` blocks a request; returns the received bytes.
pub fn read(http_url: &str, blocks: u64, connections: u64, batch: u64) -> u64 {
    let address = http_url.trim_start_matches("http://");
    thread::scope(|scope| {
        let workers: Vec<_> = (0..connections)
            .map(|worker| {
                scope.spawn(move || {
                    let mut connection = Connection::open(address);
                    let starts = (1..=blocks).step_by(batch as usize).skip(worker as usize);
                    let starts = starts.step_by(connections as usize);
                    let bytes = starts.map(|from| {
                        let to = blocks.min(from + batch - 1);
                        connection.send(&request(from, to))
                    });
                    bytes.sum::<u64>()
                })
            })
            .collect();
        let bytes = workers
            .into_iter()
            .map(|worker| worker.join().expect("the node answers"));
        bytes.sum()
    })
}

fn request(from: u64, to: u64) -> String {
    let calls: Vec<String> = (from..=to)
        .flat_map(|number| {
            [
                format!(r#"{{"jsonrpc":"2.0","id":1,"method":"eth_getBlockByNumber","params":["{number:#x}",true]}}"#),
                format!(r#"{{"jsonrpc":"2.0","id":2,"method":"eth_getBlockReceipts","params":["{number:#x}"]}}"#),
            ]
        })
        .collect();
    format!("[{}]", calls.join(","))
}

struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    fn open(address: &str) -> Self {
        let stream = TcpStream::connect(address).expect("the node listens");
        stream.set_nodelay(true).expect("it is a TCP socket");
        Self {
            stream,
            buffer: vec![0; 1 << 20],
        }
    }

    /// Sends a request and reads its response; returns the size of the response.
    fn send(&mut self, body: &str) -> u64 {
        let head = format!(
            "POST / HTTP/1.1\r\nhost: node\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        let request = head + body;
        self.stream
            .write_all(request.as_bytes())
            .expect("the node accepts data");
        let mut filled = 0;
        let (body_at, length) = loop {
            filled += self
                .stream
                .read(&mut self.buffer[filled..])
                .expect("the node answers");
            let text = &self.buffer[..filled];
            if let Some(end) = text.windows(4).position(|window| window == b"\r\n\r\n") {
                break (end + 4, content_length(&text[..end]));
            }
        };
        let mut left = length - (filled - body_at) as u64;
        while left > 0 {
            let got = self
                .stream
                .read(&mut self.buffer)
                .expect("the node answers");
            assert!(got > 0, "the node closed the connection");
            left -= got as u64;
        }
        length
    }
}

fn content_length(head: &[u8]) -> u64 {
    let text = String::from_utf8_lossy(head).to_ascii_lowercase();
    assert!(text.starts_with("http/1.1 200"), "{text}");
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("content-length:"));
    let length = line.and_then(|length| length.trim().parse().ok());
    length.expect("a response has a length")
}
