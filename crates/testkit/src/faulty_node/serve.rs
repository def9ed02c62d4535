//! The server: hand-written HTTP, so that an answer can be cut at any byte.

use std::{
    io::{self, Write},
    sync::Arc,
};

use flate2::{Compression, write::GzEncoder};
use parking_lot::RwLock;
use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};
use tokio_util::task::AbortOnDropHandle;

use super::{
    backend::Backend,
    block_tree::BlockTree,
    fault::{Fault, Kind},
    node_state::NodeState,
    script::Script,
    sockets,
};
use chaincast_protocol::B256;

/// Limits of a request, in bytes; clients under test send less.
const MAX_LINE: u64 = 64 * 1024;
const MAX_BODY: usize = 64 * 1024 * 1024;

/// A node with scripted faults. Serves until it is dropped.
pub struct FaultyNode {
    port: u16,
    shared: Arc<NodeState>,
    _serving: AbortOnDropHandle<()>,
}

impl FaultyNode {
    /// Serves a tree on a free local port. Several nodes may serve the same tree.
    pub async fn from_tree(tree: &BlockTree) -> io::Result<Self> {
        Self::serving(Backend::BlockTree {
            tree: tree.clone(),
            pinned: Default::default(),
        })
        .await
    }

    /// Proxies a real node at `http://…`. Has no WebSocket.
    pub async fn proxy(url: &str) -> io::Result<Self> {
        let client = reqwest::Client::builder()
            .no_proxy()
            .build()
            .map_err(io::Error::other)?;
        Self::serving(Backend::Node {
            url: url.to_owned(),
            client,
        })
        .await
    }

    async fn serving(backend: Backend) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let port = listener.local_addr()?.port();
        let shared = Arc::new(NodeState {
            backend,
            script: Script::default(),
            required: RwLock::default(),
        });
        let serving = tokio::spawn(accept(listener, shared.clone()));
        Ok(Self {
            port,
            shared,
            _serving: AbortOnDropHandle::new(serving),
        })
    }

    /// The HTTP URL. It contains `a-secret-key`, which must never be printed.
    pub fn http_url(&self) -> String {
        format!("http://127.0.0.1:{}/v3/a-secret-key", self.port)
    }

    /// The WebSocket URL. It contains `a-secret-key`, which must never be printed.
    pub fn ws_url(&self) -> String {
        format!("ws://127.0.0.1:{}/v3/a-secret-key", self.port)
    }

    /// The TCP port on 127.0.0.1, of HTTP and WebSocket.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Appends a fault; the first matching fault hits a request. Returns its position.
    pub fn add(&self, fault: Fault) -> usize {
        self.shared.script.push(fault)
    }

    /// Removes all faults. Held answers stay held.
    pub fn clear_faults(&self) {
        self.shared.script.clear();
    }

    /// Releases the answers that are held now.
    pub fn release(&self) {
        self.shared.script.release();
    }

    /// Number of answers that are held now.
    pub fn held(&self) -> u64 {
        self.shared.script.held()
    }

    /// Number of requests for a method, including those with faults.
    pub fn requests(&self, method: &str) -> u64 {
        self.shared.script.requests(method)
    }

    /// How often the fault at this position was applied.
    pub fn hits(&self, position: usize) -> u64 {
        self.shared.script.hits(position)
    }

    /// Faults with a count that were not applied that often yet.
    pub fn unused_faults(&self) -> Vec<Fault> {
        self.shared.script.unused_faults()
    }

    /// Rejects every request without this header, over HTTP and WebSocket.
    pub fn require_header(&self, name: &str, value: &str) {
        *self.shared.required.write() = Some((name.to_ascii_lowercase(), value.to_owned()));
    }

    /// Overrides the head of this node by another block of the tree; `None` removes the override. No effect on a proxy.
    pub fn pin(&self, head: Option<B256>) {
        if let Backend::BlockTree { pinned, .. } = &self.shared.backend {
            *pinned.write() = head;
        }
    }
}

async fn accept(listener: TcpListener, shared: Arc<NodeState>) {
    // Connections end with the node.
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        stream.set_nodelay(true).ok();
        connections.spawn(connection(stream, shared.clone()));
        while connections.try_join_next().is_some() {}
    }
}

