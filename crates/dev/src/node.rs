//! A minimal client for a node with unlocked accounts.

use std::time::Duration;

use alloy::{
    primitives::{Address, B256, Bytes, U64, U256},
    providers::{Provider, RootProvider},
    rpc::json_rpc::{RpcError, RpcRecv, RpcSend},
    sol_types::SolCall,
};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep, timeout};

use super::DevError;
use chaincast_base::{Secret, WEB_PAGE, is_web_page, non_json_error, retry::Backoff, tls};

/// Limit for one request.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// Limit for a transaction to be mined.
const MINE_TIMEOUT: Duration = Duration::from_secs(60);
/// Wait between polls for a receipt, doubled up to the longest: a node with automine has it soon.
const FIRST_POLL: Duration = Duration::from_millis(5);
const MAX_POLL: Duration = Duration::from_millis(50);
/// Between pool and block, a transaction is briefly in neither; one that stays unknown for this long was dropped.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(1);
/// Enough for every demo transaction, so that no gas estimate depends on a changing state.
const GAS_LIMIT: u64 = 2_000_000;

/// A connection to a node over HTTP. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Node {
    provider: RootProvider,
    url: String,
}

/// A transaction that the node signs for one of its accounts.
#[derive(Debug, Clone)]
pub struct Transaction {
    /// One of the node's accounts, which signs and pays.
    pub from: Address,
    /// `None` creates a contract.
    pub to: Option<Address>,
    /// In wei.
    pub value: U256,
    /// The call with its arguments, ABI-encoded, or the bytecode of the contract to create; empty for a payment.
    pub data: Bytes,
}

impl Transaction {
    /// Ether from one account to another, `value` in wei.
    pub fn payment(from: Address, to: Address, value: U256) -> Self {
        Self {
            from,
            to: Some(to),
            value,
            data: Bytes::new(),
        }
    }

    /// A call of a contract function.
    pub fn call(from: Address, to: Address, call: &impl SolCall) -> Self {
        Self {
            from,
            to: Some(to),
            value: U256::ZERO,
            data: call.abi_encode().into(),
        }
    }

    /// Creates a contract from its bytecode and encoded constructor arguments.
    pub fn creation(from: Address, bytecode: &[u8], arguments: &[u8]) -> Self {
        Self {
            from,
            to: None,
            value: U256::ZERO,
            data: [bytecode, arguments].concat().into(),
        }
    }
}

/// The required fields of a receipt.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Receipt {
    status: U64,
    pub(super) contract_address: Option<Address>,
}

impl Node {
    /// `url` is `http://HOST:PORT`. Sends nothing yet.
    pub fn connect(url: &str) -> Result<Self, DevError> {
        let refused = |reason: String| DevError::Url {
            url: Secret::new(url).redacted_url(),
            reason,
        };
        if !(url.starts_with("http://") || url.starts_with("https://")) {
            return Err(refused("it must begin with http:// or https://".to_owned()));
        }
        let parsed = url.parse().map_err(|error| refused(format!("{error}")))?;
        Ok(Self {
            provider: RootProvider::new_http(parsed),
            // A URL may contain a key.
            url: Secret::new(url).redacted_url(),
        })
    }

