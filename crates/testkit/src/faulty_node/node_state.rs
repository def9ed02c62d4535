//! The answers of a node with a script of faults.

use parking_lot::RwLock;
use serde_json::{Value, json};

use super::{
    backend::{Backend, RpcError},
    fault::{BlockSelector, Kind},
    script::{RpcRequest, Script},
};

/// What a node answers, and what its script makes of it.
pub(super) struct NodeState {
    pub(super) backend: Backend,
    pub(super) script: Script,
    /// A header that every request must have; its name is in lower case.
    pub(super) required: RwLock<Option<(String, String)>>,
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
