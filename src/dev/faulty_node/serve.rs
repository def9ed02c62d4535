//! The server: HTTP by hand, so that an answer can be cut at any byte.

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
    fault::{By, Fault, Kind},
    script::{Asked, Script},
    sockets,
    tree::Tree,
};
use crate::model::B256;

/// Bounds of a request, in bytes; what is larger is not from a client under test.
const MAX_LINE: u64 = 64 * 1024;
const MAX_BODY: usize = 64 * 1024 * 1024;

/// A node that errs on demand. Serves until it is dropped.
pub struct FaultyNode {
    port: u16,
    shared: Arc<Shared>,
    _serving: AbortOnDropHandle<()>,
}

pub(super) struct Shared {
    pub(super) backend: Backend,
    pub(super) script: Script,
    /// A header field without which a request is refused, its name in lower case.
    pub(super) required: RwLock<Option<(String, String)>>,
}

impl FaultyNode {
    /// In front of a tree, on a free port of this machine. Several may serve the same tree.
    pub async fn of_tree(tree: &Tree) -> io::Result<Self> {
        Self::serving(Backend::Tree {
            tree: tree.clone(),
            pinned: Default::default(),
        })
        .await
    }

    /// In front of a real node at `http://…`. It has no WebSocket.
    pub async fn before(url: &str) -> io::Result<Self> {
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
        let shared = Arc::new(Shared {
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

    /// Where it answers HTTP, with something in it that must never be shown: `a-secret-key`.
    pub fn http_url(&self) -> String {
        format!("http://127.0.0.1:{}/v3/a-secret-key", self.port)
    }

    /// Where it answers WebSockets, with something in it that must never be shown.
    pub fn ws_url(&self) -> String {
        format!("ws://127.0.0.1:{}/v3/a-secret-key", self.port)
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// Adds a fault behind those there are; the first that fits a request hits it. Returns its position.
    pub fn add(&self, fault: Fault) -> usize {
        self.shared.script.push(fault)
    }

    /// Withdraws every fault. What is held stays held.
    pub fn heal(&self) {
        self.shared.script.clear();
    }

    /// Answers what is held now.
    pub fn release(&self) {
        self.shared.script.release();
    }

    /// Answers that are held now.
    pub fn held(&self) -> u64 {
        self.shared.script.held()
    }

    /// How often a method was asked for, faults included.
    pub fn asked(&self, method: &str) -> u64 {
        self.shared.script.asked(method)
    }

    /// How often the fault at this position hit.
    pub fn hits(&self, position: usize) -> u64 {
        self.shared.script.hits(position)
    }

    /// Faults that were to hit a certain number of times and did not yet.
    pub fn unspent(&self) -> Vec<Fault> {
        self.shared.script.unspent()
    }

    /// Refuses every request without this header, over HTTP and WebSocket.
    pub fn require_header(&self, name: &str, value: &str) {
        *self.shared.required.write() = Some((name.to_ascii_lowercase(), value.to_owned()));
    }

    /// Makes a block of the tree the head as this node sees it, whatever the tree's is; `None` ends that. A node in
    /// front of a real one has no such thing.
    pub fn pin(&self, head: Option<B256>) {
        if let Backend::Tree { pinned, .. } = &self.shared.backend {
            *pinned.write() = head;
        }
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    // Connections end with the node.
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        stream.set_nodelay(true).ok();
        connections.spawn(connection(stream, shared.clone()));
        while connections.try_join_next().is_some() {}
    }
}

async fn connection(stream: TcpStream, shared: Arc<Shared>) {
    let mut first = [0];
    // JSON-RPC over HTTP is POST; a WebSocket begins with GET.
    match stream.peek(&mut first).await {
        Ok(1) if first == *b"G" => sockets::serve(stream, shared).await,
        // A client that goes away is no concern of the node's.
        _ => http(stream, &shared).await.unwrap_or_default(),
    }
}

async fn http(stream: TcpStream, shared: &Shared) -> io::Result<()> {
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
                answer = b"as the script says".to_vec();
            }
            Some(Kind::Body { status: code, text }) => {
                status.0 = format!("{code} scripted");
                answer = text.into_bytes();
            }
            // The rest is about single results and was done there.
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

/// The header fields and the body of the next request; `None` when the client is done.
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
        // Not compressed at all, as no client here reads it.
        _ => Ok(bytes.to_vec()),
    }
}

/// A Brotli stream of uncompressed meta-blocks (RFC 7932, section 9.2).
fn brotli(bytes: &[u8]) -> Vec<u8> {
    let mut stream = Vec::with_capacity(bytes.len() + 16);
    for (at, block) in bytes.chunks(1 << 16).enumerate() {
        // A bit for the window ahead of the first; not the last, four nibbles of length, uncompressed.
        let window = u32::from(at == 0);
        let head = ((block.len() as u32 - 1) << 3 | 1 << 19) << window;
        stream.extend_from_slice(&head.to_le_bytes()[..3]);
        stream.extend_from_slice(block);
    }
    // The last, and empty.
    stream.push(0b11);
    stream
}

impl Shared {
    /// Whether a request with these header fields has the one that is required.
    pub(super) fn admits(&self, fields: &[(String, String)]) -> bool {
        let required = self.required.read();
        required
            .as_ref()
            .is_none_or(|required| fields.contains(required))
    }

    /// The answer to a request or to an array of them, and the fault of the whole answer.
    pub(super) async fn answer(&self, body: &Value) -> (Value, Option<Kind>) {
        let Value::Array(requests) = body else {
            return self.single(body, 0).await;
        };
        let size = requests.len();
        let asked = Asked {
            method: "batch",
            height: None,
            by: None,
            size,
        };
        let mut of_all = self.fault(&asked).await;
        if let Some(Kind::Error { code, message }) = &of_all {
            // What nodes say of an array as a whole is one object.
            let error = json!({ "code": code, "message": message });
            return (
                json!({ "jsonrpc": "2.0", "id": null, "error": error }),
                None,
            );
        }
        if of_all == Some(Kind::Empty) {
            return (json!([]), None);
        }
        let mut answers = Vec::with_capacity(size);
        for request in requests {
            let (answer, fault) = self.single(request, size).await;
            answers.push(answer);
            of_all = of_all.or(fault);
        }
        if let Some(Kind::Keep(kept)) = of_all {
            answers.truncate(kept);
        }
        (Value::Array(answers), of_all)
    }

    async fn single(&self, request: &Value, size: usize) -> (Value, Option<Kind>) {
        let method = request["method"].as_str().unwrap_or_default();
        let params = &request["params"];
        let height = if self.script.asks_for_height() {
            self.backend.height(params).await
        } else {
            None
        };
        let asked = Asked {
            method,
            height,
            by: named_by(params),
            size,
        };
        let fault = self.fault(&asked).await;
        let result = self.result(method, params, fault.as_ref()).await;
        let mut answer = json!({ "jsonrpc": "2.0", "id": request["id"] });
        match result {
            Ok(result) => answer["result"] = result,
            Err((code, message)) => answer["error"] = json!({ "code": code, "message": message }),
        }
        if let Some(Kind::ErrorText(text)) = &fault {
            answer = json!({ "jsonrpc": "2.0", "id": request["id"], "error": text });
        }
        (answer, fault.filter(Kind::is_of_answer))
    }

    /// What is to be done with a request; one that is to be held is held here.
    async fn fault(&self, asked: &Asked<'_>) -> Option<Kind> {
        let hit = self.script.take(asked)?;
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
                    // A hash was asked for, and a number is needed here.
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

    /// As a node would answer whose head is `blocks` lower.
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

/// How the first parameter names a block, if it does.
fn named_by(params: &Value) -> Option<By> {
    let first = params.get(0)?;
    let name = first.get("blockHash").unwrap_or(first).as_str()?;
    Some(if name.len() == 66 {
        By::Hash
    } else {
        By::Number
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
