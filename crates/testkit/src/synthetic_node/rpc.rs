//! JSON-RPC 2.0 with batches: parses requests and builds answers.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::{Value, json, value::RawValue};

use super::{
    SyntheticChain, SyntheticNodeOptions,
    answer::Answer,
    logs::LogFilter,
    render::{AFTER_TRANSACTIONS, BEFORE_TRANSACTIONS, RenderedBlock},
};
use chaincast_protocol::B256;

/// Blocks behind the head that `safe` and `finalized` name.
const SAFE_BEHIND: u64 = 32;
const FINALIZED_BEHIND: u64 = 64;

/// A received call.
#[derive(Deserialize)]
pub(super) struct Call<'a> {
    #[serde(borrow, default)]
    pub(super) id: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) method: Cow<'a, str>,
    #[serde(borrow, default)]
    params: Option<&'a RawValue>,
}

impl Call<'_> {
    pub(super) fn params(&self) -> Vec<Value> {
        let params = self.params.map(|params| serde_json::from_str(params.get()));
        params.and_then(Result::ok).unwrap_or_default()
    }
}

/// A JSON-RPC error object.
pub(super) struct RpcError {
    code: i64,
    message: String,
}

impl RpcError {
    fn new(code: i64, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
        }
    }

    fn params(message: impl Into<String>) -> Self {
        Self::new(-32602, message)
    }
}

/// The chain up to a head.
pub(super) struct View<'a> {
    pub(super) chain: &'a SyntheticChain,
    pub(super) head: u64,
    pub(super) options: &'a SyntheticNodeOptions,
}

