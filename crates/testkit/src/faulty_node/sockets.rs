//! Requests and `newHeads` over WebSocket.

use std::sync::Arc;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::{
    Message,
    handshake::server::{ErrorResponse, Request, Response},
    http::StatusCode,
};

use super::{
    backend::{Backend, block_json},
    fault::Kind,
    node_state::NodeState,
    script::RpcRequest,
};

/// The id of the only subscription of a connection.
const SUBSCRIPTION: &str = "0x1";

pub(super) async fn serve(stream: TcpStream, shared: Arc<NodeState>) {
    // A proxy has no heads of its own.
    let Backend::BlockTree { tree, pinned } = &shared.backend else {
        return;
    };
    // The library defines the type of the answer.
    #[expect(clippy::result_large_err, reason = "the callback's type is given")]
    let admitted = |request: &Request, response: Response| {
        let fields = request.headers().iter();
        let fields: Vec<_> = fields
            .filter_map(|(name, value)| Some((name.to_string(), value.to_str().ok()?.to_owned())))
            .collect();
        if shared.admits(&fields) {
            return Ok(response);
        }
        let mut refusal = ErrorResponse::new(None);
        *refusal.status_mut() = StatusCode::UNAUTHORIZED;
        Err(refusal)
    };
    let Ok(mut socket) = tokio_tungstenite::accept_hdr_async(stream, admitted).await else {
        return;
    };
    let mut heads = tree.heads();
    let mut subscribed = false;
    loop {
        let text = tokio::select! {
            received = socket.next() => match received {
                Some(Ok(Message::Text(text))) => {
                    let Ok(request) = serde_json::from_str::<Value>(&text) else { return };
                    let (answer, fault) = answer(&shared, &request, &mut subscribed).await;
                    if fault.is_some() {
                        return;
                    }
                    answer
                }
                Some(Ok(Message::Close(_)) | Err(_)) | None => return,
                Some(Ok(_)) => continue,
            },
            changed = heads.changed(), if subscribed => {
                if changed.is_err() {
                    return;
                }
                let head = *heads.borrow_and_update();
                if pinned.read().is_some() {
                    continue;
                }
                let description = RpcRequest { method: "newHeads", height: Some(head.number), by: None, size: 0 };
                let hit = shared.script.take(&description);
                let Some(block) = tree.block(head.hash) else { continue };
                let mut header = block_json(&block, false);
                match hit.map(|hit| hit.kind) {
                    None => {}
                    Some(Kind::Alter { at, to }) => {
                        if let Some(value) = header.pointer_mut(&at) {
                            *value = to;
                        }
                    }
                    Some(kind) if kind.affects_whole_answer() => return,
                    Some(_) => continue,
                }
                json!({ "jsonrpc": "2.0", "method": "eth_subscription", "params": {
                    "subscription": SUBSCRIPTION, "result": header,
                } })
            }
        };
        if socket.send(Message::text(text.to_string())).await.is_err() {
            return;
        }
    }
}

async fn answer(
    shared: &NodeState,
    request: &Value,
    subscribed: &mut bool,
) -> (Value, Option<Kind>) {
    let result = match request["method"].as_str() {
        Some("eth_subscribe") if request["params"][0] == "newHeads" => {
            let description = RpcRequest {
                method: "eth_subscribe",
                height: None,
                by: None,
                size: 0,
            };
            if let Some(hit) = shared.script.take(&description) {
                return (json!(null), Some(hit.kind));
            }
            *subscribed = true;
            json!(SUBSCRIPTION)
        }
        Some("eth_unsubscribe") => json!(std::mem::take(subscribed)),
        _ => return shared.answer(request).await,
    };
    (
        json!({ "jsonrpc": "2.0", "id": request["id"], "result": result }),
        None,
    )
}
