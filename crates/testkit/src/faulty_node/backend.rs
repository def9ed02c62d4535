//! The correct answers of a node.

use alloy::{
    primitives::{Address, B256, U64},
    rpc::types::{BlockTransactions, Log, TransactionReceipt},
};
use parking_lot::RwLock;
use serde_json::{Value, json};

use super::{block::TreeBlock, block_tree::BlockTree};
use chaincast_protocol::BlockRef;

/// A JSON-RPC error: code and message.
pub(super) type RpcError = (i64, String);

const METHOD_NOT_FOUND: i64 = -32_601;
const INVALID_PARAMS: i64 = -32_602;
/// The code for an unreachable upstream node.
const INTERNAL: i64 = -32_603;

/// The source of correct answers.
pub(super) enum Backend {
    BlockTree {
        tree: BlockTree,
        /// The head of this node, if it differs from the tree's.
        pinned: RwLock<Option<B256>>,
    },
    Node {
        url: String,
        client: reqwest::Client,
    },
}

impl Backend {
    pub(super) async fn call(&self, method: &str, params: &Value) -> Result<Value, RpcError> {
        match self {
            Self::BlockTree { tree, pinned } => {
                let head = pinned.read().unwrap_or(tree.head().hash);
                View { tree, head }.call(method, params)
            }
            Self::Node { url, client } => forward(client, url, method, params).await,
        }
    }

    /// The height of a request, from the number or hash in its first parameter.
    pub(super) async fn height(&self, params: &Value) -> Option<u64> {
        let first = params.get(0)?;
        let first = first.get("blockHash").unwrap_or(first);
        if let Ok(number) = serde_json::from_value::<U64>(first.clone()) {
            return Some(number.to());
        }
        let hash: B256 = serde_json::from_value(first.clone()).ok()?;
        let answer = match self {
            Self::BlockTree { tree, .. } => {
                let block = tree.block(hash);
                return block.map(|block| block.block_ref().number).or_else(|| {
                    Some(
                        transaction(tree, tree.head().hash, hash)?
                            .0
                            .block_ref()
                            .number,
                    )
                });
            }
            Self::Node { .. } => self.call("eth_getBlockByHash", &json!([hash, false])).await,
        };
        let number = answer.ok()?.get("number")?.clone();
        Some(serde_json::from_value::<U64>(number).ok()?.to())
    }

    /// The height of the head.
    pub(super) async fn head(&self) -> Option<u64> {
        let number = self.call("eth_blockNumber", &json!([])).await.ok()?;
        Some(serde_json::from_value::<U64>(number).ok()?.to())
    }
}

async fn forward(
    client: &reqwest::Client,
    url: &str,
    method: &str,
    params: &Value,
) -> Result<Value, RpcError> {
    let request = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
    let exchange = async {
        let answer = client.post(url).json(&request).send().await?;
        answer.json::<Value>().await
    };
    let mut answer = exchange
        .await
        .map_err(|error| (INTERNAL, error.without_url().to_string()))?;
    match answer.get("error") {
        Some(error) => Err((
            error["code"].as_i64().unwrap_or(INTERNAL),
            error["message"].as_str().unwrap_or_default().to_owned(),
        )),
        None => Ok(answer["result"].take()),
    }
}

/// A tree seen from one head.
struct View<'a> {
    tree: &'a BlockTree,
    head: B256,
}