async fn connection(stream: TcpStream, shared: Arc<NodeState>) {
    let mut first = [0];
    // JSON-RPC over HTTP is POST; a WebSocket begins with GET.
    match stream.peek(&mut first).await {
        Ok(1) if first == *b"G" => sockets::serve(stream, shared).await,
        // Ignore clients that disconnect.
        _ => http(stream, &shared).await.unwrap_or_default(),
    }
}

async fn http(stream: TcpStream, shared: &NodeState) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    while let Some((fields, body)) = request(&mut stream).await? {
        if !shared.admits(&fields) {
            let refusal = "HTTP/1.1 401 scripted\r\nContent-Length: 0\r\n\r\n";
            stream.write_all(refusal.as_bytes()).await?;
            stream.flush().await?;
            continue;
        }
        let (answer, fault) = shared.answer(&body).await;
        let mut status = ("200 OK".to_owned(), String::new());
        let mut cut = None;
        let mut answer = answer.to_string().into_bytes();
        match fault {
            None => {}
            Some(Kind::Cut) => return Ok(()),
            Some(Kind::CutAfter(bytes)) => cut = Some(bytes),
            Some(Kind::Malformed) => {
                answer.splice(..0, *b"{\"jsonrpc\":\"2.0\",");
            }
            Some(Kind::Compressed { with, padding }) => {
                answer.resize(answer.len() + padding, b' ');
                answer = compressed(&with, &answer)?;
                status.1 = format!("Content-Encoding: {with}\r\n");
            }
            Some(Kind::Status { code, retry_after }) => {
                let wait = retry_after.map(|seconds| format!("Retry-After: {seconds}\r\n"));
                status = (format!("{code} scripted"), wait.unwrap_or_default());
                answer = b"scripted fault".to_vec();
            }
            Some(Kind::Body { status: code, text }) => {
                status.0 = format!("{code} scripted");
                answer = text.into_bytes();
            }
            // The other faults concern single results and were applied there.
            Some(_) => {}
        }
        let head = format!(
            "HTTP/1.1 {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n{}\r\n",
            status.0,
            answer.len(),
            status.1
        );
        stream.write_all(head.as_bytes()).await?;
        let sent = cut.unwrap_or(answer.len()).min(answer.len());
        stream.write_all(&answer[..sent]).await?;
        stream.flush().await?;
        if cut.is_some() {
            return Ok(());
        }
    }
    Ok(())
}

/// Headers and body of the next request; `None` when the client has finished.
async fn request(
    stream: &mut BufReader<TcpStream>,
) -> io::Result<Option<(Vec<(String, String)>, Value)>> {
    let mut length = 0;
    let mut fields = Vec::new();
    let mut lines = 0;
    loop {
        let mut line = String::new();
        if (&mut *stream).take(MAX_LINE).read_line(&mut line).await? == 0 {
            return Ok(None);
        }
        let line = line.trim_end();
        if line.is_empty() && lines > 0 {
            break;
        }
        lines += 1;
        if let Some((name, value)) = line.split_once(':') {
            let (name, value) = (name.to_ascii_lowercase(), value.trim());
            if name == "content-length" {
                length = value.parse::<usize>().map_err(io::Error::other)?;
            }
            fields.push((name, value.to_owned()));
        }
    }
    if length > MAX_BODY {
        return Err(io::Error::other("the request is too large"));
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await?;
    let body = serde_json::from_slice(&body).map_err(io::Error::other)?;
    Ok(Some((fields, body)))
}

fn compressed(with: &str, bytes: &[u8]) -> io::Result<Vec<u8>> {
    match with {
        "gzip" => {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
            encoder.write_all(bytes)?;
            encoder.finish()
        }
        "br" => Ok(brotli(bytes)),
        // Unknown encodings stay uncompressed.
        _ => Ok(bytes.to_vec()),
    }
}

/// A Brotli stream of uncompressed meta-blocks (RFC 7932, section 9.2).
fn brotli(bytes: &[u8]) -> Vec<u8> {
    let mut stream = Vec::with_capacity(bytes.len() + 16);
    for (at, block) in bytes.chunks(1 << 16).enumerate() {
        // One window bit precedes the first block; then: not last, four nibbles of length, uncompressed.
        let window = u32::from(at == 0);
        let head = ((block.len() as u32 - 1) << 3 | 1 << 19) << window;
        stream.extend_from_slice(&head.to_le_bytes()[..3]);
        stream.extend_from_slice(block);
    }
    // The last meta-block, empty.
    stream.push(0b11);
    stream
}
