//! A `newHeads` subscription to one node over WebSocket (the Ethereum execution API, `eth_subscribe`).
//!
//! Announcements are hints: they may be missing, late or wrong. Waiting for the next one is cancel-safe.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::{net::TcpStream, time::timeout};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async_tls_with_config,
    tungstenite::{Error, Message, client::IntoClientRequest, protocol::WebSocketConfig},
};

use super::{
    NodeError, NodeHeaders,
    answer::{Answer, Outcome},
    error::scrub,
    json_values::{FromJson, Plain},
};
use chaincast_base::{Secret, tls};
use chaincast_protocol::{B256, BlockRef, ChainId};

/// Longest message, in bytes; a header has some hundreds.
const MESSAGE_BYTES: usize = 1 << 20;
/// Messages that are skipped while waiting for an answer.
const MAX_SKIPPED: usize = 1_000;
const SUBSCRIBE: &str = "eth_subscribe";
const CHAIN_ID: &str = "eth_chainId";

/// A connection that announces heads until dropped.
pub(super) struct HeadSubscription {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    url: Secret,
    headers: NodeHeaders,
}

impl HeadSubscription {
    /// Connects and subscribes to the heads of this chain within `time_limit`.
    pub(super) async fn open(
        url: &Secret,
        headers: &NodeHeaders,
        chain_id: ChainId,
        time_limit: Duration,
    ) -> Result<Self, NodeError> {
        let opening = async {
            let mut subscription = Self::connect(url, headers).await?;
            let answer = subscription.call(1, CHAIN_ID, json!([])).await?;
            let actual = read(&answer).ok_or_else(|| NodeError::BadAnswer {
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
            subscription.call(2, SUBSCRIBE, json!(["newHeads"])).await?;
            Ok(subscription)
        };
        match timeout(time_limit, opening).await {
            Ok(opened) => opened,
            Err(_) => Err(NodeError::Unreachable {
                url: url.redacted_url(),
                reason: format!(
                    "no answer to the subscription within {} ms",
                    time_limit.as_millis()
                ),
            }),
        }
    }

    /// The next announced head; `None` for an announcement without a hash or a number.
    pub(super) async fn next(&mut self) -> Result<Option<BlockRef>, NodeError> {
        loop {
            let message = self.message().await?;
            if message["method"] == "eth_subscription" {
                return Ok(parse_head(&message["params"]["result"]));
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
        let (socket, _) = connected.map_err(|error| handshake_error(url, headers, error))?;
        Ok(Self {
            socket,
            url: url.clone(),
            headers: headers.clone(),
        })
    }

    /// The result of one call. Skips announcements before it.
    async fn call(
        &mut self,
        id: u64,
        method: &'static str,
        params: Value,
    ) -> Result<Value, NodeError> {
        let request = json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params });
        let sent = self.socket.send(Message::text(request.to_string())).await;
        sent.map_err(|error| self.connection_error(&error.to_string()))?;
        for _ in 0..MAX_SKIPPED {
            // Skip messages that are no answer, such as announcements.
            let Ok(answer) = Answer::<Value>::deserialize(self.message().await?) else {
                continue;
            };
            let is_ours = answer.id() == Some(id);
            let may_be_ours = is_ours || answer.id().is_none();
            match answer.outcome() {
                Outcome::Error(error) if may_be_ours => {
                    return Err(NodeError::Refused {
                        url: self.url.redacted_url(),
                        method,
                        code: error.code,
                        message: self.scrubbed(&error.message),
                    });
                }
                Outcome::Result(result) if is_ours => return Ok(result.unwrap_or_default()),
                _ => {}
            }
        }
        Err(self.connection_error(&format!(
            "no answer to {method} among {MAX_SKIPPED} messages"
        )))
    }

    /// The next JSON message.
    async fn message(&mut self) -> Result<Value, NodeError> {
        loop {
            let message = match self.socket.next().await {
                Some(Ok(message)) => message,
                Some(Err(error)) => return Err(self.connection_error(&error.to_string())),
                None => return Err(self.connection_error("the WebSocket closed")),
            };
            let bytes = match &message {
                Message::Text(text) => text.as_bytes(),
                Message::Binary(bytes) => bytes.as_ref(),
                Message::Close(_) => return Err(self.connection_error("the WebSocket closed")),
                // The answer to a ping is sent with the next read.
                _ => continue,
            };
            match serde_json::from_slice(bytes) {
                Ok(message) => return Ok(message),
                Err(error) => {
                    return Err(self.connection_error(&format!("a message is not JSON: {error}")));
                }
            }
        }
    }

    fn connection_error(&self, reason: &str) -> NodeError {
        NodeError::Unreachable {
            url: self.url.redacted_url(),
            reason: self.scrubbed(reason),
        }
    }

    fn scrubbed(&self, text: &str) -> String {
        self.headers.scrub_text(scrub(&self.url, text))
    }
}

/// The number and hash of a header. A shorter hash is rejected: padding would name a block that no node has, and only
/// the next poll would find the head.
fn parse_head(header: &Value) -> Option<BlockRef> {
    let digits = header["hash"].as_str()?.trim_start_matches("0x");
    if digits.len() < 64 {
        return None;
    }
    Some(BlockRef {
        number: read(&header["number"])?,
        hash: read::<B256>(&header["hash"])?,
    })
}

/// A value in any form that HTTP answers accept.
fn read<T: FromJson>(value: &Value) -> Option<T> {
    Plain::deserialize(value).ok().map(|Plain(read)| read)
}

fn shortened(value: &Value) -> String {
    value.to_string().chars().take(100).collect()
}

/// The error of a failed WebSocket handshake.
fn handshake_error(url: &Secret, headers: &NodeHeaders, error: Error) -> NodeError {
    let url_text = url.redacted_url();
    let reason = match &error {
        Error::Http(answer) => {
            let status = answer.status();
            if status.as_u16() == 429 {
                return NodeError::Throttled {
                    url: url_text,
                    reason: format!("HTTP status {status}"),
                    retry_after: None,
                };
            }
            format!("HTTP status {status} instead of a WebSocket")
        }
        error => {
            let text = tls::with_advice(error.to_string(), tls::CA_FILE_VARIABLE);
            headers.scrub_text(scrub(url, &text))
        }
    };
    NodeError::Unreachable {
        url: url_text,
        reason,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chaincast_testkit::faulty_node::{BlockTree, Contents, Fault, FaultyNode, Kind};

    #[tokio::test]
    async fn reads_same_value_forms_as_http() {
        let tree = BlockTree::new(31_337);
        let node = FaultyNode::from_tree(&tree).await.unwrap();
        let alter = |method: &str, at: &str, to: &Value| {
            let at = at.to_owned();
            let to = to.clone();
            node.add(Fault::new(method, Kind::Alter { at, to }).times(1))
        };
        let (url, headers) = (Secret::new(node.ws_url()), NodeHeaders::default());
        let time_limit = Duration::from_secs(60);
        let open = || HeadSubscription::open(&url, &headers, 31_337, time_limit);
        for (id, number) in [
            (json!("0x7a69"), json!("0x0001")),
            (json!("0X07A69"), json!("2")),
            (json!("31337"), json!(3)),
            (json!(31_337), json!("0X4")),
        ] {
            alter("eth_chainId", "", &id);
            let mut opened = open().await.unwrap();
            alter("newHeads", "/number", &number);
            let mined = tree.mine(&Contents::empty(tree.head().number + 1));
            assert_eq!(opened.next().await.unwrap(), Some(mined), "{id} {number}");
            assert!(node.unused_faults().is_empty());
        }
        alter("eth_chainId", "", &json!("31338"));
        let other = open().await.err();
        let wrong = matches!(other, Some(NodeError::WrongChain { actual: 31_338, .. }));
        assert!(wrong, "{other:?}");
    }

    #[test]
    fn head_needs_hash_and_number() {
        let hash = format!("0x{}", "ab".repeat(32));
        let head = parse_head(&json!({ "hash": hash, "number": "0x10" })).unwrap();
        assert_eq!((head.number, head.hash), (16, B256::repeat_byte(0xab)));
        for number in [json!("0x0010"), json!("0X10"), json!("16"), json!(16)] {
            let impl_from_json = parse_head(&json!({ "hash": hash[2..], "number": number }));
            assert_eq!(impl_from_json, Some(head), "{number}");
        }
        for wrong in [
            json!({ "number": "0x10" }),
            json!({ "hash": null, "number": "0x10" }),
            json!({ "hash": "", "number": "0x10" }),
            json!({ "hash": "0xzz", "number": "0x10" }),
            json!({ "hash": hash, "number": "+16" }),
            json!({ "hash": hash, "number": "" }),
            json!({ "hash": hash }),
            json!({ "hash": hash, "number": "0x1ffffffffffffffff" }),
            json!(null),
        ] {
            assert_eq!(parse_head(&wrong), None, "{wrong}");
        }
    }
}
