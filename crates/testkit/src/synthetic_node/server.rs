//! The server: JSON-RPC over HTTP/1.1 on one port, over WebSocket on another.

use std::{io, net::SocketAddr, sync::Arc};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::{DefaultBodyLimit, State},
    http::header::CONTENT_TYPE,
    response::{IntoResponse, Response},
    routing::post,
    serve::ListenerExt,
};
use futures_util::{SinkExt, StreamExt};
use serde_json::Value;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
};
use tokio_tungstenite::tungstenite::Message;
use tokio_util::task::AbortOnDropHandle;

use super::{
    SyntheticChain, SyntheticNodeOptions,
    answer::Answer,
    rpc::{Call, View, begin_answer, header},
};
use chaincast_protocol::BlockRef;

/// Largest request, in bytes.
const MAX_REQUEST: usize = 16 * 1_024 * 1_024;
/// The id of every subscription: there is only one thing to subscribe to.
const SUBSCRIPTION: &str = "0x1";

/// Serves a [`SyntheticChain`] on free ports of 127.0.0.1 until it is dropped.
pub struct SyntheticNode {
    http: SocketAddr,
    websocket: SocketAddr,
    shared: Arc<NodeState>,
    _tasks: [AbortOnDropHandle<()>; 2],
}

struct NodeState {
    chain: Arc<SyntheticChain>,
    options: SyntheticNodeOptions,
    head: watch::Sender<u64>,
}

impl NodeState {
    fn view(&self) -> View<'_> {
        View {
            chain: &self.chain,
            head: *self.head.borrow(),
            options: &self.options,
        }
    }
}

impl SyntheticNode {
    /// Binds both ports and serves.
    pub async fn start(
        chain: Arc<SyntheticChain>,
        options: SyntheticNodeOptions,
    ) -> io::Result<Self> {
        let last = chain.last().number;
        let head = options.head.unwrap_or(last).min(last);
        let shared = Arc::new(NodeState {
            chain,
            options,
            head: watch::Sender::new(head),
        });
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let sockets = TcpListener::bind("127.0.0.1:0").await?;
        let (http, websocket) = (listener.local_addr()?, sockets.local_addr()?);
        let router = Router::new()
            .route("/", post(answer))
            .layer(DefaultBodyLimit::max(MAX_REQUEST))
            .with_state(shared.clone());
        let listener = listener.tap_io(|socket| {
            socket.set_nodelay(true).ok();
        });
        let serving = tokio::spawn(async move {
            // Runs until it is aborted.
            axum::serve(listener, router).await.ok();
        });
        let listening = tokio::spawn(accept(sockets, shared.clone()));
        Ok(Self {
            http,
            websocket,
            shared,
            _tasks: [serving, listening].map(AbortOnDropHandle::new),
        })
    }

    /// `http://127.0.0.1:PORT`
    pub fn http_url(&self) -> String {
        format!("http://{}", self.http)
    }

    /// `ws://127.0.0.1:PORT`
    pub fn ws_url(&self) -> String {
        format!("ws://{}", self.websocket)
    }

    /// The `latest` block.
    pub fn head(&self) -> BlockRef {
        let number = self.shared.view().head;
        let hash = self.shared.chain.hash_at(number).unwrap_or_default();
        BlockRef { number, hash }
    }

    /// Moves the head, at most to the chain's last block. Subscribers of `newHeads` are notified of each new block.
    pub fn set_head(&self, number: u64) {
        let last = self.shared.chain.last().number;
        self.shared.head.send_replace(number.min(last));
    }
}

async fn answer(State(shared): State<Arc<NodeState>>, request: Bytes) -> Response {
    let body: Body = shared.view().answer(&request).into_body();
    ([(CONTENT_TYPE, "application/json")], body).into_response()
}

async fn accept(listener: TcpListener, shared: Arc<NodeState>) {
    // Connections end with the node.
    let mut connections = tokio::task::JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((stream, _)) = accepted else { return };
                connections.spawn(websocket_connection(stream, shared.clone()));
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

/// One WebSocket, until either side ends it.
async fn websocket_connection(stream: TcpStream, shared: Arc<NodeState>) {
    stream.set_nodelay(true).ok();
    let Ok(mut socket) = tokio_tungstenite::accept_async(stream).await else {
        return;
    };
    let mut heads = shared.head.subscribe();
    let mut notified = *heads.borrow_and_update();
    let mut subscribed = false;
    loop {
        tokio::select! {
            message = socket.next() => {
                let Some(Ok(message)) = message else { return };
                let Message::Text(text) = message else { continue };
                let Some(reply) = reply(&shared, text.as_bytes(), &mut subscribed) else { continue };
                if socket.send(Message::text(reply)).await.is_err() {
                    return;
                }
            }
            changed = heads.changed() => {
                if changed.is_err() {
                    return;
                }
                let head = *heads.borrow_and_update();
                let new_heads = if head > notified { notified + 1..=head } else { head..=head };
                notified = head;
                for number in new_heads.filter(|_| subscribed) {
                    let Some(text) = notification(&shared, number) else { continue };
                    if socket.send(Message::text(text)).await.is_err() {
                        return;
                    }
                }
            }
        }
    }
}

/// The answer to a WebSocket request, which may be a subscription.
fn reply(shared: &NodeState, text: &[u8], subscribed: &mut bool) -> Option<String> {
    let subscription = serde_json::from_slice::<Call>(text).ok();
    let answer = match &subscription {
        Some(call) if call.method == "eth_subscribe" && call.params() == ["newHeads"] => {
            *subscribed = true;
            result(call, SUBSCRIPTION.into())
        }
        Some(call) if call.method == "eth_unsubscribe" => {
            let was = std::mem::take(subscribed);
            result(call, Value::Bool(was))
        }
        _ => shared.view().answer(text),
    };
    String::from_utf8(answer.joined().into()).ok()
}

fn result(call: &Call, value: Value) -> Answer {
    let mut answer = Answer::default();
    begin_answer(call.id, &mut answer);
    answer.text(&format!(r#","result":{value}}}"#));
    answer
}

fn notification(shared: &NodeState, number: u64) -> Option<String> {
    let mut answer = Answer::default();
    answer.text(&format!(
        r#"{{"jsonrpc":"2.0","method":"eth_subscription","params":{{"subscription":"{SUBSCRIPTION}","result":"#
    ));
    header(shared.chain.block(number)?, &mut answer);
    answer.text("}}");
    String::from_utf8(answer.joined().into()).ok()
}
