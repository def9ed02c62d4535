//! A subscription to `newHeads` of one node over WebSocket (the Ethereum execution API, `eth_subscribe`).
//!
//! What is announced is a hint: an announcement may be left out, come late, or be wrong. Waiting for the next one may
//! be dropped at any moment without loss.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::{net::TcpStream, time::timeout};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async_tls_with_config,
    tungstenite::{Error, Message, client::IntoClientRequest, protocol::WebSocketConfig},
};

use super::{NodeError, NodeHeaders, error::scrub};
use crate::{
    model::{B256, BlockRef, ChainId, Secret},
    tls,
};

/// Longest message that is read, in bytes: a header is some hundreds of them.
const MESSAGE_BYTES: usize = 1 << 20;
/// Messages that are read over while an answer is waited for.
const READ_OVER: usize = 1_000;
const SUBSCRIBE: &str = "eth_subscribe";
const CHAIN_ID: &str = "eth_chainId";

/// A connection that announces heads until it is dropped.
pub(super) struct HeadSubscription {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    url: Secret,
    headers: NodeHeaders,
}

impl HeadSubscription {
    /// Connects, and subscribes to the heads of that chain, within `patience`.
    pub(super) async fn open(
        url: &Secret,
        headers: &NodeHeaders,
        chain_id: ChainId,
        patience: Duration,
    ) -> Result<Self, NodeError> {
        let opening = async {
            let mut subscription = Self::connect(url, headers).await?;
            let answer = subscription.ask(1, CHAIN_ID, json!([])).await?;
            let actual = quantity(&answer).ok_or_else(|| NodeError::BadAnswer {
                url: url.redacted_url(),
                method: CHAIN_ID,
                reason: format!("{} is not a quantity", shortened(&answer)),
            })?;
            if actual != chain_id {
                return Err(NodeError::WrongChain {
                    url: url.redacted_url(),
                    expected: chain_id,
                    actual,
                });
            }
            subscription.ask(2, SUBSCRIBE, json!(["newHeads"])).await?;
            Ok(subscription)
        };
        match timeout(patience, opening).await {
            Ok(opened) => opened,
            Err(_) => Err(NodeError::Unreachable {
                url: url.redacted_url(),
                reason: format!(
                    "the subscription was not answered within {} ms",
                    patience.as_millis()
                ),
            }),
        }
    }

    /// The next head that is announced; `None` for an announcement without a hash or a number.
    pub(super) async fn next(&mut self) -> Result<Option<BlockRef>, NodeError> {
        loop {
            let message = self.message().await?;
            if message["method"] == "eth_subscription" {
                return Ok(announced(&message["params"]["result"]));
            }
        }
    }

    async fn connect(url: &Secret, headers: &NodeHeaders) -> Result<Self, NodeError> {
        let bad = |reason: String| NodeError::Url {
            key: "chains.ws_url or chains.providers.ws_url",
            reason,
            schemes: "ws://HOST:PORT or wss://HOST/PATH",
        };
        let request = url.expose().into_client_request();
        let mut request = request.map_err(|error| bad(scrub(url, &error.to_string())))?;
        request.headers_mut().extend(headers.map().map_err(bad)?);
        let config = WebSocketConfig::default()
            .max_message_size(Some(MESSAGE_BYTES))
            .max_frame_size(Some(MESSAGE_BYTES));
        let connector = tls::connector(url.expose());
        let connected = connect_async_tls_with_config(request, Some(config), true, connector).await;
        let (socket, _) = connected.map_err(|error| unopened(url, headers, error))?;
        Ok(Self {
            socket,
            url: url.clone(),
            headers: headers.clone(),
        })
    }

