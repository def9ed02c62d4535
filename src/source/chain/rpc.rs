//! JSON-RPC requests to one node over HTTP (the Ethereum execution API).
//!
//! Every request ends within `request_timeout_ms`, and nothing is retried here: the caller knows what waiting means.

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
    limit::Limit,
    pace::Pace,
    providers::request_took,
    receipts::Ways,
    spelling::{Plain, required},
};
use crate::{
    model::{B256, BlockRef, ChainId, IndexMode, KnownBlock, Secret},
    tls,
};

/// What the logs of a block take before any were seen.
const LOG_BLOCK_BYTES: usize = 64 * 1024;

/// A node, reached over HTTP.
pub struct Node {
    pub(super) http: reqwest::Client,
    pub(super) endpoint: Url,
    pub(super) url: Secret,
    pub(super) headers: NodeHeaders,
    pub(super) chain_id: ChainId,
    /// How metrics call it.
    name: String,
    timeout: Duration,
    /// How it gives the receipts of a block.
    pub(super) receipts: Ways,
    /// How much of history it is asked for at once.
    pub(super) pace: Pace,
    pub(super) index: IndexMode,
    /// The same for `eth_getLogs`, where only logs are indexed.
    pub(super) log_pace: Pace,
    /// What the logs of a block took lately, in bytes of the answer.
    pub(super) log_block_bytes: AtomicUsize,
    /// A larger answer is refused, in bytes.
    pub(super) response_bytes: usize,
}

/// The blocks that a node names by a tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tag {
    Latest,
    Safe,
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

/// A block and its parent, as a header links them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Link {
    pub block: BlockRef,
    pub parent_hash: B256,
}

