//! Errors of a node and of its answers, without the secrets that its URL may hold.

use std::time::Duration;

use super::{
    check_error::CheckError,
    refusal::{is_method_unavailable, is_transient, rejects_batches},
};
use chaincast_base::{Secret, WEB_PAGE, is_web_page};
use chaincast_protocol::{B256, ChainId};

/// Longest node text in an error, in characters.
const MAX_REASON: usize = 300;

/// Why a node, or its answer, could not be used.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// A configured URL cannot be used; nothing was sent.
    #[error("{key} is not a usable URL: {reason}; use {schemes}")]
    Url {
        /// The key of the configuration, such as `chains.ws_url`.
        key: &'static str,
        /// What is wrong with the URL.
        reason: String,
        /// The forms that are accepted.
        schemes: &'static str,
    },
    /// There is no answer, or none of the node itself: the connection failed, a proxy answered, or the time limit
    /// passed.
    #[error(
        "cannot reach the node at {url}: {reason}; check that it runs and that the URL is right"
    )]
    Unreachable {
        /// Scheme, host and port of the node.
        url: String,
        /// What failed.
        reason: String,
    },
    /// `eth_chainId` is not the configured id.
    #[error(
        "the node at {url} serves chain {actual}, but chain {expected} is configured; correct chain_id or rpc_url"
    )]
    WrongChain {
        /// Scheme, host and port of the node.
        url: String,
        /// The configured EIP-155 id.
        expected: ChainId,
        /// The node's EIP-155 id.
        actual: ChainId,
    },
    /// Another chain with the same id.
    #[error(
        "the node at {url} serves another chain with this id: its block {number} is {actual}, not {expected}; correct its URL"
    )]
    WrongGenesis {
        /// Scheme, host and port of the node.
        url: String,
        /// 0, or the first indexed block if the node has no block 0.
        number: u64,
        /// The hash of that block on the indexed chain.
        expected: B256,
        /// The hash of that block on the node.
        actual: B256,
    },
    /// The node answered with an error that no other variant describes.
    #[error("the node at {url} refused {method}: {message} (code {code})")]
    Refused {
        /// Scheme, host and port of the node.
        url: String,
        /// The JSON-RPC method.
        method: &'static str,
        /// The code of the JSON-RPC error, or the HTTP status of an answer without one.
        code: i64,
        /// The node's text, without what may be a key.
        message: String,
    },
    /// The node rejects the request rate (HTTP 429, or an error with that meaning).
    #[error("the node at {url} limits the rate of requests: {reason}")]
    Throttled {
        /// Scheme, host and port of the node.
        url: String,
        /// The node's text, without what may be a key.
        reason: String,
        /// From `Retry-After`.
        retry_after: Option<Duration>,
    },
    /// The node asked for a pause that is not over; no request was sent.
    #[error("the node at {url} asked for a pause; {} ms remain", .wait.as_millis())]
    Resting {
        /// Scheme, host and port of the node.
        url: String,
        /// The rest of the pause.
        wait: Duration,
    },
    /// The node rejects the size of a batch or answer, or the number of results.
    #[error("the node at {url} refuses {method} as too large: {reason}")]
    TooLarge {
        /// Scheme, host and port of the node.
        url: String,
        /// The JSON-RPC method.
        method: &'static str,
        /// The node's text without what may be a key, or the limit of this process that an answer exceeds.
        reason: String,
    },
    /// The node has no block that identifies its chain.
    #[error(
        "the node at {url} does not have {what}, which distinguishes its chain from others with the same id; \
         set start_block to a block that the node has, or use a node with block 0"
    )]
    Unidentified {
        /// Scheme, host and port of the node.
        url: String,
        /// The blocks that were requested, for the message.
        what: String,
    },
    /// The node may lag and answer later.
    #[error("the node at {url} does not have {what} yet")]
    Missing {
        /// Scheme, host and port of the node.
        url: String,
        /// What was requested, for the message, such as `block 7`.
        what: String,
    },
    /// The answer cannot be parsed, or is not that of the request.
    #[error("the node at {url} sent an unusable answer to {method}: {reason}")]
    BadAnswer {
        /// Scheme, host and port of the node.
        url: String,
        /// The JSON-RPC method.
        method: &'static str,
        /// What is wrong with the answer.
        reason: String,
    },
    /// A block contradicts itself or its receipts.
    #[error("the node at {url} sent a block that fails a check: {error}")]
    Check {
        /// Scheme, host and port of the node.
        url: String,
        /// The block and its first failed check.
        error: CheckError,
    },
    /// The errors of all providers that were tried.
    #[error("{count} providers: {summary}")]
    Several {
        /// How many were tried: at least 2.
        count: usize,
        /// The name and the error of each.
        summary: String,
        /// The error that a retry is most likely to resolve.
        cause: Box<NodeError>,
    },
}