    /// The result of one call. Announcements that come before it are read over.
    async fn ask(
        &mut self,
        id: u64,
        method: &'static str,
        params: Value,
    ) -> Result<Value, NodeError> {
        let request = json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params });
        let sent = self.socket.send(Message::text(request.to_string())).await;
        sent.map_err(|error| self.broke(&error.to_string()))?;
        for _ in 0..READ_OVER {
            let mut answer = self.message().await?;
            // Some gateways give every id as text.
            let is_ours = quantity(&answer["id"]) == Some(id);
            let error = &answer["error"];
            if !error.is_null() && (is_ours || answer["id"].is_null()) {
                let text = error["message"].as_str().or(error.as_str());
                let text = text.map_or_else(|| shortened(error), str::to_owned);
                return Err(NodeError::Refused {
                    url: self.url.redacted_url(),
                    method,
                    code: error["code"].as_i64().unwrap_or_default(),
                    message: self.scrubbed(&text),
                });
            }
            if is_ours {
                return Ok(answer["result"].take());
            }
        }
        Err(self.broke(&format!("it answers {method} with other messages")))
    }

    /// The next message that is JSON.
    async fn message(&mut self) -> Result<Value, NodeError> {
        loop {
            let message = match self.socket.next().await {
                Some(Ok(message)) => message,
                Some(Err(error)) => return Err(self.broke(&error.to_string())),
                None => return Err(self.broke("the WebSocket closed")),
            };
            let bytes = match &message {
                Message::Text(text) => text.as_bytes(),
                Message::Binary(bytes) => bytes.as_ref(),
                Message::Close(_) => return Err(self.broke("the WebSocket closed")),
                // The answer to a ping is sent with the next read.
                _ => continue,
            };
            match serde_json::from_slice(bytes) {
                Ok(message) => return Ok(message),
                Err(error) => return Err(self.broke(&format!("a message is not JSON: {error}"))),
            }
        }
    }

    fn broke(&self, reason: &str) -> NodeError {
        NodeError::Unreachable {
            url: self.url.redacted_url(),
            reason: self.scrubbed(reason),
        }
    }

    fn scrubbed(&self, text: &str) -> String {
        self.headers.hidden_in(scrub(&self.url, text))
    }
}

/// Number and hash of a header, if it has both.
fn announced(header: &Value) -> Option<BlockRef> {
    let hash: B256 = header["hash"].as_str()?.parse().ok()?;
    Some(BlockRef {
        number: quantity(&header["number"])?,
        hash,
    })
}

fn quantity(value: &Value) -> Option<u64> {
    match value {
        Value::String(text) => match text.strip_prefix("0x") {
            Some(digits) => u64::from_str_radix(digits, 16).ok(),
            None => text.parse().ok(),
        },
        value => value.as_u64(),
    }
}

fn shortened(value: &Value) -> String {
    value.to_string().chars().take(100).collect()
}

/// Why no WebSocket was opened.
fn unopened(url: &Secret, headers: &NodeHeaders, error: Error) -> NodeError {
    let shown = url.redacted_url();
    let reason = match &error {
        Error::Http(answer) => {
            let status = answer.status();
            if status.as_u16() == 429 {
                return NodeError::Throttled {
                    url: shown,
                    reason: format!("HTTP status {status}"),
                    retry_after: None,
                };
            }
            format!("HTTP status {status} instead of a WebSocket")
        }
        error => {
            let text = tls::advised(error.to_string(), tls::AUTHORITIES);
            headers.hidden_in(scrub(url, &text))
        }
    };
    NodeError::Unreachable { url: shown, reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_heads_with_hash_and_number_alone() {
        let hash = format!("0x{}", "ab".repeat(32));
        let head = announced(&json!({ "hash": hash, "number": "0x10" })).unwrap();
        assert_eq!((head.number, head.hash), (16, B256::repeat_byte(0xab)));
        let padded = announced(&json!({ "hash": hash, "number": "0x0010" }));
        assert_eq!(padded.map(|head| head.number), Some(16));
        for wrong in [
            json!({ "number": "0x10" }),
            json!({ "hash": null, "number": "0x10" }),
            json!({ "hash": "0xab", "number": "0x10" }),
            json!({ "hash": hash }),
            json!({ "hash": hash, "number": "0x1ffffffffffffffff" }),
            json!(null),
        ] {
            assert_eq!(announced(&wrong), None, "{wrong}");
        }
    }
}