    /// Any JSON-RPC request.
    pub async fn request<P: RpcSend, R: RpcRecv>(
        &self,
        method: &'static str,
        params: P,
    ) -> Result<R, DevError> {
        let failed = |reason: String| DevError::Rpc {
            url: self.url.clone(),
            method,
            reason,
        };
        match timeout(
            REQUEST_TIMEOUT,
            self.provider.client().request(method, params),
        )
        .await
        {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(RpcError::Transport(error))) => Err(DevError::Unreachable {
                url: self.url.clone(),
                reason: match error.as_http_error() {
                    Some(http) => {
                        let status = http.status.to_string();
                        non_json_error(http.status, &status, &excerpt(&http.body))
                    }
                    None => tls::with_advice(reason_of(&error), tls::CA_FILE_VARIABLE),
                },
            }),
            Ok(Err(RpcError::DeserError { err, text })) => Err(DevError::Answer {
                url: self.url.clone(),
                method,
                reason: match is_web_page(&text) {
                    true => WEB_PAGE.to_owned(),
                    false => err.to_string(),
                },
            }),
            Ok(Err(error)) => Err(failed(excerpt(&error.to_string()))),
            Err(_) => Err(DevError::Unreachable {
                url: self.url.clone(),
                reason: format!("no answer within {REQUEST_TIMEOUT:?}"),
            }),
        }
    }

    /// At least `needed` unlocked accounts.
    pub async fn accounts(&self, needed: usize) -> Result<Vec<Address>, DevError> {
        let accounts: Vec<Address> = self.request("eth_accounts", ()).await?;
        if accounts.len() < needed {
            return Err(DevError::Accounts {
                url: self.url.clone(),
                found: accounts.len(),
                needed,
            });
        }
        Ok(accounts)
    }

    /// Whether the node is an anvil, with unlocked accounts and the `anvil_` methods.
    pub async fn is_anvil(&self) -> Result<bool, DevError> {
        let version: String = self.request("web3_clientVersion", ()).await?;
        Ok(version.starts_with("anvil/"))
    }

    /// The chain's EIP-155 id.
    pub async fn chain_id(&self) -> Result<u64, DevError> {
        let id: U64 = self.request("eth_chainId", ()).await?;
        Ok(id.to())
    }

    /// The height of the node's head.
    pub async fn block_number(&self) -> Result<u64, DevError> {
        let number: U64 = self.request("eth_blockNumber", ()).await?;
        Ok(number.to())
    }

    /// The hash of the canonical block at `number`.
    pub async fn block_hash(&self, number: u64) -> Result<B256, DevError> {
        let method = "eth_getBlockByNumber";
        let block: Value = self.request(method, (U64::from(number), false)).await?;
        serde_json::from_value(block["hash"].clone()).map_err(|error| DevError::Answer {
            url: self.url.clone(),
            method,
            reason: format!("block {number} has no hash: {error}"),
        })
    }

    pub(super) async fn has_code(&self, address: Address) -> Result<bool, DevError> {
        let code: Bytes = self.request("eth_getCode", (address, "latest")).await?;
        Ok(!code.is_empty())
    }

    /// Calls a view function of a contract at the head.
    pub async fn read<C: SolCall>(&self, to: Address, call: &C) -> Result<C::Return, DevError> {
        let method = "eth_call";
        let data = Bytes::from(call.abi_encode());
        let answer: Bytes = self
            .request(method, (json!({ "to": to, "data": data }), "latest"))
            .await?;
        C::abi_decode_returns(&answer).map_err(|error| DevError::Answer {
            url: self.url.clone(),
            method,
            reason: format!("{}: {error}", C::SIGNATURE),
        })
    }

    /// Sends a transaction and returns its hash. It is not mined yet and may still fail.
    pub async fn send(&self, transaction: Transaction) -> Result<B256, DevError> {
        let Transaction {
            from,
            to,
            value,
            data,
        } = transaction;
        let mut object = json!({
            "from": from, "value": value, "data": data, "gas": U64::from(GAS_LIMIT),
        });
        if let Some(to) = to {
            object["to"] = json!(to);
        }
        self.request("eth_sendTransaction", (object,)).await
    }

    /// Waits until all are mined, in any block. An error names the first one that failed.
    pub async fn mined(&self, hashes: &[B256]) -> Result<(), DevError> {
        self.receipts(hashes).await.map(drop)
    }

    pub(super) async fn receipts(&self, hashes: &[B256]) -> Result<Vec<Receipt>, DevError> {
        let deadline = Instant::now() + MINE_TIMEOUT;
        let mut receipts = Vec::with_capacity(hashes.len());
        let mut poll = Backoff::exact(FIRST_POLL, MAX_POLL);
        for &hash in hashes {
            let mut unknown_since = None;
            let receipt = loop {
                let receipt: Option<Receipt> =
                    self.request("eth_getTransactionReceipt", (hash,)).await?;
                if let Some(receipt) = receipt {
                    break receipt;
                }
                let known: Option<Value> =
                    self.request("eth_getTransactionByHash", (hash,)).await?;
                unknown_since = match known {
                    Some(_) => None,
                    None => unknown_since.or_else(|| Some(Instant::now())),
                };
                if unknown_since.is_some_and(|since| since.elapsed() >= FORGOTTEN_AFTER) {
                    return Err(DevError::Dropped(hash));
                }
                if Instant::now() >= deadline {
                    return Err(DevError::NotMined {
                        hash,
                        waited: MINE_TIMEOUT,
                    });
                }
                sleep(poll.next_delay()).await;
            };
            if receipt.status.is_zero() {
                return Err(DevError::Reverted(hash));
            }
            receipts.push(receipt);
        }
        Ok(receipts)
    }
}

/// The server's answer, truncated for an error message. A web page is named, not repeated.
fn excerpt(text: &str) -> String {
    const LONGEST: usize = 300;
    match is_web_page(text) {
        true => WEB_PAGE.to_owned(),
        false => text.trim().chars().take(LONGEST).collect(),
    }
}

/// The innermost cause: the outer ones repeat the URL, which may contain a key.
fn reason_of(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}
