//! JSON-RPC requests to one node over HTTP (the Ethereum execution API).
//!
//! Every request ends within `request_timeout_ms`. Nothing is retried here: only the caller knows whether a retry makes
//! sense.

use std::{
    net::IpAddr,
    sync::atomic::AtomicUsize,
    time::{Duration, Instant},
};

use alloy::{
    rpc::json_rpc::{RpcRecv, RpcSend},
    transports::http::reqwest::{
        self, Url,
        header::{ACCEPT_ENCODING, HeaderValue},
    },
};
use serde::Deserialize;

use super::{
    ChainConfig, NodeError, NodeHeaders, ProviderConfig,
    json_values::{Plain, required},
    receipt_methods::ReceiptMethods,
    request_gate::RequestGate,
    request_limit::RequestLimit,
    request_metrics,
};
use chaincast_base::{Secret, tls};
use chaincast_model::{IndexMode, KnownBlock};
use chaincast_protocol::{B256, BlockRef, ChainId};

/// Assumed answer bytes for the logs of one block before the first is measured.
const LOG_BLOCK_BYTES: usize = 64 * 1024;

/// A node, reached over HTTP.
pub struct Node {
    pub(super) http: reqwest::Client,
    pub(super) endpoint: Url,
    pub(super) url: Secret,
    pub(super) headers: NodeHeaders,
    pub(super) chain_id: ChainId,
    /// The `provider` label of metrics.
    name: String,
    timeout: Duration,
    /// How the node returns the receipts of a block.
    pub(super) receipts: ReceiptMethods,
    /// Limits requests for history.
    pub(super) gate: RequestGate,
    pub(super) index: IndexMode,
    /// The same for `eth_getLogs`, if only logs are indexed.
    pub(super) log_gate: RequestGate,
    /// Recent answer size for the logs of one block, in bytes.
    pub(super) log_block_bytes: AtomicUsize,
    /// Largest accepted answer, in bytes.
    pub(super) response_bytes: usize,
}

/// A block tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tag {
    /// The newest block.
    Latest,
    /// A block that is unlikely to be reorganized, as the consensus layer says.
    Safe,
    /// A block that the consensus layer has finalized.
    Finalized,
}

impl Tag {
    fn name(self) -> &'static str {
        match self {
            Self::Latest => "latest",
            Self::Safe => "safe",
            Self::Finalized => "finalized",
        }
    }
}

/// A block and its parent hash, from a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Link {
    /// Its height and hash.
    pub block: BlockRef,
    /// The hash of the block before it.
    pub parent_hash: B256,
}

/// The header fields that locate its block.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct HeaderLink {
    #[serde(deserialize_with = "required")]
    hash: B256,
    #[serde(deserialize_with = "required")]
    parent_hash: B256,
    #[serde(deserialize_with = "required")]
    number: u64,
}

impl From<HeaderLink> for Link {
    fn from(header: HeaderLink) -> Self {
        Self {
            block: BlockRef {
                number: header.number,
                hash: header.hash,
            },
            parent_hash: header.parent_hash,
        }
    }
}

impl Node {
    /// Creates a client for the first provider of a chain; sends nothing.
    pub fn new(config: &ChainConfig) -> Result<Self, NodeError> {
        match config.named_providers().into_iter().next() {
            Some((name, provider)) => Self::of(config, &name, &provider),
            None => Err(NodeError::no_provider()),
        }
    }