impl NodeError {
    /// The values of [`NodeError::kind`] for a request. A bad URL is rejected before any request.
    pub const KINDS: [&str; 9] = [
        "unreachable",
        "wrong_chain",
        "wrong_genesis",
        "refused",
        "throttled",
        "too_large",
        "missing",
        "bad_answer",
        "check",
    ];

    /// A short stable name for metrics.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Url { .. } => "url",
            Self::Unreachable { .. } => "unreachable",
            Self::WrongChain { .. } => "wrong_chain",
            Self::WrongGenesis { .. } => "wrong_genesis",
            Self::Refused { .. } => "refused",
            Self::Throttled { .. } | Self::Resting { .. } => "throttled",
            Self::TooLarge { .. } => "too_large",
            Self::Missing { .. } | Self::Unidentified { .. } => "missing",
            Self::BadAnswer { .. } => "bad_answer",
            Self::Check { .. } => "check",
            Self::Several { cause, .. } => cause.kind(),
        }
    }

    /// The error itself; for several providers, the one that a retry is most likely to resolve.
    pub fn cause(&self) -> &Self {
        match self {
            Self::Several { cause, .. } => cause.cause(),
            error => error,
        }
    }

    /// How long to wait before the next request, if the node limits the rate. Zero right after the rejection: the
    /// provider then enforces the pause.
    pub fn retry_delay(&self) -> Option<Duration> {
        match self.cause() {
            Self::Throttled { .. } => Some(Duration::ZERO),
            Self::Resting { wait, .. } => Some(*wait),
            _ => None,
        }
    }

    pub(super) fn no_provider() -> Self {
        Self::Url {
            key: "chains.rpc_url",
            reason: "no provider is configured".to_owned(),
            schemes: "http://HOST:PORT or https://HOST/PATH",
        }
    }

    /// Combines the errors of providers, each with its name.
    pub(super) fn from_several(errors: Vec<(&str, Self)>) -> Self {
        let count = errors.len();
        let errors_by_name: Vec<String> = errors
            .iter()
            .map(|(name, error)| format!("{name}: {error}"))
            .collect();
        let cause = errors
            .into_iter()
            .map(|(_, error)| error)
            .min_by_key(Self::retry_rank);
        match cause {
            Some(cause) if count == 1 => cause,
            Some(cause) => Self::Several {
                count,
                summary: errors_by_name.join("; "),
                cause: Box::new(cause),
            },
            None => Self::Unreachable {
                url: String::new(),
                reason: "no provider was tried".to_owned(),
            },
        }
    }

    /// Orders errors by how unlikely a retry resolves them.
    fn retry_rank(&self) -> u8 {
        match self.cause() {
            Self::Missing { .. } => 0,
            Self::Throttled { .. } | Self::Resting { .. } => 1,
            Self::Unreachable { .. } | Self::Unidentified { .. } => 2,
            error if error.is_outage() => 2,
            Self::TooLarge { .. } | Self::Refused { .. } => 3,
            Self::BadAnswer { .. } | Self::Check { .. } => 4,
            Self::WrongGenesis { .. } => 5,
            Self::WrongChain { .. } | Self::Url { .. } | Self::Several { .. } => 6,
        }
    }

    /// Whether the contract, not the node, rejected a call (`eth_call`).
    pub fn is_revert(&self) -> bool {
        /// Code of geth and most other nodes, with the revert reason as data.
        const REVERTED: i64 = 3;
        match self.cause() {
            Self::Refused { code, message, .. } => {
                *code == REVERTED || {
                    let message = message.to_ascii_lowercase();
                    [
                        "revert",
                        "invalid opcode",
                        "invalid jump",
                        "vm execution error",
                    ]
                    .iter()
                    .any(|words| message.contains(words))
                }
            }
            _ => false,
        }
    }

    /// Whether the node refused the request, other than for its rate or size or because of an outage.
    pub(super) fn is_refusal(&self) -> bool {
        matches!(self, Self::Refused { .. }) && !self.is_outage()
    }

    /// Whether the node or a proxy before it cannot answer now. It says nothing about what the node supports; a retry
    /// may succeed.
    pub(super) fn is_outage(&self) -> bool {
        match self.cause() {
            Self::Unreachable { .. } => true,
            Self::Refused {
                method,
                code,
                message,
                ..
            } => {
                is_transient(*code, message)
                    && !self.is_block_missing()
                    && !self.is_revert()
                    && !is_method_unavailable(method, *code, message)
            }
            _ => false,
        }
    }

    /// Whether a refusal is about the request and not about the state of the node: the method, a batch, a parameter, a
    /// block or a contract.
    pub(super) fn is_about_request(&self) -> bool {
        const INVALID_PARAMS: i64 = -32602;
        match self {
            Self::Refused {
                method,
                code,
                message,
                ..
            } => {
                *code == INVALID_PARAMS
                    || is_method_unavailable(method, *code, message)
                    || rejects_batches(message)
                    || self.is_block_missing()
                    || self.is_revert()
            }
            _ => false,
        }
    }

    /// Whether a refusal states that the node does not have a block.
    pub(super) fn is_block_missing(&self) -> bool {
        match self {
            Self::Refused { message, .. } => {
                let message = message
                    .to_ascii_lowercase()
                    .replace("eth_getblockreceipts", "method");
                ["block", "header", "receipts"]
                    .iter()
                    .any(|what| message.contains(what))
                    && ["not found", "unknown", "not available yet", "missing"]
                        .iter()
                        .any(|words| message.contains(words))
                    && !message.contains("method")
            }
            _ => false,
        }
    }
}

