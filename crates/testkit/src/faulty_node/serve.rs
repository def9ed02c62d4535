//! The server: hand-written HTTP, so that an answer can be cut at any byte.

use std::{
    io::{self, Write},
    sync::Arc,
};

use flate2::{Compression, write::GzEncoder};
use parking_lot::RwLock;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};
use tokio_util::task::AbortOnDropHandle;

use super::{
    backend::{Backend, RpcError},
    block_tree::BlockTree,
    fault::{BlockSelector, Fault, Kind},
    script::{RpcRequest, Script},
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

pub(super) struct NodeState {
    pub(super) backend: Backend,
    pub(super) script: Script,
    /// A header that every request must have; its name is in lower case.
    pub(super) required: RwLock<Option<(String, String)>>,
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

impl NodeState {
    /// Whether a request with these headers has the required one.
    pub(super) fn admits(&self, fields: &[(String, String)]) -> bool {
        let required = self.required.read();
        required
            .as_ref()
            .is_none_or(|required| fields.contains(required))
    }

    /// The answer to a request or a batch, and the fault of the whole answer.
    pub(super) async fn answer(&self, body: &Value) -> (Value, Option<Kind>) {
        let Value::Array(requests) = body else {
            return self.single(body, 0).await;
        };
        let size = requests.len();
        let description = RpcRequest {
            method: "batch",
            height: None,
            by: None,
            size,
        };
        let mut whole = self.fault(&description).await;
        if let Some(Kind::Error { code, message }) = &whole {
            // Nodes report an error of a whole batch as one object.
            let error = json!({ "code": code, "message": message });
            return (
                json!({ "jsonrpc": "2.0", "id": null, "error": error }),
                None,
            );
        }
        if whole == Some(Kind::Empty) {
            return (json!([]), None);
        }
        let mut answers = Vec::with_capacity(size);
        for request in requests {
            let (answer, fault) = self.single(request, size).await;
            answers.push(answer);
            whole = whole.or(fault);
        }
        if let Some(Kind::Keep(kept)) = whole {
            answers.truncate(kept);
        }
        (Value::Array(answers), whole)
    }

    async fn single(&self, request: &Value, size: usize) -> (Value, Option<Kind>) {
        let method = request["method"].as_str().unwrap_or_default();
        let params = &request["params"];
        let height = if self.script.needs_height() {
            self.backend.height(params).await
        } else {
            None
        };
        let description = RpcRequest {
            method,
            height,
            by: named_by(params),
            size,
        };
        let fault = self.fault(&description).await;
        let result = self.result(method, params, fault.as_ref()).await;
        let mut answer = json!({ "jsonrpc": "2.0", "id": request["id"] });
        match result {
            Ok(result) => answer["result"] = result,
            Err((code, message)) => answer["error"] = json!({ "code": code, "message": message }),
        }
        if let Some(Kind::ErrorText(text)) = &fault {
            answer = json!({ "jsonrpc": "2.0", "id": request["id"], "error": text });
        }
        (answer, fault.filter(Kind::affects_whole_answer))
    }

    /// The fault of a request. Held requests wait here.
    async fn fault(&self, description: &RpcRequest<'_>) -> Option<Kind> {
        let hit = self.script.take(description)?;
        if hit.kind == Kind::Hold {
            self.script.hold(&hit).await;
            return None;
        }
        Some(hit.kind)
    }

    async fn result(
        &self,
        method: &str,
        params: &Value,
        fault: Option<&Kind>,
    ) -> Result<Value, RpcError> {
        match fault {
            Some(Kind::Null) => return Ok(Value::Null),
            Some(Kind::Empty) => return Ok(json!([])),
            Some(Kind::Error { code, message }) => return Err((*code, message.clone())),
            Some(Kind::Lag(blocks)) => return self.lagging(method, params, *blocks).await,
            Some(Kind::OtherBlock(by)) => {
                if let Some(height) = self.backend.height(params).await {
                    let other = json!(format!("{:#x}", height.saturating_add_signed(*by)));
                    let mut params = params.clone();
                    params[0] = other;
                    // The request has a hash; use the number instead.
                    let method = method.replace("ByHash", "ByNumber");
                    return self.backend.call(&method, &params).await;
                }
            }
            _ => {}
        }
        let mut result = self.backend.call(method, params).await?;
        match fault {
            Some(Kind::Keep(kept)) => {
                if let Value::Array(items) = &mut result {
                    items.truncate(*kept);
                }
            }
            Some(Kind::Reverse) => {
                if let Value::Array(items) = &mut result {
                    items.reverse();
                }
            }
            Some(Kind::Double) => {
                if let Value::Array(items) = &mut result {
                    *items = items
                        .iter()
                        .flat_map(|item| [item.clone(), item.clone()])
                        .collect();
                }
            }
            Some(Kind::OmitLogs) => omit_logs(&mut result),
            Some(Kind::Alter { at, to }) => {
                if let Some(value) = result.pointer_mut(at) {
                    *value = to.clone();
                }
            }
            _ => {}
        }
        Ok(result)
    }

    /// The answer of a node whose head is `blocks` lower.
    async fn lagging(&self, method: &str, params: &Value, blocks: u64) -> Result<Value, RpcError> {
        let head = self
            .backend
            .head()
            .await
            .unwrap_or(0)
            .saturating_sub(blocks);
        if method == "eth_blockNumber" {
            return Ok(json!(format!("{head:#x}")));
        }
        let mut params = params.clone();
        if params.get(0).and_then(Value::as_str) == Some("latest") {
            params[0] = json!(format!("{head:#x}"));
        }
        match self.backend.height(&params).await {
            Some(height) if height > head => Ok(Value::Null),
            _ => self.backend.call(method, &params).await,
        }
    }
}

/// How the first parameter identifies a block, if it does.
fn named_by(params: &Value) -> Option<BlockSelector> {
    let first = params.get(0)?;
    let name = first.get("blockHash").unwrap_or(first).as_str()?;
    Some(if name.len() == 66 {
        BlockSelector::Hash
    } else {
        BlockSelector::Number
    })
}

fn omit_logs(result: &mut Value) {
    let receipts = match result {
        Value::Array(receipts) => receipts.as_mut_slice(),
        one => std::slice::from_mut(one),
    };
    for receipt in receipts {
        if let Some(logs) = receipt.get_mut("logs") {
            *logs = json!([]);
        }
    }
}