impl View<'_> {
    fn call(&self, method: &str, params: &Value) -> Result<Value, RpcError> {
        let first = || params.get(0).cloned().unwrap_or(Value::Null);
        match method {
            "eth_chainId" => Ok(json!(U64::from(self.tree.chain_id()))),
            "net_version" => Ok(json!(self.tree.chain_id().to_string())),
            "web3_clientVersion" => Ok(json!("chaincast-faulty-node")),
            "eth_blockNumber" => Ok(json!(U64::from(self.head_ref().number))),
            "eth_getBlockByNumber" | "eth_getBlockByHash" => {
                let full = params.get(1).and_then(Value::as_bool).unwrap_or(false);
                Ok(self
                    .named(&first())?
                    .map_or(Value::Null, |block| block_json(&block, full)))
            }
            "eth_getBlockReceipts" => Ok(self
                .named(&first())?
                .map_or(Value::Null, |block| json!(block.receipts))),
            "eth_getTransactionReceipt" => {
                let hash = parse_hash(&first())?;
                Ok(transaction(self.tree, self.head, hash)
                    .map_or(Value::Null, |(block, index)| json!(block.receipts[index])))
            }
            "eth_getTransactionByHash" => {
                let hash = parse_hash(&first())?;
                Ok(
                    transaction(self.tree, self.head, hash)
                        .map_or(Value::Null, |(block, index)| {
                            block_json(&block, true)["transactions"][index].take()
                        }),
                )
            }
            "eth_getLogs" => self.logs(&first()),
            other => Err((
                METHOD_NOT_FOUND,
                format!("the method {other} does not exist/is not available"),
            )),
        }
    }

    fn head_ref(&self) -> BlockRef {
        let head = self.tree.block(self.head);
        head.map_or(self.tree.genesis(), |block| block.block_ref())
    }

    /// The block identified by a parameter: a hash, a number or a tag.
    fn named(&self, name: &Value) -> Result<Option<std::sync::Arc<TreeBlock>>, RpcError> {
        let name = name.get("blockHash").unwrap_or(name);
        let number = match name.as_str() {
            Some("latest" | "pending") => self.head_ref().number,
            Some("earliest") => 0,
            Some("safe") => return Ok(self.tree.safe().and_then(|at| self.tree.block(at.hash))),
            Some("finalized") => {
                return Ok(self
                    .tree
                    .finalized()
                    .and_then(|at| self.tree.block(at.hash)));
            }
            Some(text) if text.len() == 66 => return Ok(self.tree.block(parse_hash(name)?)),
            _ => parse_number(name)?,
        };
        let at = self.tree.below(self.head, number);
        Ok(at.and_then(|at| self.tree.block(at.hash)))
    }

    fn logs(&self, filter: &Value) -> Result<Value, RpcError> {
        let blocks = match filter.get("blockHash") {
            Some(hash) => vec![
                self.tree
                    .block(parse_hash(hash)?)
                    .ok_or((-32_000, "unknown block".to_owned()))?,
            ],
            None => {
                let bound = |key: &str| {
                    let name = filter.get(key).cloned().unwrap_or(json!("latest"));
                    match self.named(&name) {
                        Ok(Some(block)) => Ok(block.block_ref().number),
                        Ok(None) => parse_number(&name),
                        Err(error) => Err(error),
                    }
                };
                let (from, to) = (bound("fromBlock")?, bound("toBlock")?);
                let mut blocks = self.tree.branch(self.head);
                blocks.retain(|block| (from..=to).contains(&block.block_ref().number));
                blocks.reverse();
                blocks
            }
        };
        let logs: Vec<&Log> = blocks
            .iter()
            .flat_map(|block| &block.receipts)
            .flat_map(TransactionReceipt::logs)
            .filter(|log| matches_filter(log, filter))
            .collect();
        Ok(json!(logs))
    }
}

/// Whether a log matches the addresses and topics of a filter (`eth_getLogs` of the execution API).
fn matches_filter(log: &Log, filter: &Value) -> bool {
    let any_of = |allowed: &Value, value: &dyn Fn(&Value) -> bool| match allowed {
        Value::Null => true,
        Value::Array(all) => all.is_empty() || all.iter().any(value),
        one => value(one),
    };
    let address = |value: &Value| {
        serde_json::from_value::<Address>(value.clone()).ok() == Some(log.address())
    };
    if !any_of(&filter["address"], &address) {
        return false;
    }
    let topics = filter["topics"].as_array().map_or(&[][..], Vec::as_slice);
    topics.iter().enumerate().all(|(position, allowed)| {
        let have = log.topics().get(position).copied();
        any_of(allowed, &|value| {
            serde_json::from_value::<B256>(value.clone()).ok() == have && have.is_some()
        })
    })
}

/// Block and index of a transaction on the branch that ends in `head`.
fn transaction(
    tree: &BlockTree,
    head: B256,
    hash: B256,
) -> Option<(std::sync::Arc<TreeBlock>, usize)> {
    tree.branch(head).into_iter().find_map(|block| {
        let index = block
            .receipts
            .iter()
            .position(|receipt| receipt.transaction_hash == hash)?;
        Some((block, index))
    })
}

/// A block as JSON, with full transactions or with their hashes.
pub(super) fn block_json(block: &TreeBlock, full: bool) -> Value {
    let mut block_json = block.block.clone();
    if !full {
        block_json.transactions =
            BlockTransactions::Hashes(block_json.transactions.hashes().collect());
    }
    json!(block_json)
}

fn parse_hash(value: &Value) -> Result<B256, RpcError> {
    serde_json::from_value(value.clone()).map_err(|error| (INVALID_PARAMS, error.to_string()))
}

fn parse_number(value: &Value) -> Result<u64, RpcError> {
    serde_json::from_value::<U64>(value.clone())
        .map(|number| number.to())
        .map_err(|error| (INVALID_PARAMS, error.to_string()))
}