/// Replaces every part of the URL that may be a key, and shortens the text. A web page is named, not repeated.
pub(super) fn scrub(url: &Secret, text: &str) -> String {
    if is_web_page(text) {
        let status = text.split('<').next().unwrap_or_default().trim();
        let status = status.chars().take(MAX_REASON).collect::<String>();
        return format!("{status} it answered with {WEB_PAGE}")
            .trim()
            .to_owned();
    }
    const SHORTEST_KEY: usize = 6;
    let after_scheme = url.expose().split_once("://").map_or("", |(_, rest)| rest);
    let authority_end = after_scheme
        .find(['/', '?', '#'])
        .unwrap_or(after_scheme.len());
    let (authority, path) = after_scheme.split_at(authority_end);
    let user = authority.rsplit_once('@').map_or("", |(user, _)| user);
    let mut text = text.trim().replace(url.expose(), &url.redacted_url());
    for part in user
        .split(':')
        .chain(path.split(['/', '?', '#', '&', '=']))
        .filter(|part| part.len() >= SHORTEST_KEY)
    {
        text = text.replace(part, "(hidden)");
    }
    if text.chars().count() > MAX_REASON {
        text = text.chars().take(MAX_REASON).chain(['…']).collect();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scrub_names_web_page() {
        let url = Secret::new("http://127.0.0.1:8080");
        for page in [
            "<!DOCTYPE html><html><body>It works!</body></html>",
            "HTTP status 405 <html>\n<head><title>405 Not Allowed</title></head>",
        ] {
            let text = scrub(&url, page);
            assert!(text.contains("a web page (HTML), not JSON-RPC"), "{text}");
            assert!(!text.contains('<') && !text.contains("It works"), "{text}");
        }
        assert!(scrub(&url, "HTTP status 405 <html>").starts_with("HTTP status 405 it answered"));
        assert_eq!(scrub(&url, "limit < 5 exceeded"), "limit < 5 exceeded");
    }

    #[test]
    fn scrub_hides_keys_in_node_text() {
        let url = Secret::new("https://me:passw0rd@node.example/v3/0123456789?token=abcdefgh");
        let text = scrub(
            &url,
            "key 0123456789 of me:passw0rd is unknown (abcdefgh) at node.example/v3",
        );
        assert!(!text.contains("0123456789"), "{text}");
        assert!(!text.contains("passw0rd"), "{text}");
        assert!(!text.contains("abcdefgh"), "{text}");
        assert!(text.contains("node.example/v3"), "{text}");
    }
}