/// The fields of a header that say where its block stands.
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
    /// Prepares a client of a chain's first provider; nothing is sent yet.
    pub fn new(config: &ChainConfig) -> Result<Self, NodeError> {
        match config.named_providers().into_iter().next() {
            Some((name, provider)) => Self::of(config, &name, &provider),
            None => Err(NodeError::no_provider()),
        }
    }

    /// Prepares a client of one of a chain's providers; nothing is sent yet.
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
        // Headers and logs share what may be in flight.
        let for_logs = match config.index {
            IndexMode::Blocks => 0,
            IndexMode::Logs | IndexMode::Transfers => config.concurrency / 2,
        };
        let mut headers = provider.headers.map().map_err(|reason| NodeError::Url {
            key: "chains.headers or chains.providers.headers",
            reason,
            schemes: "names and values that HTTP allows",
        })?;
        let mut client = reqwest::Client::builder()
            .tls_backend_preconfigured(tls::client_config())
            .timeout(timeout)
            .tcp_nodelay(true);
        if !headers.is_empty() {
            // They are for this node alone, and not for whom it names.
            client = client.redirect(reqwest::redirect::Policy::none());
        }
        if is_loopback(&url) {
            client = client.no_proxy();
            // Compressed answers are read wherever they come from, but on one machine they cost more than they save.
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
            receipts: Ways::default(),
            pace: Pace::new(Limit::new(
                config.request_blocks,
                config.concurrency - for_logs,
                rest_max,
            )),
            index: config.index,
            log_pace: Pace::new(Limit::new(config.log_range_blocks, for_logs, rest_max)),
            log_block_bytes: AtomicUsize::new(LOG_BLOCK_BYTES),
            response_bytes: config.response_bytes,
        })
    }

    /// The node's address as it may be shown.
    pub fn shown_url(&self) -> String {
        self.url.redacted_url()
    }

    /// Checks that the node serves the configured chain, and returns its block at the first of some heights where it has
    /// one, as every fresh development chain has the same id: those of `known` blocks, or block 0 when none is known, and
    /// last `first`, for a node without block 0 (it is pruned, or begins at a fork).
    pub async fn identity(&self, known: &[KnownBlock], first: u64) -> Result<Link, NodeError> {
        let Plain(actual): Plain<u64> = self.request("eth_chainId", ()).await?;
        if actual != self.chain_id {
            return Err(self.counted(NodeError::WrongChain {
                url: self.shown_url(),
                expected: self.chain_id,
                actual,
            }));
        }
        // What the node can do may have changed since it was last asked.
        self.receipts.forget();
        self.pace.batched();
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
                // The hash alone says which chain it is.
                Ok(Some(header)) => {
                    let mut link = Link::from(header);
                    link.block.number = *height;
                    return Ok(link);
                }
                Ok(None) => {}
                // Some nodes answer with an error instead of null for a block that they do not have.
                Err(NodeError::Refused { message, .. }) => refusal = format!(" ({message})"),
                Err(error) => return Err(error),
            }
        }
        let heights: Vec<_> = heights.iter().map(u64::to_string).collect();
        Err(self.unidentified(format!("block {}{refusal}", heights.join(" or "))))
    }

    pub(super) fn unidentified(&self, what: String) -> NodeError {
        self.counted(NodeError::Unidentified {
            url: self.shown_url(),
            what,
        })
    }

    /// The block that a tag names now; `None` when there is none yet, or the node does not know the tag.
    pub async fn tagged(&self, tag: Tag) -> Result<Option<BlockRef>, NodeError> {
        let answer: Result<Option<HeaderLink>, _> = self
            .request("eth_getBlockByNumber", (tag.name(), false))
            .await;
        match answer {
            Ok(header) => Ok(header.map(|header| Link::from(header).block)),
            // Chains without finality, and nodes before their first finalized block, answer with an error.
            Err(NodeError::Refused { .. } | NodeError::TooLarge { .. }) if tag != Tag::Latest => {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// The block that the node holds canonical at a height, if it has one there.
    pub async fn at(&self, number: u64) -> Result<Option<BlockRef>, NodeError> {
        let method = "eth_getBlockByNumber";
        let header: Option<HeaderLink> = self
            .request(method, (format!("{number:#x}"), false))
            .await?;
        match header.map(|header| Link::from(header).block) {
            Some(block) if block.number != number => Err(self.bad_answer(
                method,
                format!("block {} when {number} was asked for", block.number),
            )),
            block => Ok(block),
        }
    }

    /// A block's place in the chain, by its hash.
    pub async fn link(&self, hash: B256) -> Result<Link, NodeError> {
        let header: Option<HeaderLink> = self.request("eth_getBlockByHash", (hash, false)).await?;
        let link = Link::from(self.present(header, || format!("block {hash}"))?);
        if link.block.hash != hash {
            return Err(self.bad_answer(
                "eth_getBlockByHash",
                format!("block {} when {hash} was asked for", link.block.hash),
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
        let params = serde_json::to_string(&params)
            .map_err(|error| self.bad_answer(method, format!("cannot be asked: {error}")))?;
        // No parameters are an empty array.
        let params = [if params == "null" {
            "[]".into()
        } else {
            params
        }];
        let began = Instant::now();
        let answer = tokio::time::timeout(self.timeout, self.post(method, &params)).await;
        request_took(self.chain_id, &self.name, method, began.elapsed());
        match answer {
            Ok(Ok(body)) => self.answer(method, &body),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(self.counted(NodeError::Unreachable {
                url: self.shown_url(),
                reason: format!(
                    "{method} was not answered within {} ms",
                    self.timeout.as_millis()
                ),
            })),
        }
    }

    pub(super) fn present<T>(
        &self,
        answer: Option<T>,
        what: impl FnOnce() -> String,
    ) -> Result<T, NodeError> {
        answer.ok_or_else(|| {
            self.counted(NodeError::Missing {
                url: self.shown_url(),
                what: what(),
            })
        })
    }

    pub(super) fn bad_answer(&self, method: &'static str, reason: String) -> NodeError {
        self.counted(NodeError::BadAnswer {
            url: self.shown_url(),
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

/// A proxy of the environment is for the outside, not for a node on this machine.
fn is_loopback(url: &Url) -> bool {
    url.host_str().is_some_and(|host| {
        let address = host.trim_matches(['[', ']']).parse::<IpAddr>();
        host == "localhost" || address.is_ok_and(|address| address.is_loopback())
    })
}
