//! What can be wrong with a node's answer, told without the secrets that its URL may hold.

use std::time::Duration;

use super::{
    refusal::{is_trouble, names_batches, names_method},
    verify::CheckError,
};
use crate::model::{B256, ChainId, Secret, WEB_PAGE, is_web_page};

/// Longest text of a node's own that is shown, in characters.
const MAX_REASON: usize = 300;

/// Why a node could not be used, or its answer not be trusted.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    #[error("{key} is not a usable URL: {reason}; use {schemes}")]
    Url {
        key: &'static str,
        reason: String,
        schemes: &'static str,
    },
    #[error(
        "cannot reach the node at {url}: {reason}; check that it runs and that the URL is right"
    )]
    Unreachable { url: String, reason: String },
    #[error(
        "the node at {url} serves chain {actual}, but chain {expected} is configured; correct chain_id or rpc_url"
    )]
    WrongChain {
        url: String,
        expected: ChainId,
        actual: ChainId,
    },
    /// Another chain of the same id.
    #[error(
        "the node at {url} serves another chain of this id: its block {number} is {actual}, not {expected}; correct its URL"
    )]
    WrongGenesis {
        url: String,
        /// 0, or the first indexed block where a node has no block 0.
        number: u64,
        expected: B256,
        actual: B256,
    },
    #[error("the node at {url} refused {method}: {message} (code {code})")]
    Refused {
        url: String,
        method: &'static str,
        code: i64,
        message: String,
    },
    /// The node asks for fewer requests (HTTP 429, or an error that says so).
    #[error("the node at {url} limits the rate of requests: {reason}")]
    Throttled {
        url: String,
        reason: String,
        /// What its `Retry-After` says.
        retry_after: Option<Duration>,
    },
    /// The node asked for that before, and its time is not over: it was not asked.
    #[error("the node at {url} asked for a pause, which lasts {} ms more", .wait.as_millis())]
    Resting { url: String, wait: Duration },
    /// More was asked for at once than the node gives (size of a batch or of an answer, or count of results).
    #[error("the node at {url} refuses {method} as too large: {reason}")]
    TooLarge {
        url: String,
        method: &'static str,
        reason: String,
    },
    /// Nothing shows which of the chains of this id it serves.
    #[error(
        "the node at {url} does not have {what}, by which the chain is told from others of its id: \
         set start_block to a block that the node has, or use a node with block 0"
    )]
    Unidentified { url: String, what: String },
    /// The node lags: it may answer later.
    #[error("the node at {url} does not have {what} yet")]
    Missing { url: String, what: String },
    #[error("the node at {url} answered {method} with what cannot be used: {reason}")]
    BadAnswer {
        url: String,
        method: &'static str,
        reason: String,
    },
    #[error("the node at {url} sent a block that fails a check: {error}")]
    Check { url: String, error: CheckError },
    /// What every provider that was tried said.
    #[error("{count} providers: {told}")]
    Several {
        count: usize,
        told: String,
        /// The most hopeful of their errors.
        cause: Box<NodeError>,
    },
}

impl NodeError {
    /// What [`NodeError::kind`] may say of a request. A bad URL is found before any.
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

    /// The error itself; of several providers' errors, the most hopeful.
    pub fn cause(&self) -> &Self {
        match self {
            Self::Several { cause, .. } => cause.cause(),
            error => error,
        }
    }

    /// How long to wait before the next try, where the node asks to be asked less. After the refusal itself that is
    /// known when it is to be asked again.
    pub fn rest(&self) -> Option<Duration> {
        match self.cause() {
            Self::Throttled { .. } => Some(Duration::ZERO),
            Self::Resting { wait, .. } => Some(*wait),
            _ => None,
        }
    }

    pub(super) fn no_provider() -> Self {
        Self::Url {
            key: "chains.rpc_url",
            reason: "there is none".to_owned(),
            schemes: "http://HOST:PORT or https://HOST/PATH",
        }
    }

    /// The errors of some providers, by name, as one.
    pub(super) fn of_several(errors: Vec<(&str, Self)>) -> Self {
        let count = errors.len();
        let told: Vec<String> = errors
            .iter()
            .map(|(name, error)| format!("{name}: {error}"))
            .collect();
        let cause = errors
            .into_iter()
            .map(|(_, error)| error)
            .min_by_key(Self::hopelessness);
        match cause {
            Some(cause) if count == 1 => cause,
            Some(cause) => Self::Several {
                count,
                told: told.join("; "),
                cause: Box::new(cause),
            },
            None => Self::Unreachable {
                url: String::new(),
                reason: "no provider was asked".to_owned(),
            },
        }
    }

    /// How little waiting may help.
    fn hopelessness(&self) -> u8 {
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

    /// Whether it is the contract's own refusal of a call (`eth_call`), and not the node's.
    pub fn is_revert(&self) -> bool {
        /// Of geth and most others, with the contract's reason as data.
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

    /// Whether the node refused what was asked, and neither asks for less nor for a wait, nor is in trouble.
    pub(super) fn is_refusal(&self) -> bool {
        matches!(self, Self::Refused { .. }) && !self.is_outage()
    }

    /// Whether the node, or what stands before it, is in trouble: that says nothing of what it can do, and another moment
    /// may mend it.
    pub(super) fn is_outage(&self) -> bool {
        match self.cause() {
            Self::Unreachable { .. } => true,
            Self::Refused {
                method,
                code,
                message,
                ..
            } => {
                is_trouble(*code, message)
                    && !self.is_about_a_block()
                    && !self.is_revert()
                    && !names_method(method, *code, message)
            }
            _ => false,
        }
    }

    /// Whether a refusal is about what was asked, and not about the state of the node: the method, an array of calls, a
    /// parameter, a block or a contract.
    pub(super) fn is_about_the_request(&self) -> bool {
        const INVALID_PARAMS: i64 = -32602;
        match self {
            Self::Refused {
                method,
                code,
                message,
                ..
            } => {
                *code == INVALID_PARAMS
                    || names_method(method, *code, message)
                    || names_batches(message)
                    || self.is_about_a_block()
                    || self.is_revert()
            }
            _ => false,
        }
    }

    /// Whether a refusal says that the node does not have a block.
    pub(super) fn is_about_a_block(&self) -> bool {
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

/// Hides every part of the URL that may be a key, and shortens. A web page is named, not repeated.
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
    fn a_web_page_is_named_and_not_repeated() {
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
    fn what_may_be_a_key_is_hidden_in_a_nodes_own_words() {
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