impl View<'_> {
    /// Answers a call or a batch of them.
    pub(super) fn answer(&self, request: &[u8]) -> Answer {
        let mut answer = Answer::default();
        let first = request.iter().find(|byte| !byte.is_ascii_whitespace());
        if first != Some(&b'[') {
            match serde_json::from_slice(request) {
                Ok(call) => self.call(&call, &mut answer),
                Err(error) => refuse(None, &not_json(&error), &mut answer),
            }
            return answer;
        }
        let calls: Vec<Call> = match serde_json::from_slice(request) {
            Ok(calls) => calls,
            Err(error) => {
                refuse(None, &not_json(&error), &mut answer);
                return answer;
            }
        };
        if calls.len() > self.options.max_batch || calls.is_empty() {
            let most = self.options.max_batch;
            let message = format!("a batch has 1 to {most} calls, not {}", calls.len());
            refuse(None, &RpcError::new(-32600, message), &mut answer);
            return answer;
        }
        answer.text("[");
        for (index, call) in calls.iter().enumerate() {
            if index > 0 {
                answer.text(",");
            }
            self.call(call, &mut answer);
        }
        answer.text("]");
        answer
    }

    pub(super) fn call(&self, call: &Call, answer: &mut Answer) {
        match self.result(call) {
            Ok(result) => {
                begin_answer(call.id, answer);
                answer.text(r#","result":"#);
                self.write(result, answer);
                answer.text("}");
            }
            Err(refusal) => refuse(call.id, &refusal, answer),
        }
    }

    fn result(&self, call: &Call) -> Result<Found<'_>, RpcError> {
        let params = call.params();
        let first = params.first().unwrap_or(&Value::Null);
        Ok(match &*call.method {
            "eth_chainId" => Found::Json(json!(format!("{:#x}", self.chain.chain_id))),
            "net_version" => Found::Json(json!(self.chain.chain_id.to_string())),
            "eth_blockNumber" => Found::Json(json!(format!("{:#x}", self.head))),
            "eth_syncing" => Found::Json(json!(false)),
            "web3_clientVersion" => Found::Json(json!("chaincast/synthetic")),
            "eth_getBlockByNumber" | "eth_getBlockByHash" => {
                let whole = params.get(1).and_then(Value::as_bool).unwrap_or(false);
                match self.block(first)? {
                    Some((_, block)) if whole => Found::Block(block),
                    Some((_, block)) => Found::HashesOnly(block),
                    None => Found::Nothing,
                }
            }
            "eth_getBlockReceipts" => match self.block(first)? {
                Some((_, block)) => Found::Receipts(block),
                None => Found::Nothing,
            },
            "eth_getTransactionByHash" | "eth_getTransactionReceipt" => {
                let hash = hash(first)?;
                let place = self.chain.transaction_position(&hash);
                match place.filter(|(number, _)| *number <= self.head) {
                    Some((number, index)) => {
                        let block = self
                            .chain
                            .block(number)
                            .ok_or_else(|| RpcError::new(-32603, "no such block"))?;
                        if call.method == "eth_getTransactionByHash" {
                            Found::Transaction(block, index)
                        } else {
                            Found::Receipt(block, index)
                        }
                    }
                    None => Found::Nothing,
                }
            }
            "eth_getLogs" => self.logs(first)?,
            other => {
                let message = format!("the method {other} does not exist/is not available");
                return Err(RpcError::new(-32601, message));
            }
        })
    }

    /// A block by number, tag or hash; `None` if it does not exist or is above the head.
    fn block(&self, named: &Value) -> Result<Option<(u64, &RenderedBlock)>, RpcError> {
        let named = named
            .get("blockHash")
            .or(named.get("blockNumber"))
            .unwrap_or(named);
        let text = named.as_str().unwrap_or_default();
        let number = if text.len() == 66 {
            self.chain.height_of(&hash(named)?)
        } else {
            Some(self.number(named)?)
        };
        let number = number.filter(|number| *number <= self.head);
        Ok(number.and_then(|number| Some((number, self.chain.block(number)?))))
    }

    fn number(&self, named: &Value) -> Result<u64, RpcError> {
        let text = named.as_str().unwrap_or("no text");
        match text {
            "latest" | "pending" => Ok(self.head),
            "safe" => Ok(self.head.saturating_sub(SAFE_BEHIND)),
            "finalized" => Ok(self.head.saturating_sub(FINALIZED_BEHIND)),
            "earliest" => Ok(0),
            _ => {
                let digits = text.strip_prefix("0x").unwrap_or("");
                u64::from_str_radix(digits, 16)
                    .map_err(|_| RpcError::params(format!("{named} is not a block number")))
            }
        }
    }

    fn logs(&self, filter: &Value) -> Result<Found<'_>, RpcError> {
        let log_filter = LogFilter::read(filter).map_err(RpcError::params)?;
        let (from, to) = if filter["blockHash"].is_null() {
            let bound = |key: &str| match &filter[key] {
                Value::Null => Ok(self.head),
                named => self.number(named),
            };
            (bound("fromBlock")?, bound("toBlock")?.min(self.head))
        } else {
            let block = self.block(&filter["blockHash"])?;
            let (number, _) = block.ok_or_else(|| RpcError::new(-32000, "unknown block"))?;
            (number, number)
        };
        let mut found = Vec::new();
        let mut count = 0;
        for number in from..=to {
            let Some(block) = self.chain.block(number) else {
                break;
            };
            let logs = block.logs.iter().enumerate();
            let matching: Vec<usize> = logs
                .filter(|(_, log)| log_filter.matches(log))
                .map(|(index, _)| index)
                .collect();
            count += matching.len();
            if self.options.max_logs.is_some_and(|most| count > most) {
                let most = self.options.max_logs.unwrap_or(0);
                let message = format!("query returned more than {most} results");
                return Err(RpcError::new(-32005, message));
            }
            found.push((block, matching));
        }
        Ok(Found::Logs(found))
    }

    fn write(&self, found: Found, answer: &mut Answer) {
        match found {
            Found::Nothing => answer.text("null"),
            Found::Json(value) => answer.text(&value.to_string()),
            Found::Block(block) => answer.piece(&block.full),
            Found::HashesOnly(block) => {
                answer.copied(&block.full[block.header.range()]);
                answer.text(BEFORE_TRANSACTIONS);
                for (index, (hash, _)) in block.transactions.iter().enumerate() {
                    answer.text(if index > 0 { ",\"" } else { "\"" });
                    answer.text(&format!("{hash}\""));
                }
                answer.text(AFTER_TRANSACTIONS);
            }
            Found::Receipts(block) => answer.piece(&block.receipts),
            Found::Transaction(block, index) => {
                answer.copied(&block.full[block.transactions[index].1.range()]);
            }
            Found::Receipt(block, index) => {
                answer.copied(&block.receipts[block.receipt_places[index].range()]);
            }
            Found::Logs(blocks) => {
                answer.text("[");
                let mut separator = "";
                for (block, logs) in blocks {
                    for index in logs {
                        answer.text(separator);
                        separator = ",";
                        answer.copied(&block.receipts[block.logs[index].place.range()]);
                    }
                }
                answer.text("]");
            }
        }
    }
}

/// The result of a call.
enum Found<'a> {
    Nothing,
    Json(Value),
    Block(&'a RenderedBlock),
    HashesOnly(&'a RenderedBlock),
    Receipts(&'a RenderedBlock),
    Transaction(&'a RenderedBlock, usize),
    Receipt(&'a RenderedBlock, usize),
    Logs(Vec<(&'a RenderedBlock, Vec<usize>)>),
}

/// A block's header in the format of `newHeads`.
pub(super) fn header(block: &RenderedBlock, answer: &mut Answer) {
    answer.copied(&block.full[block.header.range()]);
    answer.text("}");
}

pub(super) fn begin_answer(id: Option<&RawValue>, answer: &mut Answer) {
    answer.text(r#"{"jsonrpc":"2.0","id":"#);
    answer.text(id.map_or("null", RawValue::get));
}

fn refuse(id: Option<&RawValue>, refusal: &RpcError, answer: &mut Answer) {
    begin_answer(id, answer);
    let error = json!({ "code": refusal.code, "message": refusal.message });
    answer.text(&format!(r#","error":{error}}}"#));
}

fn not_json(error: &serde_json::Error) -> RpcError {
    RpcError::new(-32700, format!("parse error: {error}"))
}

fn hash(value: &Value) -> Result<B256, RpcError> {
    let hash = value.as_str().and_then(|text| text.parse().ok());
    hash.ok_or_else(|| RpcError::params(format!("{value} is not a hash")))
}