    /// Creates a client for one provider of a chain; sends nothing.
    pub fn of(
        config: &ChainConfig,
        name: &str,
        provider: &ProviderConfig,
    ) -> Result<Self, NodeError> {
        let bad = |reason: String| NodeError::Url {
            key: "chains.rpc_url or chains.providers.url",
            reason,
            schemes: "http://HOST:PORT or https://HOST/PATH",
        };
        let url: Url = provider
            .url
            .expose()
            .parse()
            .map_err(|error| bad(format!("{error}")))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(bad(format!("its scheme is {}", url.scheme())));
        }
        let timeout = Duration::from_millis(config.request_timeout_ms);
        let rest_max = Duration::from_millis(config.rest_max_ms);
        // Headers and logs share the in-flight limit.
        let for_logs = match config.index {
            IndexMode::Blocks => 0,
            IndexMode::Logs | IndexMode::Transfers => config.concurrency / 2,
        };
        let mut headers = provider.headers.map().map_err(|reason| NodeError::Url {
            key: "chains.headers or chains.providers.headers",
            reason,
            schemes: "valid HTTP header names and values",
        })?;
        let mut client = reqwest::Client::builder()
            .tls_backend_preconfigured(tls::client_config())
            .timeout(timeout)
            .tcp_nodelay(true);
        if !headers.is_empty() {
            // The headers may be secret: do not send them to a redirect target.
            client = client.redirect(reqwest::redirect::Policy::none());
        }
        if is_loopback(&url) {
            client = client.no_proxy();
            // Compressed answers are accepted from any node, but on one machine compression costs more than it saves.
            headers
                .entry(ACCEPT_ENCODING)
                .or_insert(HeaderValue::from_static("identity"));
        }
        let client = client.default_headers(headers);
        let client = client
            .build()
            .map_err(|error| bad(error.without_url().to_string()))?;
        Ok(Self {
            http: client,
            endpoint: url,
            url: provider.url.clone(),
            headers: provider.headers.clone(),
            chain_id: config.chain_id,
            name: name.to_owned(),
            timeout,
            receipts: ReceiptMethods::default(),
            gate: RequestGate::new(RequestLimit::new(
                config.request_blocks,
                config.concurrency - for_logs,
                rest_max,
            )),
            index: config.index,
            log_gate: RequestGate::new(RequestLimit::new(
                config.log_range_blocks,
                for_logs,
                rest_max,
            )),
            log_block_bytes: AtomicUsize::new(LOG_BLOCK_BYTES),
            response_bytes: config.response_bytes,
        })
    }

    /// The node's URL without secrets.
    pub fn redacted_url(&self) -> String {
        self.url.redacted_url()
    }

    /// Checks that the node serves the configured chain, and returns a block that identifies it, because every fresh
    /// development chain has the same id. Tries the heights of `known` blocks, or block 0 if none is known, and last
    /// `first`, for a node without block 0 (pruned, or started at a fork).
    pub async fn identity(&self, known: &[KnownBlock], first: u64) -> Result<Link, NodeError> {
        let Plain(actual): Plain<u64> = self.request("eth_chainId", ()).await?;
        if actual != self.chain_id {
            return Err(self.counted(NodeError::WrongChain {
                url: self.redacted_url(),
                expected: self.chain_id,
                actual,
            }));
        }
        // The supported methods may have changed since the last check.
        self.receipts.reset();
        self.gate.enable_batches();
        let mut heights: Vec<u64> = known.iter().map(|known| known.block.number).collect();
        if heights.is_empty() {
            heights.push(0);
        }
        if !heights.contains(&first) {
            heights.push(first);
        }
        let mut refusal = String::new();
        for height in &heights {
            let params = (format!("{height:#x}"), false);
            let header: Result<Option<HeaderLink>, _> =
                self.request("eth_getBlockByNumber", params).await;
            match header {
                // Only the hash identifies the chain.
                Ok(Some(header)) => {
                    let mut link = Link::from(header);
                    link.block.number = *height;
                    return Ok(link);
                }
                Ok(None) => {}
                // Some nodes return an error instead of null for a block that they do not have.
                Err(NodeError::Refused { message, .. }) => refusal = format!(" ({message})"),
                Err(error) => return Err(error),
            }
        }
        let heights: Vec<_> = heights.iter().map(u64::to_string).collect();
        Err(self.unidentified(format!("block {}{refusal}", heights.join(" or "))))
    }

    pub(super) fn unidentified(&self, what: String) -> NodeError {
        self.counted(NodeError::Unidentified {
            url: self.redacted_url(),
            what,
        })
    }

    /// The current block of a tag; `None` if there is none yet, or if the node does not support the tag.
    pub async fn tagged(&self, tag: Tag) -> Result<Option<BlockRef>, NodeError> {
        let answer: Result<Option<HeaderLink>, _> = self
            .request("eth_getBlockByNumber", (tag.name(), false))
            .await;
        match answer {
            Ok(header) => Ok(header.map(|header| Link::from(header).block)),
            // Chains without finality, and nodes before their first finalized block, return an error.
            Err(NodeError::Refused { .. } | NodeError::TooLarge { .. }) if tag != Tag::Latest => {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// The canonical block of the node at a height, if any.
    pub async fn at(&self, number: u64) -> Result<Option<BlockRef>, NodeError> {
        let method = "eth_getBlockByNumber";
        let header: Option<HeaderLink> = self
            .request(method, (format!("{number:#x}"), false))
            .await?;
        match header.map(|header| Link::from(header).block) {
            Some(block) if block.number != number => Err(self.bad_answer(
                method,
                format!("block {} instead of {number}", block.number),
            )),
            block => Ok(block),
        }
    }

    /// A block and its parent, by hash.
    pub async fn link(&self, hash: B256) -> Result<Link, NodeError> {
        let header: Option<HeaderLink> = self.request("eth_getBlockByHash", (hash, false)).await?;
        let link = Link::from(self.or_missing(header, || format!("block {hash}"))?);
        if link.block.hash != hash {
            return Err(self.bad_answer(
                "eth_getBlockByHash",
                format!("block {} instead of {hash}", link.block.hash),
            ));
        }
        Ok(link)
    }

    pub(super) async fn request<P, R>(
        &self,
        method: &'static str,
        params: P,
    ) -> Result<R, NodeError>
    where
        P: RpcSend,
        R: RpcRecv,
    {
        let params = serde_json::to_string(&params).map_err(|error| {
            self.bad_answer(method, format!("cannot encode the parameters: {error}"))
        })?;
        // No parameters: an empty array.
        let params = [if params == "null" {
            "[]".into()
        } else {
            params
        }];
        let began = Instant::now();
        let answer = tokio::time::timeout(self.timeout, self.post(method, &params)).await;
        request_metrics::record(self.chain_id, &self.name, method, began.elapsed());
        match answer {
            Ok(Ok(body)) => self.answer(method, &body),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(self.counted(NodeError::Unreachable {
                url: self.redacted_url(),
                reason: format!(
                    "no answer to {method} within {} ms",
                    self.timeout.as_millis()
                ),
            })),
        }
    }

    pub(super) fn or_missing<T>(
        &self,
        answer: Option<T>,
        what: impl FnOnce() -> String,
    ) -> Result<T, NodeError> {
        answer.ok_or_else(|| {
            self.counted(NodeError::Missing {
                url: self.redacted_url(),
                what: what(),
            })
        })
    }

    pub(super) fn bad_answer(&self, method: &'static str, reason: String) -> NodeError {
        self.counted(NodeError::BadAnswer {
            url: self.redacted_url(),
            method,
            reason,
        })
    }

    pub(super) fn counted(&self, error: NodeError) -> NodeError {
        metrics::counter!(
            "chaincast_chain_node_errors_total",
            "chain_id" => self.chain_id.to_string(),
            "kind" => error.kind()
        )
        .increment(1);
        error
    }
}

/// A proxy from the environment is for remote hosts, not for a node on this machine.
fn is_loopback(url: &Url) -> bool {
    url.host_str().is_some_and(|host| {
        let address = host.trim_matches(['[', ']']).parse::<IpAddr>();
        host == "localhost" || address.is_ok_and(|address| address.is_loopback())
    })
}
